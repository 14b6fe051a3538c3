"""Equations of ``book/concepts/attention.ipynb``: many heads, what they cost, and the scale of scores."""

import math
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from companion.lessons import by_hand, by_torch
from companion.lessons.attention.equations.weights import KEY_SIZE, WEIGHT
from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import between, normal, randomised, whole
from companion.nn.attention import MultiHeadAttention
from companion.nn.mixture_of_experts import active_parameters

WIDTH = Symbol("d", "width of inputs and outputs, `d_model`")


LENGTH = Symbol("n", "number of tokens")


def _heads_by_hand(x: Tensor, layer: MultiHeadAttention) -> Tensor:
    d_k = x.size(1) // layer.n_heads
    heads = []
    for i in range(layer.n_heads):
        rows = slice(i * d_k, (i + 1) * d_k)  # of head i in the matrices, which lie side by side
        w_q, w_k, w_v = (part.weight[rows].T for part in (layer.query, layer.key, layer.value))  # each (d, d_k)
        a = by_hand.softmax((x @ w_q) @ (x @ w_k).T / d_k**0.5)
        heads.append(a @ (x @ w_v))
    return torch.cat(heads, dim=1) @ layer.output.weight.T


def _heads_companion(x: Tensor, layer: MultiHeadAttention) -> Tensor:
    output: Tensor = layer(x[None])
    return output[0]


def _heads_torch(x: Tensor, layer: MultiHeadAttention) -> Tensor:
    return by_torch.multi_head_attention(x, x, layer)


def _parameters_by_hand(d: int, h: int) -> int:
    return 4 * d**2 + 4 * d


def _parameters_companion(d: int, h: int) -> int:
    return active_parameters(MultiHeadAttention(d_model=d, n_heads=h))


def _parameters_torch(d: int, h: int) -> int:
    return sum(p.numel() for p in nn.MultiheadAttention(d, h).parameters())


def _flops_by_hand(n: int, d: int, h: int) -> int:
    return 8 * n * d**2 + 2 * n**2 * d + 2 * n**2 * d


def _flops_companion(n: int, d: int, h: int) -> int:
    layer, step_by_step = MultiHeadAttention(d_model=d, n_heads=h), sdpa_kernel(SDPBackend.MATH)
    with step_by_step, FlopCounterMode(display=False) as counter:  # each product can be counted
        layer(torch.zeros(1, n, d))
    return int(counter.get_total_flops())


def _flops_torch(n: int, d: int, h: int) -> int:
    layer, x = nn.MultiheadAttention(d, h), torch.zeros(n, 1, d)
    with FlopCounterMode(display=False) as counter:
        layer(x, x, x)
    return int(counter.get_total_flops())


def _variance_by_hand(values: Tensor, chances: Tensor) -> tuple[float, float]:
    total = 0.0
    for c in range(values.size(1)):  # one component of q and the same of k
        mean = square = 0.0
        for a, b in product(range(2), range(2)):
            chance = float(chances[0, c, a] * chances[1, c, b])
            qk = float(values[0, c, a] * values[1, c, b])
            mean, square = mean + chance * qk, square + chance * qk**2
        total += square - mean**2
    return total, total / math.sqrt(values.size(1)) ** 2


def _variance_torch(values: Tensor, chances: Tensor) -> tuple[Tensor, Tensor]:
    (query, key), (p, r) = (_outcomes(x) for x in values), (_outcomes(x).prod(1) for x in chances)
    scores, chance = (query @ key.T).flatten(), torch.outer(p, r).flatten()
    scaled = scores / math.sqrt(query.size(1))
    plain, divided = (torch.cov(s, correction=0, aweights=chance) for s in (scores, scaled))
    return plain, divided


def _outcomes(choices: Tensor) -> Tensor:
    """Every way to choose one of two numbers for each component (d_k, 2): (2^d_k, d_k)."""
    return torch.stack([torch.stack(way) for way in product(*choices)])


def _two_values(generator: Generator) -> dict[str, Any]:
    chance = torch.tensor([[between(generator, 0.2, 0.8) for _ in range(3)] for _ in range(2)])  # (q and k, d_k)
    chances = torch.stack([chance, 1 - chance], dim=-1)
    odds = ((1 - chance) / chance).sqrt()
    return {"values": torch.stack([odds, -1 / odds], dim=-1), "chances": chances}  # mean 0, variance 1


def _jacobian_by_hand(s: Tensor) -> Tensor:
    n = len(s)
    a = [math.exp(s[j]) / sum(math.exp(s[m]) for m in range(n)) for j in range(n)]  # one row i
    return torch.tensor([[a[j] * ((1 if j == m else 0) - a[m]) for m in range(n)] for j in range(n)])


def _jacobian_torch(s: Tensor) -> Tensor:
    return by_torch.jacobian(lambda scores: F.softmax(scores, dim=0), s)


EQUATIONS = (
    Equation(
        label="eq-attention-heads",
        symbols=(
            Symbol(r"\mathrm{head}_i", "output of head $i$, $i = 1, \\dots, h$", r"n \times d_v"),
            Symbol("X", "vectors of all tokens, one a row", r"n \times d"),
            Symbol("W_i^Q, W_i^K", "query and key projections of head $i$", r"d \times d_k"),
            Symbol("W_i^V", "value projection of head $i$", r"d \times d_v"),
            Symbol("W^O", "output projection: mixes the heads", r"h d_v \times d"),
            Symbol("h", "number of heads"),
        ),
        draw=lambda g: {"x": normal(g, 4, 6), "layer": randomised(MultiHeadAttention(6, 3, bias=False), g)},
        by_hand=_heads_by_hand,
        companion=_heads_companion,
        library=_heads_torch,
    ),
    Equation(
        label="eq-attention-parameters",
        symbols=(Symbol("N", "number of parameters of the layer"), WIDTH),
        draw=lambda g: {"d": 12 * whole(g, 1, 8), "h": whole(g, 1, 4)},
        by_hand=_parameters_by_hand,
        companion=_parameters_companion,
        library=_parameters_torch,
    ),
    Equation(
        label="eq-attention-flops",
        symbols=(Symbol("F", "FLOPs: multiplications and additions"), LENGTH, WIDTH),
        draw=lambda g: {"n": whole(g, 1, 20), "d": 12 * whole(g, 1, 4), "h": whole(g, 1, 4)},
        by_hand=_flops_by_hand,
        companion=_flops_companion,
        library=_flops_torch,
    ),
    Equation(
        label="eq-attention-variance",
        symbols=(
            Symbol(r"\operatorname{Var}", "variance"),
            Symbol("q, k", "a query and a key, with independent components of mean 0 and variance 1", "d_k"),
            Symbol("q_c, k_c", "their components, $c = 1, \\dots, d_k$"),
            KEY_SIZE,
        ),
        draw=_two_values,
        by_hand=_variance_by_hand,
        library=_variance_torch,
    ),
    Equation(
        label="eq-attention-jacobian",
        symbols=(
            WEIGHT,
            Symbol("s_{il}", "attention score of token $i$ for token $l$"),
            Symbol(r"\delta_{jl}", "1 if $j = l$, else 0"),
        ),
        draw=lambda g: {"s": normal(g, 5)},
        by_hand=_jacobian_by_hand,
        library=_jacobian_torch,
    ),
)
