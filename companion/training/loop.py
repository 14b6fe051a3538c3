"""The training loop of every chapter: seeded, clipped, scheduled, and resumable to the same weights.

Chapters: ``book/algorithms/gpt.ipynb``, ``book/concepts/optimization.ipynb``.
"""

import itertools
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from numbers import Real
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from tqdm import tqdm

from companion.losses.causal import causal_loss, causal_targets
from companion.nn.checks import check_integer
from companion.nn.device import pick_device
from companion.nn.machine import fastest_precision
from companion.nn.wrappers import plain_name
from companion.training.non_finite import origin
from companion.training.optimizers import make_optimizers
from companion.training.run_settings import fingerprint, settings_of
from companion.training.run_state import History, TrainingState
from companion.training.schedules import multipliers, multipliers_by_parameter
from companion.training.settings import Checkpoint, Evaluation, Optimization, Runtime

OnStep = Callable[[int, History], object]  # (number of the step, counted from 1; the history so far)


def fit(
    model: nn.Module,
    batches: Iterable[Any],
    *,
    steps: int,
    loss: Callable[[nn.Module, Any], Tensor] = causal_loss,
    learning_rate: float = 3e-3,
    optimization: Optimization = Optimization(),
    evaluation: Evaluation | None = None,
    checkpoint: Checkpoint | None = None,
    runtime: Runtime = Runtime(),
    progress: bool | OnStep = True,
) -> History:
    """Train a model in place, and return what happened; the model is left on its device in evaluation mode.

    The learning rate rises linearly over the warm-up and then follows the schedule. The optimizers are torch's own,
    faster than those of :mod:`companion.training.optimizers` and equal to them step by step.

    Args:
        model: any model that ``loss`` understands.
        batches: tensors, or tuples or dicts of tensors; started anew when they run out. A resumed run is exact only if
            they are the same each time, which the first of them is checked for: their order must not depend on torch's
            global random state.
        steps: of the optimizer, at least 1.
        loss: (model, batch) -> scalar.
        learning_rate: at its peak, above 0.
        optimization: optimizer, weight decay, schedule and warm-up, gradient clipping and accumulation.
        evaluation: what is measured during training, how often, and whether it stops the run early.
        checkpoint: the file that the run is saved to and resumed from.
        runtime: device, precision, and the seed of dropout.
        progress: True shows a bar on standard output. A function takes its place: it is called after each step with the
            step's number, counted from 1, and the history so far.

    Returns:
        the run's history.

    Raises:
        ValueError: on a setting outside its range, batches that run out at once, a loss that is no scalar with a
            gradient, or a checkpoint that is of a run with another model, other batches or other settings, or damaged.
        TypeError: on settings of another kind, such as a path in the place of a :class:`Checkpoint`.
        OSError: when the checkpoint cannot be written; it is tried before the first step, and after it.
        FloatingPointError: when the loss or its gradient is not finite, with the step and the first tensor that is not;
            the model keeps the weights of the step before. When an evaluation is not a number and the lowest is looked
            for.

    >>> from companion.models.gpt import GPT, GPTConfig
    >>> model = GPT(GPTConfig(vocab_size=9, context_length=8, n_layers=1, n_heads=2, d_model=8))
    >>> history = fit(model, [torch.arange(8)[None]], steps=20, learning_rate=0.05, progress=False)
    >>> history.loss[-1] < history.loss[0]
    True
    """
    _check_kinds(optimization=optimization, evaluation=evaluation, checkpoint=checkpoint, runtime=runtime)
    rates = _multipliers(steps, learning_rate, optimization)
    device = pick_device(runtime.device)
    if runtime.precision == "auto":  # resolved here, so that a resumed run is refused where it would compute otherwise
        runtime = replace(runtime, precision=fastest_precision(device))
    model.to(device).zero_grad()
    torch.manual_seed(runtime.seed)
    run = TrainingState(
        model,
        _optimizers(model, steps, learning_rate, optimization),
        patience=evaluation.patience if evaluation else None,
        settings=settings_of(model, loss, learning_rate, optimization, runtime, evaluation),
    )
    stream = _begun(run, batches, checkpoint)
    first = _resume(run, checkpoint, steps, shown=progress is True)
    size, half = optimization.gradient_accumulation_steps, runtime.precision == "bfloat16"
    targets = optimization.targets or (causal_targets if loss is causal_loss else _alike)
    stream = itertools.islice(stream, run.batches, None)
    started = time.process_time() - run.history.cpu_seconds
    if evaluation and first == 0 and not run.history.evaluations:  # a run that was stopped at once has it already
        run.evaluate(evaluation.function)
    if checkpoint and first == 0:
        run.save(Path(checkpoint.path))  # what cannot be saved is found now, not after the work
    with _shown(progress, steps, first) as on_step:
        for step in range(first + 1, steps + 1):
            if run.is_stale:
                break
            with run.rate(rates[step - 1]):
                for batch in itertools.islice(stream, size):
                    objective = partial(_objective, loss, model.train(), _to(batch, device), half)
                    run.add(
                        objective(), 1.0 if size == 1 else _counted(targets, batch), partial(origin, model, objective)
                    )
                run.step(optimization.max_grad_norm)
            run.history.cpu_seconds = time.process_time() - started
            if evaluation and (step % evaluation.every == 0 or step == steps):
                run.evaluate(evaluation.function)
            on_step(step, run.history)
            if checkpoint and (step % checkpoint.every == 0 or step in (1, steps) or run.is_stale):
                # last, so that random numbers drawn above are not drawn again; after step 1 there are momenta to save
                run.save(Path(checkpoint.path))
    run.restore_best()
    model.eval()
    return run.history


def _check_kinds(**given: object) -> None:
    kinds = {"optimization": Optimization, "evaluation": Evaluation, "checkpoint": Checkpoint, "runtime": Runtime}
    for name, value in given.items():
        optional = value is None and name in ("evaluation", "checkpoint")
        if not optional and not isinstance(value, kinds[name]):
            raise TypeError(f"{name} must be a companion.training.{kinds[name].__name__}; got {value!r:.80}")


def _multipliers(steps: int, learning_rate: float, how: Optimization) -> list[float]:
    """The schedule's multiplier of the learning rate at each step, after a check that such a run can learn."""
    check_integer("steps", steps)
    if not isinstance(learning_rate, Real) or isinstance(learning_rate, bool):
        raise ValueError(f"learning_rate must be a number; got {learning_rate!r:.80}")
    if not 0 < learning_rate < math.inf:  # NaN too
        raise ValueError(f"learning_rate must be finite and above 0; got {learning_rate}")
    if learning_rate * how.weight_decay >= 1:  # w <- (1 - learning_rate weight_decay) w would turn the weights round
        raise ValueError(f"learning_rate times weight_decay must be below 1; got {learning_rate} x {how.weight_decay}")
    rates = multipliers(how.schedule, steps, how.warmup)
    if not any(rates):
        raise ValueError("the learning rate is 0 at the only step; give more steps or a warm-up")
    return rates


def _optimizers(model: nn.Module, steps: int, learning_rate: float, how: Optimization) -> list[Optimizer]:
    names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    of_parameter, own = how.lr_multiplier, None
    if of_parameter is not None:
        own = multipliers_by_parameter(lambda name, step: of_parameter(plain_name(name), step), names, steps)
    return make_optimizers(model, how.optimizer, learning_rate, how.weight_decay, own)


def _alike(_: Any) -> float:
    """The weight of every batch among those that are accumulated, where nothing counts their targets."""
    return 1.0


def _resume(run: TrainingState, checkpoint: Checkpoint | None, steps: int, *, shown: bool) -> int:
    """Load the checkpoint, if there is one, and return how many of the steps are done."""
    if checkpoint is None or not Path(checkpoint.path).exists():
        return 0
    run.load(Path(checkpoint.path))
    done = len(run.history.loss)
    if done > steps:
        raise ValueError(f"{checkpoint.path} is at step {done} already; steps must be at least that, got {steps}")
    if shown and (done == steps or run.is_stale):
        print(f"The run of {checkpoint.path} is done, at step {done}: it is read back, and nothing is trained.")
    return done


@contextmanager
def _shown(progress: bool | OnStep, steps: int, first: int) -> Iterator[OnStep]:
    """Provide what is called after each step: the caller's function, or one that moves a bar."""
    if callable(progress):
        yield progress
        return
    pause = 0.5 if sys.stdout.isatty() or "ipykernel" in sys.modules else 30  # seconds; a log wants few lines
    with tqdm(total=steps, initial=first, file=sys.stdout, mininterval=pause, disable=not progress) as bar:

        def move(step: int, history: History) -> None:
            bar.set_postfix(loss=f"{history.loss[-1]:.3f}", refresh=False)
            bar.update()

        yield move


def _counted(targets: Callable[[Any], Any], batch: Any) -> float:
    """Number of a batch's targets; a run file could not keep that of a tensor."""
    found = targets(batch)
    try:
        return float(found)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"targets must return one number for a batch; got {found!r:.80}") from error


def _objective(loss: Callable[[nn.Module, Any], Tensor], model: nn.Module, batch: Any, half: bool) -> Tensor:
    kind = next(model.parameters()).device.type
    with torch.autocast(kind, torch.bfloat16, enabled=half):
        return loss(model, batch)


def _begun(run: TrainingState, batches: Iterable[Any], checkpoint: Checkpoint | None) -> Iterator[Any]:
    """Batches without end, the first of which the run notes: by it other batches are told when the run is resumed."""
    stream = _endless(batches)
    if checkpoint and Path(checkpoint.path).exists():
        first = next(stream)
        run.first_batch = fingerprint(first)
        return itertools.chain([first], stream)
    return (_noted(run, batch) for batch in stream)


def _noted(run: TrainingState, batch: Any) -> Any:
    run.first_batch = run.first_batch or fingerprint(batch)
    return batch


def _endless(batches: Iterable[Any]) -> Iterator[Any]:
    while True:
        batch = None
        for batch in batches:
            yield batch
        if batch is None:
            raise ValueError("batches ran out; give a list, a loader, or a generator that does not end")


@runtime_checkable
class _NamedTuple(Protocol):
    """What a named tuple has, and no other tuple."""

    def __iter__(self) -> Iterator[Any]: ...

    def _make(self, values: Iterable[Any]) -> Any: ...


def _to(batch: Any, device: torch.device) -> Any:
    """The same batch, its tensors on the device."""
    if isinstance(batch, dict):
        return {name: _moved(tensor, device) for name, tensor in batch.items()}
    if isinstance(batch, _NamedTuple):
        return batch._make(_moved(tensor, device) for tensor in batch)
    if isinstance(batch, tuple | list):
        return type(batch)(_moved(tensor, device) for tensor in batch)
    return _moved(batch, device)


def _moved(tensor: Any, device: torch.device) -> Tensor:
    if not isinstance(tensor, Tensor):
        raise TypeError(f"a batch must be a tensor, or a tuple, list or dict of tensors; got {tensor!r:.80}")
    return tensor.to(device)
