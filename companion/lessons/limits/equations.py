"""Equations of ``book/concepts/limits.ipynb``."""

import math
from typing import Any

import torch
from torch import Generator, Tensor

from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import normal, tokens, whole
from companion.metrics.limits import auroc, exposure


def _draw_sides(generator: Generator) -> dict[str, Tensor]:
    m, n = whole(generator, 1, 9), whole(generator, 1, 9)
    # tenths, so that there are ties
    return {"a": tokens(generator, 11, m) / 10, "b": tokens(generator, 8, n) / 10}


def _auroc_by_hand(a: Tensor, b: Tensor) -> float:
    total = 0.0
    for a_i in a.tolist():
        for b_j in b.tolist():
            total += (a_i > b_j) + 0.5 * (a_i == b_j)
    return total / (len(a) * len(b))


def _auroc_companion(a: Tensor, b: Tensor) -> float:
    return auroc(a, b)


def _auroc_torch(a: Tensor, b: Tensor) -> Tensor:
    # ranks among the others, counted with ties and without: their mean gives a tie one half
    others = b.sort().values.contiguous()
    below = torch.searchsorted(others, a.contiguous()).double()
    up_to = torch.searchsorted(others, a.contiguous(), right=True).double()
    return (below + up_to).mean() / (2 * len(b))


def _draw_candidates(generator: Generator) -> dict[str, Any]:
    size = whole(generator, 2, 40)
    return {"log_probs": normal(generator, size).log_softmax(-1), "secret": whole(generator, 0, size - 1)}


def _exposure_by_hand(log_probs: Tensor, secret: int) -> float:
    values = log_probs.tolist()
    rank = 1
    for value in values:
        rank += value > values[secret]
    return (math.log(len(values)) - math.log(rank)) / math.log(2)


def _exposure_companion(log_probs: Tensor, secret: int) -> float:
    return exposure(log_probs, secret)


def _exposure_torch(log_probs: Tensor, secret: int) -> Tensor:
    order = torch.argsort(log_probs, descending=True)
    rank = (order == secret).nonzero()[0, 0] + 1
    return torch.log2(torch.tensor(float(len(log_probs)))) - torch.log2(rank.double())


EQUATIONS = (
    Equation(
        label="eq-limits-auroc",
        symbols=(
            Symbol("A", "AUROC: probability that of a pair the question with an answer has the higher confidence"),
            Symbol("m", "number of questions with an answer"),
            Symbol("n", "number of questions without one"),
            Symbol("a_i", "confidence at question $i$ with an answer"),
            Symbol("b_j", "confidence at question $j$ without one"),
            Symbol(r"[\cdot]", "1 if true, 0 if not"),
        ),
        draw=_draw_sides,
        by_hand=_auroc_by_hand,
        companion=_auroc_companion,
        library=_auroc_torch,
    ),
    Equation(
        label="eq-limits-exposure",
        symbols=(
            Symbol("E", "exposure of a secret, in bits"),
            Symbol("R", "number of candidates: words that the secret could be"),
            Symbol(r"\rho", "rank of the secret among the candidates by probability, 1 for the likeliest"),
        ),
        draw=_draw_candidates,
        by_hand=_exposure_by_hand,
        companion=_exposure_companion,
        library=_exposure_torch,
    ),
)
