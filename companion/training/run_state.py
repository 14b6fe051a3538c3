"""A training run: what it has done so far, one step of it, and a checkpoint from which it goes on exactly.

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
    """What happened in a run, one entry a step or an evaluation.

    Attributes:
        loss: training loss of each step, in the objective's unit.
        gradient_norm: of each step, before it was cut.
        evaluations: pairs (step, value).
        cpu_seconds: processor time of this process, all threads together, resumed runs added up.
    """

    loss: list[float] = field(default_factory=list)
    gradient_norm: list[float] = field(default_factory=list)
    evaluations: list[tuple[int, float]] = field(default_factory=list)
    cpu_seconds: float = 0.0


def joined(histories: Sequence[History]) -> History:
    """Return the history of runs that followed each other, with steps counted on."""
    whole = History()
    for history in histories:
        whole.evaluations += [(len(whole.loss) + step, value) for step, value in history.evaluations]
        whole.loss += history.loss
        whole.gradient_norm += history.gradient_norm
        whole.cpu_seconds += history.cpu_seconds
    return whole


@dataclass
class TrainingState:
    """What must be saved to go on exactly: weights, optimizer state, random state, history.

    Attributes:
        model: in training.
        optimizers: of its parameters; each group knows its "peak" rate and its "shares", see :meth:`rate`.
        keep_best: whether to keep the weights that had the lowest evaluation, for :meth:`restore_best`.
        history: so far.
    """

    model: nn.Module
    optimizers: list[Optimizer]
    keep_best: bool = False
    history: History = field(default_factory=History)
    _loss: float = 0.0  # of the batches since the last step
    _best: dict[str, Tensor] = field(default_factory=dict)

    @contextmanager
    def rate(self, share: float) -> Iterator[None]:
        """Make one step inside the ``with`` block, at a share of the peak rate.

        A group with "shares" takes its own share of that, one for each step. Where it is 0 its parameters are frozen:
        they get no gradient, so that neither the step nor weight decay nor momentum moves them.
        """
        frozen: list[Tensor] = []
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                own = group["shares"][len(self.history.loss)] if group["shares"] else 1.0
                group["lr"] = group["peak"] * share * own
                frozen += group["params"] if own == 0 else []
        try:
            for parameter in frozen:
                parameter.requires_grad_(False)
            yield
        finally:
            for parameter in frozen:
                parameter.requires_grad_(True)

    def add(self, value: Tensor) -> None:
        """Add the gradient of ``value``, a loss or one batch's share of it, to what the next step goes along.

        Raises:
            FloatingPointError: when the loss is not finite; the weights stay as they are.
        """
        if not torch.isfinite(value):
            raise FloatingPointError(
                f"the loss is {value.item()} at step {len(self.history.loss) + 1}; try a smaller learning rate"
            )
        value.backward()
        self._loss += value.item()

    def step(self, max_grad_norm: float) -> None:
        """Lower the loss by one step along its gradient, which is cut to the norm ``max_grad_norm``.

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
        """Note what ``function`` says of the model in evaluation mode.

        Raises:
            FloatingPointError: when the lowest value is looked for and this one is not a number.
        """
        value = float(function(self.model.eval()))
        if self.keep_best and math.isnan(value):
            raise FloatingPointError(f"evaluate gave nan at step {len(self.history.loss)}; it must give a number")
        self.history.evaluations.append((len(self.history.loss), value))
        if self.keep_best and self.stale == 0:
            self._best = {name: tensor.detach().clone() for name, tensor in self._weights()}

    @property
    def stale(self) -> int:
        """How many evaluations there were since the lowest."""
        values = [value for _, value in self.history.evaluations]
        return len(values) - 1 - values.index(min(values)) if values else 0

    @torch.no_grad()
    def restore_best(self) -> None:
        """Give the model the weights of its lowest evaluation, if they were kept."""
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
        metadata = {"history": json.dumps(asdict(self.history)), "optimizers": self._kinds()}
        save_file(tensors, part, metadata=metadata)
        part.replace(path)  # a run killed here leaves the old file or the new one, never half of one

    def load(self, path: Path) -> None:
        """Go on from a checkpoint.

        Raises:
            ValueError: when it is damaged, none of a run, or of a run with another model or optimizer.
        """
        try:
            with safe_open(path, framework="pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
                history, kinds = json.loads(file.metadata()["history"]), file.metadata()["optimizers"]
        except (SafetensorError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is truncated, or no checkpoint of a training run: {error}") from error
        self._check(path, tensors, kinds)
        evaluations = [(step, value) for step, value in history["evaluations"]]
        self.history = History(**history | {"evaluations": evaluations})
        kept = {name.removeprefix("best."): t for name, t in tensors.items() if name.startswith("best.")}
        self._best = kept if self.keep_best else {}
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
        if self.keep_best and not any(name.startswith("best.") for name in tensors):
            raise ValueError(f"{path} is of a run that kept no best weights; patience must be given from the start")

    def _names(self, optimizer: Optimizer) -> list[str]:
        """The names of an optimizer's parameters, in its own order."""
        names = {id(parameter): name for name, parameter in self.model.named_parameters()}
        return [names[id(parameter)] for group in optimizer.param_groups for parameter in group["params"]]

    def _kinds(self) -> str:
        return json.dumps([[type(o).__name__, o.defaults.get("momentum")] for o in self.optimizers])

    def _weights(self) -> Iterator[tuple[str, Tensor]]:
        return itertools.chain(self.model.named_parameters(), self.model.named_buffers())
