"""The equations of ``book/concepts/attention.ipynb`` that say why scores are divided by sqrt(d_k)."""

import math
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from companion.attention import scaled_dot_product_attention
from companion.equations.checking import Equation, Symbol
from companion.equations.drawing import between, normal


def _variance_hand(values: Tensor, chances: Tensor) -> tuple[float, float]:
    total = 0.0
    for c in range(values.size(1)):  # one component of q and the same of k
        mean = square = 0.0
        for a, b in product(range(2), range(2)):
            chance = float(chances[0, c, a] * chances[1, c, b])
            qk = float(values[0, c, a] * values[1, c, b])
            mean, square = mean + chance * qk, square + chance * qk**2
        total += square - mean**2
    return total, total / math.sqrt(values.size(1)) ** 2


def _variance_ours(values: Tensor, chances: Tensor) -> tuple[Tensor, Tensor]:
    (query, key), (p, r) = (_outcomes(x) for x in values), (_outcomes(x).prod(1) for x in chances)
    key = torch.cat([key, torch.zeros_like(key[:1])])  # a key of score 0, to read the other scores off
    _, weights = scaled_dot_product_attention(query, key, key)
    scores = (weights[:, :-1] / weights[:, -1:]).log()  # q · k / sqrt(d_k)
    chance = p[:, None] * r
    variance = (chance * scores**2).sum() - (chance * scores).sum() ** 2
    return variance * query.size(1), variance


def _variance_torch(values: Tensor, chances: Tensor) -> tuple[Tensor, Tensor]:
    (query, key), (p, r) = (_outcomes(x) for x in values), (_outcomes(x).prod(1) for x in chances)
    scores, chance = (query @ key.T).flatten(), torch.outer(p, r).flatten()
    scaled = scores / math.sqrt(query.size(1))
    return tuple(torch.cov(s, correction=0, aweights=chance) for s in (scores, scaled))  # type: ignore[return-value]


def _outcomes(choices: Tensor) -> Tensor:
    """Every way to choose one of two numbers for each component (d_k, 2): (2^d_k, d_k)."""
    return torch.stack([torch.stack(way) for way in product(*choices)])


def _two_values(generator: Generator) -> dict[str, Any]:
    chance = torch.tensor([[between(generator, 0.2, 0.8) for _ in range(3)] for _ in range(2)])  # (q and k, d_k)
    chances = torch.stack([chance, 1 - chance], dim=-1)
    odds = ((1 - chance) / chance).sqrt()
    return {"values": torch.stack([odds, -1 / odds], dim=-1), "chances": chances}  # mean 0, variance 1


def _jacobian_hand(s: Tensor) -> Tensor:
    n = len(s)
    a = [math.exp(s[j]) / sum(math.exp(s[m]) for m in range(n)) for j in range(n)]  # one row i
    return torch.tensor([[a[j] * ((1 if j == m else 0) - a[m]) for m in range(n)] for j in range(n)])


def _jacobian_ours(s: Tensor) -> Tensor:
    nothing = torch.zeros(1, 1), torch.zeros(len(s), 1), torch.zeros(len(s), 1)
    derivative = torch.func.jacrev(lambda scores: scaled_dot_product_attention(*nothing, bias=scores[None])[1][0])
    return derivative(s)


def _jacobian_torch(s: Tensor) -> Tensor:
    result: Tensor = torch.autograd.functional.jacobian(lambda scores: F.softmax(scores, dim=0), s)
    return result


EQUATIONS = (
    Equation(
        "eq-attention-variance",
        (
            Symbol(r"\operatorname{Var}", "variance over all that may be drawn"),
            Symbol("q, k", "a query and a key, with independent components of mean 0 and variance 1", "d_k"),
            Symbol("q_c, k_c", "their components, $c = 1, \\dots, d_k$"),
            Symbol("d_k", "length of a query and of a key"),
        ),
        _two_values,
        _variance_hand,
        _variance_ours,
        _variance_torch,
    ),
    Equation(
        "eq-attention-jacobian",
        (
            Symbol("a_{ij}", "share of its reading that token $i$ gives to token $j$"),
            Symbol("s_{il}", "score of the pair $i$, $l$"),
            Symbol(r"\delta_{jl}", "1 if $j = l$, else 0"),
        ),
        lambda g: {"s": normal(g, 5)},
        _jacobian_hand,
        _jacobian_ours,
        _jacobian_torch,
    ),
)
