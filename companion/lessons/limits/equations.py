"""The equations of ``book/background/limits.ipynb``."""

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


def _separation_hand(a: Tensor, b: Tensor) -> float:
    total = 0.0
    for a_i in a.tolist():
        for b_j in b.tolist():
            total += (a_i > b_j) + 0.5 * (a_i == b_j)
    return total / (len(a) * len(b))


def _separation_ours(a: Tensor, b: Tensor) -> float:
    return auroc(a, b)


def _separation_torch(a: Tensor, b: Tensor) -> Tensor:
    # places among the others, counted with ties and without: their mean gives a tie one half
    others = b.sort().values.contiguous()
    below = torch.searchsorted(others, a.contiguous()).double()
    up_to = torch.searchsorted(others, a.contiguous(), right=True).double()
    return (below + up_to).mean() / (2 * len(b))


def _draw_candidates(generator: Generator) -> dict[str, Any]:
    size = whole(generator, 2, 40)
    return {"log_probs": normal(generator, size).log_softmax(-1), "secret": whole(generator, 0, size - 1)}


def _exposure_hand(log_probs: Tensor, secret: int) -> float:
    values = log_probs.tolist()
    place = 1
    for value in values:
        place += value > values[secret]
    return (math.log(len(values)) - math.log(place)) / math.log(2)


def _exposure_ours(log_probs: Tensor, secret: int) -> float:
    return exposure(log_probs, secret)


def _exposure_torch(log_probs: Tensor, secret: int) -> Tensor:
    order = torch.argsort(log_probs, descending=True)
    place = (order == secret).nonzero()[0, 0] + 1
    return torch.log2(torch.tensor(float(len(log_probs)))) - torch.log2(place.double())


EQUATIONS = (
    Equation(
        label="eq-limits-separation",
        symbols=(
            Symbol("A", "chance that an answerable question is the surer one of a pair"),
            Symbol("m", "questions with an answer"),
            Symbol("n", "questions without one"),
            Symbol("a_i", "confidence at question $i$ with an answer"),
            Symbol("b_j", "confidence at question $j$ without one"),
            Symbol(r"[\cdot]", "1 if true, 0 if not"),
        ),
        draw=_draw_sides,
        hand=_separation_hand,
        ours=_separation_ours,
        torch=_separation_torch,
    ),
    Equation(
        label="eq-limits-exposure",
        symbols=(
            Symbol("E", "exposure of a secret, in bits"),
            Symbol("R", "words that the secret could be"),
            Symbol(r"\rho", "place of the true one when they are sorted by probability, from 1"),
        ),
        draw=_draw_candidates,
        hand=_exposure_hand,
        ours=_exposure_ours,
        torch=_exposure_torch,
    ),
)
