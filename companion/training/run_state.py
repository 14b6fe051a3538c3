"""State of a training run: its history, one step of it, and a checkpoint from which it resumes exactly.

Chapter: ``book/algorithms/gpt.ipynb``.
"""

import hashlib
import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn, optim
from torch.optim import Optimizer

from companion.nn.wrappers import plain_name, unwrapped
from companion.training import run_file
from companion.training.non_finite import gradient_origin
from companion.training.run_settings import differences

Shape = tuple[int, ...]
MOMENTUM, ADAM = {"momentum_buffer"}, {"step", "exp_avg", "exp_avg_sq"}  # what an optimizer keeps of a parameter


@dataclass
class History:
    """Record of a training run, one entry per step or evaluation.

    Attributes:
        loss: training loss of each step, in the objective's unit.
        gradient_norm: norm of each step's gradient, before clipping.
        evaluations: pairs (step, value).
        cpu_seconds: processor time of this process, all threads together, resumed runs added up.
    """

    loss: list[float] = field(default_factory=list)
    gradient_norm: list[float] = field(default_factory=list)
    evaluations: list[tuple[int, float]] = field(default_factory=list)
    cpu_seconds: float = 0.0


def joined(histories: Sequence[History]) -> History:
    """History of runs that followed each other, with steps counted on.

    >>> joined([History(loss=[3.0, 2.0]), History(loss=[1.0], evaluations=[(1, 0.5)])]).evaluations
    [(3, 0.5)]
    """
    whole = History()
    for history in histories:
        whole.evaluations += [(len(whole.loss) + step, value) for step, value in history.evaluations]
        whole.loss += history.loss
        whole.gradient_norm += history.gradient_norm
        whole.cpu_seconds += history.cpu_seconds
    return whole


@dataclass
class TrainingState:
    """Training state, all that must be saved to resume exactly: weights, optimizer state, random state, history.

    Attributes:
        model: in training.
        optimizers: of its parameters; each parameter group has its "peak" learning rate and its "multipliers", see
            :meth:`rate`.
        patience: evaluations without a new lowest value after which :attr:`is_stale`; with it, the weights of the
            lowest evaluation are kept for :meth:`restore_best`.
        settings: of the run, by name; a checkpoint with others is refused.
        first_batch: fingerprint of the first batch, when it is known; a checkpoint with another is refused.
        history: of the run so far.
        batches: number of batches read so far.
    """

    model: nn.Module
    optimizers: list[Optimizer]
    patience: int | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    first_batch: str | None = None
    history: History = field(default_factory=History)
    batches: int = 0
    _loss: float = 0.0  # of the batches since the last step, each times its weight
    _weight: float = 0.0  # of these batches together
    _best: dict[str, Tensor] = field(default_factory=dict)

    @contextmanager
    def rate(self, multiplier: float) -> Iterator[None]:
        """Set the learning rate to a multiple of its peak, for the one step made inside the ``with`` block.

        A group with "multipliers", one per step, multiplies it by its own. Where that is 0 its parameters are frozen:
        they get no gradient, so that neither the step nor weight decay nor momentum moves them.
        """
        frozen: list[Tensor] = []
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                own = group["multipliers"][len(self.history.loss)] if group["multipliers"] else 1.0
                group["lr"] = group["peak"] * multiplier * own
                frozen += group["params"] if own == 0 else []
        try:
            for parameter in frozen:
                parameter.requires_grad_(False)
            yield
        finally:
            for parameter in frozen:
                parameter.requires_grad_(True)

    def add(self, value: Tensor, weight: float = 1.0, explain: Callable[[], str] = str) -> None:
        """Accumulate the gradient of ``value``, the step's loss or one batch's part of it.

        The step's loss is the mean of its batches' losses, each with its weight: that of a mean over targets is their
        number.

        Args:
            value: a scalar with a gradient.
            weight: of this value among those of the step.
            explain: what a loss that is not finite comes from, in words.

        Raises:
            FloatingPointError: when the loss is not finite; the weights stay as they are.
            ValueError: when it is no scalar with a gradient, or the weight is not finite and above 0.
        """
        if not isinstance(value, Tensor) or value.numel() != 1 or not value.requires_grad:
            raise ValueError(f"the loss must be one number that depends on the trained weights; got {value!r:.80}")
        if not 0 < weight < math.inf:  # NaN too
            raise ValueError(f"a batch's number of targets must be finite and above 0; got {weight}")
        if not torch.isfinite(value):
            step = len(self.history.loss) + 1
            raise FloatingPointError(
                f"the loss is {value.item()} at step {step}; {explain()}; try a smaller learning rate"
            )
        torch.autograd.backward(value * weight)
        self.batches += 1
        self._loss += value.item() * weight
        self._weight += weight

    def step(self, max_grad_norm: float) -> None:
        """Make one optimizer step along the accumulated gradient, clipped to the norm ``max_grad_norm``.

        Raises:
            FloatingPointError: when the gradient is not finite; the weights stay as they are.
        """
        for parameter in self.model.parameters() if self._weight != 1 else ():
            if parameter.grad is not None:
                parameter.grad /= self._weight
        gradients = [parameter.grad for parameter in self.model.parameters() if parameter.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        if not torch.isfinite(norm):
            step = len(self.history.loss) + 1
            raise FloatingPointError(
                f"the gradient's norm is {norm.item()} at step {step}; {gradient_origin(self.model)}"
            )
        nn.utils.clip_grads_with_norm_(self.model.parameters(), max_grad_norm, norm)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        self.history.loss.append(self._loss / self._weight)
        self.history.gradient_norm.append(norm.item())
        self._loss = self._weight = 0.0

    @torch.no_grad()
    def evaluate(self, function: Callable[[nn.Module], float]) -> None:
        """Record the value of ``function`` (model -> number) for the model in evaluation mode.

        Raises:
            ValueError: when the function returns anything but one number.
            FloatingPointError: when there is a patience, and the value is not a number.
        """
        found = function(self.model.eval())
        try:
            value = float(found)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ValueError(f"an evaluation must return one number; got {found!r:.80}") from error
        if self.patience is not None and math.isnan(value):
            raise FloatingPointError(f"the evaluation is nan at step {len(self.history.loss)}; it must be a number")
        self.history.evaluations.append((len(self.history.loss), value))
        if self.patience is not None and self._since_lowest == 0:
            self._best = {name: tensor.detach().clone() for name, tensor in self._weights()}

    @property
    def is_stale(self) -> bool:
        """Whether so many evaluations as the patience have brought no new lowest value."""
        return self.patience is not None and self._since_lowest >= self.patience

    @property
    def _since_lowest(self) -> int:
        """Number of evaluations since the lowest."""
        values = [value for _, value in self.history.evaluations]
        return len(values) - 1 - values.index(min(values)) if values else 0

    @torch.no_grad()
    def restore_best(self) -> None:
        """Restore the weights of the lowest evaluation, if they were kept."""
        for name, tensor in self._weights():
            if name in self._best:
                tensor.copy_(self._best[name])

    def save(self, path: Path) -> None:
        """Write a checkpoint, whole or not at all.

        Raises:
            OSError: when the file cannot be written; what stood there stays.
        """
        tensors = {f"model.{name}": tensor.detach() for name, tensor in self._weights()}
        tensors |= {f"best.{name}": tensor for name, tensor in self._best.items()}
        tensors["random.cpu"] = torch.get_rng_state()
        if torch.cuda.is_available():
            tensors["random.cuda"] = torch.cuda.get_rng_state()
        for optimizer in self.optimizers:
            names = self._names(optimizer)
            for index, state in optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer.{names[index]}.{key}": tensor for key, tensor in state.items()}
        done = {
            "history": asdict(self.history),
            "batches": self.batches,
            "first_batch": self.first_batch,
            "multipliers": self._multipliers(len(self.history.loss)),
        }
        run_file.write(path, tensors, {"done": json.dumps(done), "settings": json.dumps(self.settings)})

    def load(self, path: Path) -> None:
        """Restore the state that :meth:`save` wrote.

        Raises:
            ValueError: when the file is damaged, no training state, or of a run with another model or other settings;
                the run stays as it is.
        """
        shapes, texts = run_file.read_header(path)
        try:
            done = json.loads(texts["done"])
            history, batches = _history(done)
            settings = dict(json.loads(texts["settings"]))
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise ValueError(f"{path} is damaged, or no checkpoint of a training run: {error!r}") from error
        found = {name: shape for name, shape in shapes.items() if name.startswith("model.")}
        if found != {f"model.{name}": tuple(tensor.shape) for name, tensor in self._weights()}:
            raise ValueError(f"{path} is of a run with another model; delete it, or give another checkpoint")
        self._check_settings(path, done, settings, len(history.loss))
        self._check(path, shapes)
        tensors = run_file.read_tensors(path)
        _check_random(path, tensors)
        self.history, self.batches = history, batches
        kept = {name.removeprefix("best."): t for name, t in tensors.items() if name.startswith("best.")}
        self._best = {} if self.patience is None else kept
        with torch.no_grad():
            for name, tensor in self._weights():
                tensor.copy_(tensors[f"model.{name}"])
        for optimizer in self.optimizers:
            states = {
                number: {key: tensors[full] for key in _state_keys(optimizer) if (full := f"{prefix}.{key}") in tensors}
                for number, prefix in enumerate(f"optimizer.{name}" for name in self._names(optimizer))
            }
            states = {number: state for number, state in states.items() if state}
            optimizer.load_state_dict(optimizer.state_dict() | {"state": states})
        torch.set_rng_state(tensors["random.cpu"])
        if torch.cuda.is_available() and "random.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random.cuda"])

    def _check_settings(self, path: Path, done: Mapping[str, Any], settings: Mapping[str, Any], steps: int) -> None:
        """Compare what a checkpoint says of its run with this run."""
        other = differences(settings, self.settings)
        multipliers = done.get("multipliers"), self._multipliers(steps)
        if None not in multipliers and multipliers[0] != multipliers[1]:
            other.append("other values of lr_multiplier")
        if done.get("first_batch") not in (None, self.first_batch):
            other.append("other batches: the first is not the same")
        if other:
            raise ValueError(f"{path} is of a run with {', '.join(other)}; delete it, or give another checkpoint")

    def _check(self, path: Path, shapes: Mapping[str, Shape]) -> None:
        """Compare all names and shapes of a checkpoint with this run's before a tensor of it is read."""
        if self.patience is not None and not any(name.startswith("best.") for name in shapes):
            raise ValueError(f"{path} is of a run that kept no best weights; patience must be given from the start")
        wrong = [name for name, shape in shapes.items() if shape not in self._allowed(name)]
        wrong += [f"{name} is missing" for name in self._missing(shapes)]
        if wrong:
            raise ValueError(f"{path} is damaged, or no checkpoint of a training run: {', '.join(wrong[:3])}")

    def _allowed(self, name: str) -> set[Shape]:
        """Shapes that a tensor of this name may have in a checkpoint; none when it has no place there."""
        place, _, rest = name.partition(".")
        parameter, _, key = rest.rpartition(".")
        weights = {own: tuple(tensor.shape) for own, tensor in self._weights()}
        if place in ("model", "best"):
            return {weights[rest]} if rest in weights else set()
        if place == "random":
            return {tuple(torch.get_rng_state().shape)} if rest == "cpu" else {tuple(torch.Size([16]))}
        known = any(parameter in self._names(one) and key in _state_keys(one) for one in self.optimizers)
        return ({()} if key == "step" else {weights[parameter]}) if place == "optimizer" and known else set()

    def _missing(self, shapes: Mapping[str, Shape]) -> list[str]:
        """Names that a checkpoint lacks: an optimizer's state of a parameter is there whole or not at all."""
        wanted = ["random.cpu"]
        for optimizer in self.optimizers:
            for name in self._names(optimizer):
                state = [f"optimizer.{name}.{key}" for key in sorted(_state_keys(optimizer))]
                wanted += state if any(one in shapes for one in state) else []
        if any(name.startswith("best.") for name in shapes):
            wanted += [f"best.{name}" for name, _ in self._weights()]
        return [name for name in wanted if name not in shapes]

    def _multipliers(self, steps: int) -> str | None:
        """Fingerprint of each parameter's own multipliers of the learning rate in the first steps, where it has any."""
        groups = [group for optimizer in self.optimizers for group in optimizer.param_groups]
        own = [group.get("multipliers", ())[:steps] for group in groups for _ in group["params"]]
        names = [name for optimizer in self.optimizers for name in self._names(optimizer)]
        table = sorted(zip(names, own, strict=True))
        return hashlib.sha256(repr(table).encode()).hexdigest()[:16] if any(own) else None

    def _names(self, optimizer: Optimizer) -> list[str]:
        """Names of an optimizer's parameters, in its own order."""
        names = {id(parameter): plain_name(name) for name, parameter in unwrapped(self.model).named_parameters()}
        return [names[id(parameter)] for group in optimizer.param_groups for parameter in group["params"]]

    def _weights(self) -> Iterator[tuple[str, Tensor]]:
        model = unwrapped(self.model)
        named = itertools.chain(model.named_parameters(), model.named_buffers())
        return ((plain_name(name), tensor) for name, tensor in named)


def _state_keys(optimizer: Optimizer) -> set[str]:
    """Names of what one of torch's optimizers keeps of a parameter."""
    return MOMENTUM if isinstance(optimizer, optim.SGD | optim.Muon) else ADAM


def _check_random(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Raise ValueError on states that torch's generators of random numbers do not take."""
    for name, tensor in tensors.items():
        if name == "random.cpu" or (name == "random.cuda" and torch.cuda.is_available()):
            try:
                torch.Generator(name.removeprefix("random.")).set_state(tensor)
            except (RuntimeError, TypeError) as error:
                raise ValueError(f"{path} is damaged, or no checkpoint of a training run: {name}, {error}") from error


def _history(done: Mapping[str, Any]) -> tuple[History, int]:
    """History and number of batches as a checkpoint's text says them.

    Raises:
        ValueError, TypeError, KeyError: when it says something else.
    """
    history, batches = History(**done["history"]), done["batches"]
    history.evaluations = [(step, value) for step, value in history.evaluations]
    numbers = [*history.loss, *history.gradient_norm, history.cpu_seconds, batches, *sum(history.evaluations, ())]
    if not all(type(number) in (int, float) for number in numbers) or len(history.loss) != len(history.gradient_norm):
        raise ValueError("its history is not one of numbers")
    return history, batches
