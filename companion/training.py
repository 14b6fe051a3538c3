"""The training loop of every chapter: seeded, clipped, scheduled, and resumable to the same weights.

Chapter: ``book/algorithms/gpt.ipynb``.
"""

import itertools
import json
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer
from tqdm import tqdm

from companion.objectives import causal_loss
from companion.optimizers import make_optimizers


@dataclass
class History:
    """What happened in a run, one entry a step or an evaluation.

    Attributes:
        loss: training loss of each step, in the objective's unit.
        evaluations: pairs (step, value).
        cpu_seconds: processor time of this process, all threads together, resumed runs added up.
    """

    loss: list[float] = field(default_factory=list)
    evaluations: list[tuple[int, float]] = field(default_factory=list)
    cpu_seconds: float = 0.0


def pick_device(name: str = "auto") -> torch.device:
    """Return the device to compute on: "auto" takes CUDA, then Apple's MPS, then the CPU.

    Raises:
        ValueError: when the named device is not one of them or not there.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind, there in available.items() if there)
    if not available.get(name.split(":")[0]):
        here = ", ".join(kind for kind, there in available.items() if there)
        raise ValueError(f"device {name!r} is not available; choose auto, {here}")
    return torch.device(name)


def fit(
    model: nn.Module,
    batches: Iterable[Any],
    *,
    steps: int,
    loss: Callable[[nn.Module, Any], Tensor] = causal_loss,
    optimizer: str = "adamw",
    learning_rate: float = 3e-3,
    weight_decay: float = 0.1,
    warmup: int | None = None,
    clip: float = 1.0,
    seed: int = 0,
    device: str = "auto",
    evaluate: Callable[[nn.Module], float] | None = None,
    evaluate_every: int = 100,
    on_step: Callable[[int, History], None] | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 500,
    progress: bool = True,
) -> History:
    """Train ``model`` in place, and leave it on its device in evaluation mode.

    The learning rate rises linearly over ``warmup`` steps and falls to zero along a half cosine. On a CUDA device
    that computes in bfloat16, the forward pass does.

    Args:
        model: any model that ``loss`` understands.
        batches: tensors, or tuples or dicts of tensors; started anew when they run out. A resume is exact
            only if they are the same each time: their order must not hang on torch's global random state.
        steps: batches to train on.
        loss: (model, batch) -> scalar.
        optimizer: "adamw", or "muon" (Muon for the matrices inside the blocks, AdamW for all else).
        learning_rate: at the peak.
        weight_decay: of matrices; never of embeddings, norms and biases.
        warmup: steps; a twentieth of all when not given.
        clip: largest norm of the gradient.
        seed: of dropout.
        device: "auto", "cuda", "mps" or "cpu".
        evaluate: model -> number, called in evaluation mode without gradients, before the first step, every
            ``evaluate_every`` steps and after the last.
        evaluate_every: steps.
        on_step: called after each step with its number, counted from 1, and the history.
        checkpoint: a file that the run is saved to, and resumed from, to the same weights, when it exists.
        checkpoint_every: steps.
        progress: show a bar on standard output.

    Returns:
        the run's history.

    Raises:
        ValueError: on a setting outside its range, batches that run out at once, or a checkpoint that is of
            another run or damaged.
        FloatingPointError: when the loss or its gradient is not finite; the model keeps the weights of the step before.
    """
    for name, count in (("steps", steps), ("evaluate_every", evaluate_every), ("checkpoint_every", checkpoint_every)):
        if count < 1:
            raise ValueError(f"{name} must be at least 1; got {count}")
    target = pick_device(device)
    model.to(target).zero_grad()
    torch.manual_seed(seed)
    run = _Run(model, make_optimizers(model, optimizer, learning_rate, weight_decay))
    saved = Path(checkpoint) if checkpoint else None
    if saved and saved.exists():
        run.load(saved)
    half = target.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    started = time.process_time() - run.history.cpu_seconds
    first = len(run.history.loss)
    if first > steps:
        raise ValueError(f"{saved} is at step {first} already; steps must be at least that, got {steps}")
    stream = itertools.islice(_endless(batches), first, steps)
    pause = 0.5 if sys.stdout.isatty() or "ipykernel" in sys.modules else 30  # seconds; a log wants few lines
    bar = tqdm(total=steps, initial=first, file=sys.stdout, mininterval=pause, disable=not progress)
    if evaluate and first == 0:
        run.evaluate(evaluate)
    for step, batch in enumerate(stream, start=first + 1):
        run.set_rate(_rate(step, steps, max(1, steps // 20) if warmup is None else warmup))
        with torch.autocast(target.type, torch.bfloat16, enabled=half):
            objective = loss(model.train(), _to(batch, target))
        run.step(objective, clip)
        run.history.cpu_seconds = time.process_time() - started
        if evaluate and (step % evaluate_every == 0 or step == steps):
            run.evaluate(evaluate)
        if on_step:
            on_step(step, run.history)
        if saved and (step % checkpoint_every == 0 or step == steps):
            run.save(saved)  # last, so that random numbers drawn by the calls above are not drawn again
        bar.set_postfix(loss=f"{run.history.loss[-1]:.3f}", refresh=False)
        bar.update()
    bar.close()
    model.eval()
    return run.history


@dataclass
class _Run:
    """What must be saved to go on exactly: weights, optimizer state, random state, history."""

    model: nn.Module
    optimizers: list[Optimizer]
    history: History = field(default_factory=History)

    def set_rate(self, share: float) -> None:
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * share

    def step(self, value: Tensor, clip: float) -> None:
        if not torch.isfinite(value):
            raise FloatingPointError(
                f"the loss is {value.item()} at step {len(self.history.loss) + 1}; try a smaller learning rate"
            )
        value.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), clip)
        if not torch.isfinite(norm):
            raise FloatingPointError(f"the gradient's norm is {norm.item()} at step {len(self.history.loss) + 1}")
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        self.history.loss.append(value.item())

    @torch.no_grad()
    def evaluate(self, function: Callable[[nn.Module], float]) -> None:
        self.history.evaluations.append((len(self.history.loss), float(function(self.model.eval()))))

    def save(self, path: Path) -> None:
        tensors = {f"model.{name}": tensor.detach() for name, tensor in self._weights()}
        tensors["random.cpu"] = torch.get_rng_state()
        if torch.cuda.is_available():
            tensors["random.cuda"] = torch.cuda.get_rng_state()
        for number, optimizer in enumerate(self.optimizers):
            for index, state in optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer.{number}.{index}.{name}": tensor for name, tensor in state.items()}
        part = path.with_name(path.name + ".part")
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, part, metadata={"history": json.dumps(asdict(self.history))})
        part.replace(path)  # a run killed here leaves the old file or the new one, never half of one

    def load(self, path: Path) -> None:
        try:
            with safe_open(path, framework="pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
                history = json.loads(file.metadata()["history"])
        except (SafetensorError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is truncated, or no checkpoint of a training run: {error}") from error
        self._check(path, tensors)
        evaluations = [(step, value) for step, value in history["evaluations"]]
        self.history = History(history["loss"], evaluations, history["cpu_seconds"])
        with torch.no_grad():
            for name, tensor in self._weights():
                tensor.copy_(tensors[f"model.{name}"])
        for number, optimizer in enumerate(self.optimizers):
            states: dict[int, dict[str, Tensor]] = {}
            for name in (name for name in tensors if name.startswith(f"optimizer.{number}.")):
                _, _, index, key = name.split(".")
                states.setdefault(int(index), {})[key] = tensors[name]
            optimizer.load_state_dict(optimizer.state_dict() | {"state": states})
        torch.set_rng_state(tensors["random.cpu"])
        if torch.cuda.is_available() and "random.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random.cuda"])

    def _check(self, path: Path, tensors: dict[str, Tensor]) -> None:
        found = {name: tensor.shape for name, tensor in tensors.items() if name.startswith("model.")}
        optimizers = {name.split(".")[1] for name in tensors if name.startswith("optimizer.")}
        same_model = found == {f"model.{name}": tensor.shape for name, tensor in self._weights()}
        if not same_model or len(optimizers) != len(self.optimizers):
            what = f"a run with another {'optimizer' if same_model else 'model'}"
            raise ValueError(f"{path} is of {what}; delete it, or give another checkpoint")

    def _weights(self) -> Iterator[tuple[str, Tensor]]:
        return itertools.chain(self.model.named_parameters(), self.model.named_buffers())


def _rate(step: int, steps: int, warmup: int) -> float:
    """Share of the peak learning rate at ``step``, counted from 1."""
    if step <= warmup:
        return step / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def _endless(batches: Iterable[Any]) -> Iterator[Any]:
    while True:
        batch = None
        for batch in batches:
            yield batch
        if batch is None:
            raise ValueError("batches ran out; give a list, a loader, or a generator that does not end")


def _to(batch: Any, device: torch.device) -> Any:
    if isinstance(batch, dict):
        return {name: tensor.to(device) for name, tensor in batch.items()}
    if isinstance(batch, tuple | list):
        return type(batch)(tensor.to(device) for tensor in batch)
    return batch.to(device)
