"""Checked equations of ``book/practice/train_save_serve.ipynb``."""

import math
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import between, normal, whole
from companion.metrics.confidence import proportion_interval
from companion.serving.load import mean_in_flight, percentile

Z95 = 1.959963984540054  # the normal distribution has 95 % between -z and z


def _draw_right(generator: Generator) -> dict[str, Any]:
    n = whole(generator, 5, 400)
    return {"k": whole(generator, 0, n), "n": n}


def _wilson_by_hand(k: int, n: int) -> list[float]:
    p, z = k / n, Z95
    root = math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return [(p + z * z / (2 * n) - z * root) / (1 + z * z / n), (p + z * z / (2 * n) + z * root) / (1 + z * z / n)]


def _wilson_companion(k: int, n: int) -> list[float]:
    _, low, high = proportion_interval(k, n)
    return [low, high]


def _wilson_roots(k: int, n: int) -> list[float]:
    # the fractions q from which p is just z standard errors away: (p - q)² = z² q (1 - q) / n
    p, weight = k / n, torch.special.ndtri(torch.tensor(0.975, dtype=torch.float64)).item() ** 2 / n
    b, c = -(2 * p + weight), p * p
    big = (-b + math.sqrt(max(b * b - 4 * (1 + weight) * c, 0))) / (2 * (1 + weight))
    return [c / (1 + weight) / big, big]


def _draw_latencies(generator: Generator) -> dict[str, Any]:
    values = normal(generator, whole(generator, 3, 40)).exp().tolist()
    return {"x": values, "q": between(generator, 0.05, 0.99)}


def _percentile_by_hand(x: list[float], q: float) -> float:
    at_or_below = {value: sum(other <= value for other in x) for value in x}
    return min(value for value, count in at_or_below.items() if count >= q * len(x))


def _percentile_companion(x: list[float], q: float) -> float:
    return percentile(x, q)


def _percentile_numpy(x: list[float], q: float) -> float:
    return float(np.quantile(x, q, method="inverted_cdf"))


def _draw_intervals(generator: Generator) -> dict[str, Any]:
    starts = 10 * torch.rand(whole(generator, 2, 20), generator=generator, dtype=torch.float64)
    return {"starts": starts, "ends": starts + normal(generator, len(starts)).exp()}


def _little_by_hand(starts: Tensor, ends: Tensor) -> float:
    begun, done = starts.tolist(), ends.tolist()
    latencies = [end - start for start, end in zip(begun, done, strict=True)]
    rate = len(latencies) / (max(done) - min(begun))
    return float(rate * sum(latencies) / len(latencies))


def _little_companion(starts: Tensor, ends: Tensor) -> float:
    return mean_in_flight(list(zip(starts.tolist(), ends.tolist(), strict=True)))


def _little_torch(starts: Tensor, ends: Tensor) -> Tensor:
    times = torch.cat([starts, ends])
    order = times.argsort()
    running = torch.cat([torch.ones_like(starts), -torch.ones_like(ends)])[order].cumsum(0)
    times = times[order]
    return (running[:-1] * times.diff()).sum() / (times[-1] - times[0])


EQUATIONS = (
    Equation(
        label="eq-serving-wilson",
        symbols=(
            Symbol("q", "ends of the confidence interval of the accuracy"),
            Symbol(r"\hat p", "accuracy on the test texts: the right ones divided by all"),
            Symbol("z", "width in standard errors: 1.96 for 95 %"),
            Symbol("n", "number of test texts"),
        ),
        draw=_draw_right,
        by_hand=_wilson_by_hand,
        companion=_wilson_companion,
        library=_wilson_roots,
        library_name="the roots of its quadratic equation",
    ),
    Equation(
        label="eq-serving-percentile",
        symbols=(
            Symbol("P_q", "percentile: the smallest latency with at least the fraction $q$ of all at or below it"),
            Symbol("q", "fraction of the requests, such as 0.95"),
            Symbol("x_{(k)}", "latency with rank $k$ when all are sorted, the smallest first"),
            Symbol("n", "number of requests"),
        ),
        draw=_draw_latencies,
        by_hand=_percentile_by_hand,
        companion=_percentile_companion,
        library=_percentile_numpy,
        library_name="NumPy",
    ),
    Equation(
        label="eq-serving-little",
        symbols=(
            Symbol("L", "mean number of requests in flight"),
            Symbol(r"\lambda", "throughput: requests per second"),
            Symbol("W", "mean latency, in seconds"),
        ),
        draw=_draw_intervals,
        by_hand=_little_by_hand,
        companion=_little_companion,
        library=_little_torch,
    ),
)
