"""Learning-rate schedules: up in a warm-up, then down in one of a few ways.

Chapter: ``book/concepts/optimization.ipynb``. A schedule is a function of the step, counted from 1, of how many there
are in all and of how many are warm-up; after the warm-up it returns the multiplier of the peak learning rate.
"""

import math
from collections.abc import Callable, Iterable
from numbers import Real

LearningRateMultiplier = Callable[[str, int], float]  # (a parameter's name, step from 1) -> factor; 0 = frozen


def constant(step: int, steps: int, warmup: int) -> float:
    """Constant learning rate, at the peak: 1.

    >>> constant(7, steps=10, warmup=2)
    1.0
    """
    return 1.0


def linear(step: int, steps: int, warmup: int) -> float:
    """Linear decay to 0: ``1 - u``, with u the fraction of the steps after the warm-up that are done.

    >>> linear(6, steps=10, warmup=2)
    0.5
    """
    return 1 - _fraction(step, steps, warmup)


def cosine(step: int, steps: int, warmup: int) -> float:
    """Cosine decay to 0: ``(1 + cos(pi u)) / 2``, with u as in :func:`linear` (Loshchilov & Hutter 2017, eq. 5).

    >>> round(cosine(6, steps=10, warmup=2), 6)
    0.5
    """
    return 0.5 * (1 + math.cos(math.pi * _fraction(step, steps, warmup)))


def inverse_sqrt(step: int, steps: int, warmup: int) -> float:
    """Inverse square root: ``sqrt(warmup / step)``, which needs no last step (Vaswani et al. 2017, eq. 3).

    >>> inverse_sqrt(8, steps=10, warmup=2)
    0.5
    """
    return math.sqrt(max(1, warmup) / step)


def warmup_stable_decay(step: int, steps: int, warmup: int) -> float:
    """Constant learning rate, then linear decay to 0 in the last fifth: ``min(1, 5 (1 - u))``, u as in :func:`linear`.

    Until the decay begins, the steps of a run do not depend on its length, so that runs of many lengths can share them.
    Source: Hu et al. 2024, "MiniCPM", section 4, where the decay has any falling form.

    >>> [warmup_stable_decay(step, steps=12, warmup=2) for step in (9, 10, 11, 12)]
    [1.0, 1.0, 0.5, 0.0]
    """
    return min(1.0, 5 * (steps - step) / (steps - warmup))


SCHEDULES: dict[str, Callable[[int, int, int], float]] = {
    "cosine": cosine,
    "linear": linear,
    "constant": constant,
    "inverse_sqrt": inverse_sqrt,
    "warmup_stable_decay": warmup_stable_decay,
}


def multipliers(schedule: str, steps: int, warmup: int | None = None) -> list[float]:
    """Multipliers of the peak learning rate, one per step: ``t / warmup`` at first, then the schedule's.

    Args:
        schedule: one of ``SCHEDULES``.
        steps: of the whole run, at least 1.
        warmup: steps of the warm-up; a twentieth of all, and at least 1, when not given.

    Raises:
        ValueError: on an unknown schedule, no steps, or a negative warm-up.

    >>> multipliers("linear", steps=6, warmup=2)
    [0.5, 1.0, 0.75, 0.5, 0.25, 0.0]
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


def multipliers_by_parameter(
    lr_multiplier: LearningRateMultiplier, names: Iterable[str], steps: int
) -> dict[str, tuple[float, ...]]:
    """Multipliers of each parameter's learning rate, one per step, by the parameter's name.

    Args:
        lr_multiplier: called for every parameter and step; see :mod:`companion.finetuning.layer_rates`.
        names: of the parameters.
        steps: of the whole run.

    Raises:
        ValueError: on a multiplier that is negative or not finite, or a step at which nothing trains.

    >>> multipliers_by_parameter(lambda name, step: 1 / step if name == "bias" else 1, ["weight", "bias"], steps=2)
    {'weight': (1.0, 1.0), 'bias': (1.0, 0.5)}
    """
    table = {name: tuple(lr_multiplier(name, step) for step in range(1, steps + 1)) for name in names}
    for name, own in table.items():
        for step, factor in enumerate(own, start=1):
            if not isinstance(factor, Real) or not 0 <= factor < math.inf:
                raise ValueError(f"lr_multiplier must be finite and at least 0; got {factor} for {name} at step {step}")
    idle = next((step for step, own in enumerate(zip(*table.values(), strict=True), start=1) if not any(own)), None)
    if idle is not None:
        raise ValueError(f"at each step a parameter must train; at step {idle} lr_multiplier is 0 for all of them")
    return {name: tuple(float(factor) for factor in own) for name, own in table.items()}


def _fraction(step: int, steps: int, warmup: int) -> float:
    return (step - warmup) / max(1, steps - warmup)
