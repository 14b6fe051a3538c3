"""Equations of ``book/algorithms/distillation.ipynb``: how far two heads are apart."""

import math
from typing import Any

from torch import Generator, Tensor
from torch.distributions import Categorical, kl_divergence

from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import distribution
from companion.metrics.divergence import jensen_shannon


def _weights(g: Generator) -> dict[str, Any]:
    return {"a": distribution(g, 6), "b": distribution(g, 6)}


def _by_hand(a: Tensor, b: Tensor) -> float:
    total = 0.0
    for a_j, b_j in zip(a.tolist(), b.tolist(), strict=True):
        m_j = (a_j + b_j) / 2
        total += a_j * math.log2(a_j / m_j) + b_j * math.log2(b_j / m_j)
    return total / 2


def _companion(a: Tensor, b: Tensor) -> Tensor:
    return jensen_shannon(a, b)


def _torch(a: Tensor, b: Tensor) -> Tensor:
    of_a, of_b, of_m = (Categorical(probs) for probs in (a, b, (a + b) / 2))
    return (kl_divergence(of_a, of_m) + kl_divergence(of_b, of_m)) / (2 * math.log(2))


EQUATIONS = (
    Equation(
        label="eq-distillation-jensen-shannon",
        symbols=(
            Symbol(r"\mathrm{JS}(a, b)", "Jensen–Shannon divergence of two distributions, in bits"),
            Symbol("a_j", "weight of token $j$ in a head of the teacher"),
            Symbol("b_j", "weight of token $j$ in a head of the student"),
            Symbol("m_j", "mean of the two weights"),
            Symbol("n", "number of tokens that can be attended to"),
        ),
        draw=_weights,
        by_hand=_by_hand,
        companion=_companion,
        library=_torch,
    ),
)
