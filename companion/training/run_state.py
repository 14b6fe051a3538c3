"""State of a training run: its history, one step of it, and a checkpoint from which it resumes exactly.

Chapter: ``book/algorithms/gpt.ipynb``.
"""

import itertools
import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer


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
        history: of the run so far.
        batches: number of batches read so far.
    """

    model: nn.Module
    optimizers: list[Optimizer]
    patience: int | None = None
    history: History = field(default_factory=History)
    batches: int = 0
    _loss: float = 0.0  # of the batches since the last step
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

    def add(self, value: Tensor) -> None:
        """Accumulate the gradient of ``value``, the step's loss or one batch's part of it.

        Raises:
            FloatingPointError: when the loss is not finite; the weights stay as they are.
        """
        if not torch.isfinite(value):
            raise FloatingPointError(
                f"the loss is {value.item()} at step {len(self.history.loss) + 1}; try a smaller learning rate"
            )
        torch.autograd.backward(value)
        self.batches += 1
        self._loss += value.item()

    def step(self, max_grad_norm: float) -> None:
        """Make one optimizer step along the accumulated gradient, clipped to the norm ``max_grad_norm``.

        Raises:
            FloatingPointError: when the gradient is not finite; the weights stay as they are.
        """
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), max_grad_norm)
        if not torch.isfinite(norm):
            raise FloatingPointError(f"the gradient's norm is {norm.item()} at step {len(self.history.loss) + 1}")
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        self.history.loss.append(self._loss)
        self.history.gradient_norm.append(norm.item())
        self._loss = 0.0

    @torch.no_grad()
    def evaluate(self, function: Callable[[nn.Module], float]) -> None:
        """Record the value of ``function`` (model -> number) for the model in evaluation mode.

        Raises:
            FloatingPointError: when there is a patience, and the value is not a number.
        """
        value = float(function(self.model.eval()))
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
        """Write a checkpoint, whole or not at all."""
        tensors = {f"model.{name}": tensor.detach() for name, tensor in self._weights()}
        tensors |= {f"best.{name}": tensor for name, tensor in self._best.items()}
        tensors["random.cpu"] = torch.get_rng_state()
        if torch.cuda.is_available():
            tensors["random.cuda"] = torch.cuda.get_rng_state()
        for optimizer in self.optimizers:
            names = self._names(optimizer)
            for index, state in optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer.{names[index]}.{key}": tensor for key, tensor in state.items()}
        part = path.with_name(path.name + ".part")
        path.parent.mkdir(parents=True, exist_ok=True)
        done = {"history": asdict(self.history), "batches": self.batches}
        save_file(tensors, part, metadata={"done": json.dumps(done), "optimizers": self._kinds()})
        part.replace(path)  # a run killed here leaves the old file or the new one, never half of one

    def load(self, path: Path) -> None:
        """Restore the state that :meth:`save` wrote.

        Raises:
            ValueError: when the file is damaged, no training state, or of a run with another model or optimizer.
        """
        try:
            with safe_open(path, framework="pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
                done, kinds = json.loads(file.metadata()["done"]), file.metadata()["optimizers"]
        except (SafetensorError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is truncated, or no checkpoint of a training run: {error}") from error
        self._check(path, tensors, kinds)
        evaluations = [(step, value) for step, value in done["history"]["evaluations"]]
        self.history = History(**done["history"] | {"evaluations": evaluations})
        self.batches = done["batches"]
        kept = {name.removeprefix("best."): t for name, t in tensors.items() if name.startswith("best.")}
        self._best = {} if self.patience is None else kept
        with torch.no_grad():
            for name, tensor in self._weights():
                tensor.copy_(tensors[f"model.{name}"])
        for optimizer in self.optimizers:
            index = {name: number for number, name in enumerate(self._names(optimizer))}
            states: dict[int, dict[str, Tensor]] = {}
            for full in (full for full in tensors if full.startswith("optimizer.")):
                name, _, key = full.removeprefix("optimizer.").rpartition(".")
                if name in index:
                    states.setdefault(index[name], {})[key] = tensors[full]
            optimizer.load_state_dict(optimizer.state_dict() | {"state": states})
        torch.set_rng_state(tensors["random.cpu"])
        if torch.cuda.is_available() and "random.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random.cuda"])

    def _check(self, path: Path, tensors: dict[str, Tensor], kinds: str) -> None:
        found = {name: tensor.shape for name, tensor in tensors.items() if name.startswith("model.")}
        same_model = found == {f"model.{name}": tensor.shape for name, tensor in self._weights()}
        if not same_model or kinds != self._kinds():
            what = f"a run with another {'optimizer' if same_model else 'model'}"
            raise ValueError(f"{path} is of {what}; delete it, or give another checkpoint")
        if self.patience is not None and not any(name.startswith("best.") for name in tensors):
            raise ValueError(f"{path} is of a run that kept no best weights; patience must be given from the start")

    def _names(self, optimizer: Optimizer) -> list[str]:
        """Names of an optimizer's parameters, in its own order."""
        names = {id(parameter): name for name, parameter in self.model.named_parameters()}
        return [names[id(parameter)] for group in optimizer.param_groups for parameter in group["params"]]

    def _kinds(self) -> str:
        return json.dumps([[type(o).__name__, o.defaults.get("momentum")] for o in self.optimizers])

    def _weights(self) -> Iterator[tuple[str, Tensor]]:
        return itertools.chain(self.model.named_parameters(), self.model.named_buffers())
