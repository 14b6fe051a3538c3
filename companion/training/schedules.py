"""How the learning rate goes during a run: up in a warm-up, then down in one of a few ways.

Chapter: ``book/concepts/optimization.ipynb``. A schedule is a function of the step, counted from 1, of how many there
are in all and of how many are warm-up; after the warm-up it returns the share of the peak rate.
"""

import math
from collections.abc import Callable, Iterable

LearningRateMultiplier = Callable[
    [str, int], float
]  # (a parameter's name, step from 1) -> its own share of the rate; 0 = frozen


def constant(step: int, steps: int, warmup: int) -> float:
    """Stay at the peak."""
    return 1.0


def linear(step: int, steps: int, warmup: int) -> float:
    """Fall to 0 in a straight line: ``1 - u``, with u the share of the way from the warm-up's end to the last step."""
    return 1 - _way(step, steps, warmup)


def cosine(step: int, steps: int, warmup: int) -> float:
    """Fall to 0 along half a cosine: ``(1 + cos(pi u)) / 2`` (Loshchilov & Hutter 2017, eq. 5)."""
    return 0.5 * (1 + math.cos(math.pi * _way(step, steps, warmup)))


def inverse_sqrt(step: int, steps: int, warmup: int) -> float:
    """Fall as ``sqrt(warmup / step)``, which needs no last step (Vaswani et al. 2017, eq. 3)."""
    return math.sqrt(max(1, warmup) / step)


SCHEDULES: dict[str, Callable[[int, int, int], float]] = {
    "cosine": cosine,
    "linear": linear,
    "constant": constant,
    "inverse_sqrt": inverse_sqrt,
}


def shares(schedule: str, steps: int, warmup: int | None = None) -> list[float]:
    """Return the share of the peak learning rate at each step: ``t / warmup`` at first, then the schedule's.

    Args:
        schedule: one of ``SCHEDULES``.
        steps: of the whole run, at least 1.
        warmup: steps; a twentieth of all, and at least 1, when not given.

    Raises:
        ValueError: on an unknown schedule, no steps, or a negative warm-up.
    """
    if schedule not in SCHEDULES:
        raise ValueError(f"schedule must be one of {', '.join(SCHEDULES)}; got {schedule!r}")
    if steps < 1:
        raise ValueError(f"steps must be at least 1; got {steps}")
    warm = max(1, steps // 20) if warmup is None else warmup
    if warm < 0:
        raise ValueError(f"warmup must be at least 0; got {warm}")
    after = SCHEDULES[schedule]
    return [t / warm if t <= warm else after(t, steps, warm) for t in range(1, steps + 1)]


def shares_by_parameter(
    lr_multiplier: LearningRateMultiplier, names: Iterable[str], steps: int
) -> dict[str, tuple[float, ...]]:
    """Return, for each parameter's name, its own share of the learning rate at each step.

    Args:
        lr_multiplier: asked for every parameter and step; :mod:`companion.finetuning.layer_rates` makes such functions.
        names: of the parameters.
        steps: of the whole run.

    Raises:
        ValueError: on a share that is negative or not finite, or a step at which nothing trains.
    """
    table = {name: tuple(float(lr_multiplier(name, step)) for step in range(1, steps + 1)) for name in names}
    for name, own in table.items():
        for step, share in enumerate(own, start=1):
            if not 0 <= share < math.inf:
                raise ValueError(f"a share of the rate is finite and at least 0; got {share} for {name} at step {step}")
    idle = next((step for step, own in enumerate(zip(*table.values(), strict=True), start=1) if not any(own)), None)
    if idle is not None:
        raise ValueError(f"at each step a parameter must train; at step {idle} every share of the rate is 0")
    return table


def _way(step: int, steps: int, warmup: int) -> float:
    return (step - warmup) / max(1, steps - warmup)
