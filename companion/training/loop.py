"""The training loop of every chapter: seeded, clipped, scheduled, and resumable to the same weights.

Chapters: ``book/algorithms/gpt.ipynb``, ``book/concepts/optimization.ipynb``.
"""

import itertools
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from companion.losses import causal_loss
from companion.training.optimizers import make_optimizers
from companion.training.run_state import History, TrainingState
from companion.training.schedules import LearningRateMultiplier, shares, shares_by_parameter

PRECISIONS = ("auto", "float32", "bfloat16")


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
    schedule: str = "cosine",
    warmup: int | None = None,
    lr_multiplier: LearningRateMultiplier | None = None,
    max_grad_norm: float = 1.0,
    gradient_accumulation_steps: int = 1,
    precision: str = "auto",
    seed: int = 0,
    device: str = "auto",
    evaluate: Callable[[nn.Module], float] | None = None,
    evaluate_every: int = 100,
    patience: int | None = None,
    on_step: Callable[[int, History], None] | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 500,
    progress: bool = True,
) -> History:
    """Train ``model`` in place, and leave it on its device in evaluation mode.

    The learning rate rises linearly over ``warmup`` steps and then follows the ``schedule``. The optimizers are
    torch's own, faster than those of :mod:`companion.training.optimizers` and equal to them step by step.

    Args:
        model: any model that ``loss`` understands.
        batches: tensors, or tuples or dicts of tensors; started anew when they run out. A resume is exact
            only if they are the same each time: their order must not hang on torch's global random state.
        steps: of the optimizer.
        loss: (model, batch) -> scalar.
        optimizer: "sgd", "momentum", "adam", "adamw", or "muon" (Muon for the matrices inside the blocks, AdamW for
            all else).
        learning_rate: at the peak.
        weight_decay: of matrices; never of embeddings, norms and biases.
        schedule: "cosine" or "linear" (both fall to zero), "constant", or "inverse_sqrt".
        warmup: steps; a twentieth of all when not given.
        lr_multiplier: (a parameter's name, step from 1) -> its own share of the learning rate, beside the schedule's; where
            it is 0 the parameter is frozen, bit for bit. See :mod:`companion.finetuning.layer_rates`.
        max_grad_norm: largest norm of the gradient.
        gradient_accumulation_steps: batches a step; their losses are averaged, so k batches of a size act as one batch k times as large
            wherever each batch asks for as much.
        precision: "float32", "bfloat16" (the matrix products of the forward pass; weights stay float32), or "auto":
            bfloat16 on a CUDA device that computes in it, where it is faster, and float32 elsewhere.
        seed: of dropout.
        device: "auto", "cuda", "mps" or "cpu".
        evaluate: model -> number, called in evaluation mode without gradients, before the first step, every
            ``evaluate_every`` steps and after the last.
        evaluate_every: steps.
        patience: evaluations without a new lowest value after which the run stops early. The model then has the weights
            of its lowest evaluation, whether the run stopped early or not.
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
            When an evaluation is not a number and the lowest is looked for.
    """
    if patience is not None and (evaluate is None or patience < 1):
        raise ValueError(f"patience must be at least 1, and needs evaluate, model -> number; got {patience}")
    _check_counts(
        steps=steps,
        gradient_accumulation_steps=gradient_accumulation_steps,
        evaluate_every=evaluate_every,
        checkpoint_every=checkpoint_every,
    )
    rates = shares(schedule, steps, warmup)
    target = pick_device(device)
    model.to(target).zero_grad()
    torch.manual_seed(seed)
    names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    own = None if lr_multiplier is None else shares_by_parameter(lr_multiplier, names, steps)
    run = TrainingState(
        model, make_optimizers(model, optimizer, learning_rate, weight_decay, own), patience is not None
    )
    saved = Path(checkpoint) if checkpoint else None
    if saved and saved.exists():
        run.load(saved)
    half = _is_half(precision, target)
    started = time.process_time() - run.history.cpu_seconds
    first = len(run.history.loss)
    if first > steps:
        raise ValueError(f"{saved} is at step {first} already; steps must be at least that, got {steps}")
    stream: Iterator[Any] = iter(())  # a run that has done its steps reads no batch
    if first < steps:
        stream = itertools.islice(_endless(batches), first * gradient_accumulation_steps, None)
    pause = 0.5 if sys.stdout.isatty() or "ipykernel" in sys.modules else 30  # seconds; a log wants few lines
    bar = tqdm(total=steps, initial=first, file=sys.stdout, mininterval=pause, disable=not progress)
    if evaluate and first == 0:
        run.evaluate(evaluate)
    limit = math.inf if patience is None else patience
    for step in range(first + 1, steps + 1):
        if run.stale >= limit:
            break
        with run.rate(rates[step - 1]):
            for batch in itertools.islice(stream, gradient_accumulation_steps):
                with torch.autocast(target.type, torch.bfloat16, enabled=half):
                    objective = loss(model.train(), _to(batch, target))
                run.add(objective / gradient_accumulation_steps)
            run.step(max_grad_norm)
        run.history.cpu_seconds = time.process_time() - started
        if evaluate and (step % evaluate_every == 0 or step == steps):
            run.evaluate(evaluate)
        if on_step:
            on_step(step, run.history)
        if saved and (step % checkpoint_every == 0 or step == steps or run.stale >= limit):
            run.save(saved)  # last, so that random numbers drawn by the calls above are not drawn again
        bar.set_postfix(loss=f"{run.history.loss[-1]:.3f}", refresh=False)
        bar.update()
    bar.close()
    run.restore_best()
    model.eval()
    return run.history


def _check_counts(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name} must be at least 1; got {count}")


def _is_half(precision: str, device: torch.device) -> bool:
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}; got {precision!r}")
    gains = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return precision == "bfloat16" or (precision == "auto" and gains)


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
    if hasattr(batch, "_make"):  # a named tuple
        return batch._make(tensor.to(device) for tensor in batch)
    if isinstance(batch, tuple | list):
        return type(batch)(tensor.to(device) for tensor in batch)
    return batch.to(device)
