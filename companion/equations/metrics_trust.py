"""The equations of ``book/formulas/metrics.ipynb`` about what can be trusted: calibration, and a mean over seeds."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from companion.classification import calibration
from companion.comparison import interval
from companion.equations.checking import Equation, Symbol
from companion.equations.drawing import normal, shares, tokens, whole


def _sure(g: Generator) -> dict[str, Any]:
    return {"p": shares(g, 40, 3), "y": tokens(g, 3, 40), "bins": whole(g, 2, 10)}


def _ece_hand(p: Tensor, y: Tensor, bins: int) -> float:
    total = 0.0
    for b in range(1, bins + 1):
        surplus = 0.0
        for i in range(len(p)):
            sure = float(max(p[i]))
            if (b - 1) / bins < sure <= b / bins:
                surplus += float(p[i, y[i]] == max(p[i])) - sure
        total += abs(surplus)
    return total / len(p)


def _ece_ours(p: Tensor, y: Tensor, bins: int) -> float:
    return calibration(p, y, bins).error


def _ece_torch(p: Tensor, y: Tensor, bins: int) -> Tensor:
    sure, said = p.max(-1)
    inside = F.one_hot(torch.bucketize(sure, torch.linspace(0, 1, bins + 1)[1:-1]), bins).double()  # (n, bins)
    counts = inside.sum(0).clamp(min=1)
    gaps = (said.eq(y).double() @ inside - sure @ inside) / counts  # accuracy less confidence, bin by bin
    return (inside.mean(0) * gaps.abs()).sum()


def _interval_hand(a: Tensor) -> tuple[float, float]:
    n = 5
    mean = sum(float(a_k) for a_k in a) / n
    s = math.sqrt(sum((float(a_k) - mean) ** 2 for a_k in a) / (n - 1))
    x = 2 * math.cos((2 * math.pi - math.acos(-0.95)) / 3)  # solves x^3 - 3 x + 1.9 = 0
    t = 2 * x / math.sqrt(1 - x**2)
    return mean - t * s / math.sqrt(n), mean + t * s / math.sqrt(n)


def _interval_ours(a: Tensor) -> tuple[float, float]:
    found = interval(a.tolist())
    return found.low, found.high


def _interval_torch(a: Tensor) -> tuple[Tensor, Tensor]:
    t = torch.tensor(2.0)
    for _ in range(8):  # Newton's method on the area under the density, which Simpson's rule measures
        x = torch.linspace(0, 1, 2001) * t
        density = 0.375 * (1 + x.square() / 4) ** -2.5
        area = t / 6000 * (density[:-1:2].sum() + 4 * density[1::2].sum() + density[2::2].sum())  # h / 3
        t = t - (area - 0.475) / density[-1]
    half = t * a.std() / 5**0.5
    return a.mean() - half, a.mean() + half


EQUATIONS = (
    Equation(
        "eq-metrics-ece",
        (
            Symbol("n", "predictions"),
            Symbol("B", "bins of equal width"),
            Symbol("c_i", "confidence of prediction $i$: the largest of its probabilities"),
            Symbol("z_i", "1 if prediction $i$ is right, else 0"),
        ),
        _sure,
        _ece_hand,
        _ece_ours,
        _ece_torch,
    ),
    Equation(
        "eq-metrics-interval",
        (
            Symbol(r"\bar a", "mean of the five scores"),
            Symbol("s", "their standard deviation, with $n - 1$ in the denominator"),
            Symbol("n", "seeds; here five"),
            Symbol("t", "between $-t$ and $t$ lie 95 % of Student's distribution with 4 degrees of freedom"),
        ),
        lambda g: {"a": normal(g, 5)},
        _interval_hand,
        _interval_ours,
        _interval_torch,
        library="numerical integration",
    ),
)
