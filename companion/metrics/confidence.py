"""Comparison of methods over a few runs: confidence intervals by Student's t, and relative error reduction.

And the confidence interval of one accuracy, or of any other fraction of texts. Chapters:
``book/concepts/transfer.ipynb``, ``book/practice/train_save_serve.ipynb``. Sources: Student 1908, "The Probable Error
of a Mean"; Wilson 1927, "Probable Inference, the Law of Succession, and Statistical Inference"; Abramowitz & Stegun
1964, "Handbook of Mathematical Functions", 26.7.3 to 26.7.5 (the distribution for whole degrees of freedom).
"""

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

MANY = 1000  # degrees of freedom, of which a series gives the quantile to seven digits


class Interval(NamedTuple):
    """Confidence interval of a mean of runs, or of a fraction of texts.

    Attributes:
        mean: mean of the runs, or the fraction.
        low: lower end of the interval.
        high: upper end of the interval.
    """

    mean: float
    low: float
    high: float


def interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """Confidence interval of the mean of independent runs, by Student's t-distribution.

    ``mean ± t s / sqrt(n)``: s is the sample standard deviation (with n - 1), and t as in :func:`t_quantile`.

    >>> mean, low, high = interval([0.90, 0.92, 0.94])
    >>> f"{mean:.3f} [{low:.3f}, {high:.3f}]"
    '0.920 [0.870, 0.970]'

    Args:
        values: one score per run.
        level: confidence level: fraction of such intervals that contain the true mean, if the runs are normally
            distributed.

    Raises:
        ValueError: on fewer than two runs, one that is not finite, or a level outside (0, 1).
    """
    if len(values) < 2 or not all(map(math.isfinite, values)):
        raise ValueError(f"an interval needs at least 2 runs, all finite; got {list(values)}")
    mean = statistics.fmean(values)
    half = t_quantile(len(values) - 1, level) * statistics.stdev(values) / math.sqrt(len(values))
    return Interval(mean, mean - half, mean + half)


def proportion_interval(successes: int, n: int, level: float = 0.95) -> Interval:
    """Confidence interval of a fraction, such as an accuracy, by Wilson's score.

    Unlike the mean plus and minus two standard errors it stays between 0 and 1, and says something where all or none of
    the texts are right.

    >>> fraction, low, high = proportion_interval(98, 100)
    >>> f"{fraction:.2f} [{low:.3f}, {high:.3f}]"
    '0.98 [0.930, 0.994]'

    Args:
        successes: number of texts that are right.
        n: number of texts, at least 1.
        level: confidence level, as in :func:`interval`.

    Raises:
        ValueError: when the numbers are no part of a whole, or the level is outside (0, 1).
    """
    if not 0 <= successes <= n or n < 1:
        raise ValueError(f"successes must be 0 to n, and n at least 1; got {successes} of {n}")
    if not 0 < level < 1:
        raise ValueError(f"level must be in (0, 1); got {level}")
    fraction, z = successes / n, statistics.NormalDist().inv_cdf((1 + level) / 2)
    middle = (fraction + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * math.sqrt(fraction * (1 - fraction) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return Interval(fraction, middle - half, middle + half)


def t_quantile(freedom: int, level: float = 0.95) -> float:
    """Two-sided quantile of Student's t: the t with ``P(-t < T < t) = level``.

    >>> round(t_quantile(2), 3), round(t_quantile(1000), 3)  # three runs; nearly the normal distribution's 1.96
    (4.303, 1.962)

    Args:
        freedom: degrees of freedom, an integer.
        level: probability between -t and t.

    Raises:
        ValueError: when there is no degree of freedom, or the level is outside (0, 1).
    """
    if freedom < 1:
        raise ValueError(f"freedom must be at least 1; got {freedom}")
    if not 0 < level < 1:
        raise ValueError(f"level must be in (0, 1); got {level}")
    if freedom > MANY:
        z = statistics.NormalDist().inv_cdf((1 + level) / 2)
        return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    low, high = 0.0, math.pi / 2  # t = sqrt(freedom) tan(angle), and the probability grows with the angle
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if _between(middle, freedom) < level else (low, middle)
    return math.sqrt(freedom) * math.tan(low)


def relative_error_reduction(score: float, baseline: float) -> float:
    """Relative error reduction over a baseline, ``1 - (1 - score) / (1 - baseline)``; negative = more errors.

    >>> round(relative_error_reduction(0.98, baseline=0.95), 6)  # three of five errors are gone
    0.6

    Args:
        score: accuracy or F1, at most 1.
        baseline: score to compare with.

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
