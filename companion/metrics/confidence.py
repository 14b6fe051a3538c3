"""Is one way better than another? The mean of a few runs, how far it can be trusted, and how much error is gone.

Chapter: ``book/concepts/transfer.ipynb``. Sources: Student 1908, "The Probable Error of a Mean"; Abramowitz & Stegun
1964, "Handbook of Mathematical Functions", 26.7.3 and 26.7.4 (the distribution for whole degrees of freedom).
"""

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple


class Interval(NamedTuple):
    """A mean of runs, and where the mean of very many would lie.

    Attributes:
        mean: of the runs at hand.
        low: the lower end of the interval.
        high: its upper end.
    """

    mean: float
    low: float
    high: float


def interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """Return the mean of independent runs and its interval by the t-distribution.

    ``mean ± t s / sqrt(n)``: s is the runs' standard deviation, divided by n - 1, and t as in :func:`t_quantile`.

    Args:
        values: one a run.
        level: share of such intervals that hold the mean of very many runs, if the runs are normally distributed.

    Raises:
        ValueError: on fewer than two runs, one that is not finite, or a level outside (0, 1).
    """
    if len(values) < 2 or not all(map(math.isfinite, values)):
        raise ValueError(f"an interval needs at least 2 runs, all finite; got {list(values)}")
    mean = statistics.fmean(values)
    half = t_quantile(len(values) - 1, level) * statistics.stdev(values) / math.sqrt(len(values))
    return Interval(mean, mean - half, mean + half)


def t_quantile(freedom: int, level: float = 0.95) -> float:
    """Return the t with ``P(-t < T < t) = level``, T distributed as Student's t.

    Args:
        freedom: degrees of freedom, a whole number.
        level: the probability between -t and t.

    Raises:
        ValueError: when there is no degree of freedom, or the level is outside (0, 1).
    """
    if freedom < 1:
        raise ValueError(f"freedom must be at least 1; got {freedom}")
    if not 0 < level < 1:
        raise ValueError(f"level must be in (0, 1); got {level}")
    low, high = 0.0, math.pi / 2  # t = sqrt(freedom) tan(angle), and the probability grows with the angle
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if _between(middle, freedom) < level else (low, middle)
    return math.sqrt(freedom) * math.tan(low)


def relative_error_reduction(score: float, baseline: float) -> float:
    """Return the share of a baseline's error that is gone: ``1 - (1 - score) / (1 - baseline)``; below 0 = more error.

    Args:
        score: such as an accuracy or F1, at most 1.
        baseline: the score to compare with.

    Raises:
        ValueError: when a score is not in [0, 1], or the baseline makes no error.
    """
    if not (0 <= score <= 1 and 0 <= baseline < 1):
        raise ValueError(f"scores lie in [0, 1], and the baseline's below 1; got {score} and {baseline}")
    return 1 - (1 - score) / (1 - baseline)


def _between(angle: float, freedom: int) -> float:
    """``P(-t < T < t)`` with t = sqrt(freedom) tan(angle); a finite sum, since freedom is whole."""
    cosine, sine = math.cos(angle), math.sin(angle)
    odd = freedom % 2
    term, total = (cosine if odd else 1.0), 0.0
    for power in range(odd, freedom - 1, 2):  # of the cosine in this term
        total += term
        term *= cosine**2 * (power + 1) / (power + 2)
    return 2 / math.pi * (angle + sine * total) if odd else sine * total
