"""The equations of ``book/concepts/attention.ipynb`` about a layer of many heads."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from companion.attention import MultiHeadAttention
from companion.equations.byhand import attended, probabilities
from companion.equations.bytorch import attend
from companion.equations.checking import Equation, Symbol
from companion.equations.drawing import normal, randomised, whole

WIDTH = Symbol("d", "width of the vectors that come in and go out")
LENGTH = Symbol("n", "tokens in the text")


def _permutation_hand(x: Tensor, order: Tensor, layer: MultiHeadAttention) -> Tensor:
    p = torch.zeros(len(x), len(x))
    for i in range(len(x)):
        p[i, order[i]] = 1.0
    return attended(p @ x, p @ x, layer)  # the left side


def _permutation_ours(x: Tensor, order: Tensor, layer: MultiHeadAttention) -> Tensor:
    return layer(x[None])[0][order]  # the right side


def _permutation_torch(x: Tensor, order: Tensor, layer: MultiHeadAttention) -> Tensor:
    return F.one_hot(order, len(x)).double() @ attend(x, x, layer)


def _heads_hand(x: Tensor, layer: MultiHeadAttention) -> Tensor:
    d_k = x.size(1) // layer.n_heads
    heads = []
    for i in range(layer.n_heads):
        rows = slice(i * d_k, (i + 1) * d_k)  # of head i in the matrices, which lie side by side
        w_q, w_k, w_v = (part.weight[rows].T for part in (layer.query, layer.key, layer.value))  # each (d, d_k)
        a = probabilities((x @ w_q) @ (x @ w_k).T / d_k**0.5)
        heads.append(a @ (x @ w_v))
    return torch.cat(heads, dim=1) @ layer.output.weight.T


def _heads_ours(x: Tensor, layer: MultiHeadAttention) -> Tensor:
    output: Tensor = layer(x[None])
    return output[0]


def _heads_torch(x: Tensor, layer: MultiHeadAttention) -> Tensor:
    return attend(x, x, layer)


def _parameters_hand(d: int, h: int) -> int:
    return 4 * d**2 + 4 * d


def _parameters_ours(d: int, h: int) -> int:
    return sum(p.numel() for p in MultiHeadAttention(d_model=d, n_heads=h).parameters())


def _parameters_torch(d: int, h: int) -> int:
    return sum(p.numel() for p in nn.MultiheadAttention(d, h).parameters())


def _flops_hand(n: int, d: int, h: int) -> int:
    return 8 * n * d**2 + 2 * n**2 * d + 2 * n**2 * d


def _flops_ours(n: int, d: int, h: int) -> int:
    layer, step_by_step = MultiHeadAttention(d_model=d, n_heads=h), sdpa_kernel(SDPBackend.MATH)
    with step_by_step, FlopCounterMode(display=False) as counter:  # each product can be counted
        layer(torch.zeros(1, n, d))
    return counter.get_total_flops()


def _flops_torch(n: int, d: int, h: int) -> int:
    layer, x = nn.MultiheadAttention(d, h), torch.zeros(n, 1, d)
    with FlopCounterMode(display=False) as counter:
        layer(x, x, x)
    return counter.get_total_flops()


EQUATIONS = (
    Equation(
        "eq-attention-permutation",
        (
            Symbol("P", "matrix that permutes rows: a single 1 in each row and column, else 0", r"n \times n"),
            Symbol("X", "vectors of all tokens, one a row", r"n \times d"),
        ),
        lambda g: {
            "x": normal(g, 5, 6),
            "order": torch.randperm(5, generator=g),
            "layer": randomised(MultiHeadAttention(6, 2), g),
        },
        _permutation_hand,
        _permutation_ours,
        _permutation_torch,
    ),
    Equation(
        "eq-attention-heads",
        (
            Symbol(r"\mathrm{head}_i", "what head $i$ has read, $i = 1, \\dots, h$", r"n \times d_v"),
            Symbol("X", "vectors of all tokens, one a row", r"n \times d"),
            Symbol("W_i^Q, W_i^K", "matrices that make the queries and keys of head $i$", r"d \times d_k"),
            Symbol("W_i^V", "matrix that makes the values of head $i$", r"d \times d_v"),
            Symbol("W^O", "matrix that mixes what the heads found", r"h d_v \times d"),
            Symbol("h", "heads"),
        ),
        lambda g: {"x": normal(g, 4, 6), "layer": randomised(MultiHeadAttention(6, 3, bias=False), g)},
        _heads_hand,
        _heads_ours,
        _heads_torch,
    ),
    Equation(
        "eq-attention-parameters",
        (Symbol("N", "parameters of the layer"), WIDTH),
        lambda g: {"d": 12 * whole(g, 1, 8), "h": whole(g, 1, 4)},
        _parameters_hand,
        _parameters_ours,
        _parameters_torch,
    ),
    Equation(
        "eq-attention-flops",
        (Symbol("F", "operations: multiplications and additions"), LENGTH, WIDTH),
        lambda g: {"n": whole(g, 1, 20), "d": 12 * whole(g, 1, 4), "h": whole(g, 1, 4)},
        _flops_hand,
        _flops_ours,
        _flops_torch,
    ),
)
