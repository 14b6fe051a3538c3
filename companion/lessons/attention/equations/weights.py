"""Equations of ``book/concepts/attention.ipynb``: from scores to weights, and what may be read."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from companion.lessons import by_hand, by_torch
from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import normal, randomised
from companion.nn.attention import MultiHeadAttention, scaled_dot_product_attention

WEIGHT = Symbol("a_{ij}", "attention weight of token $i$ on token $j$")


SCORE = Symbol("s_{ij}", "attention score: how well key $j$ matches query $i$")


OUTPUT = Symbol("o_i", "attention output at token $i$: weighted average of the values", "d_v")


QUERY = Symbol("q_i", "query of token $i$: what it looks for", "d_k")


KEY = Symbol("k_j", "key of token $j$: what it can be found by", "d_k")


VALUE = Symbol("v_j", "value of token $j$: what is averaged", "d_v")


KEY_SIZE = Symbol("d_k", "dimension of queries and keys")


def _weighted(g: Generator) -> dict[str, Any]:
    """Queries, keys and the attention weights that they give; vectors that are averaged."""
    q, k = normal(g, 5, 4), normal(g, 5, 4)
    s = q @ k.T / math.sqrt(q.size(1))
    return {"q": q, "k": k, "s": s, "a": s.softmax(-1), "x": normal(g, 5, 3)}


def _average_by_hand(a: Tensor, x: Tensor, **_: Tensor) -> Tensor:
    n = len(x)
    return torch.stack([sum((a[i, j] * x[j] for j in range(n)), torch.zeros(x.size(1))) for i in range(n)])


def _average_companion(q: Tensor, k: Tensor, x: Tensor, **_: Tensor) -> Tensor:
    output, _weights = scaled_dot_product_attention(q, k, x)
    return output


def _average_torch(a: Tensor, x: Tensor, **_: Tensor) -> Tensor:
    return torch.einsum("ij,jc->ic", a, x)


def _softmax_by_hand(s: Tensor, **_: Tensor) -> Tensor:
    n = len(s)
    rows = [[math.exp(s[i, j]) / sum(math.exp(s[i, m]) for m in range(n)) for j in range(n)] for i in range(n)]
    return torch.tensor(rows)


def _softmax_companion(q: Tensor, k: Tensor, x: Tensor, **_: Tensor) -> Tensor:
    _output, weights = scaled_dot_product_attention(q, k, x)  # of the scores s
    return weights


def _softmax_torch(s: Tensor, **_: Tensor) -> Tensor:
    return F.softmax(s, dim=-1)


def _qkv_by_hand(x: Tensor, layer: MultiHeadAttention) -> tuple[Tensor, ...]:
    results = []
    for w in (layer.query.weight.T, layer.key.weight.T, layer.value.weight.T):  # each (d, d_k)
        rows = [[sum(float(x_i[a] * w[a, c]) for a in range(len(w))) for c in range(w.size(1))] for x_i in x]
        results.append(torch.tensor(rows))
    return tuple(results)


def _qkv_torch(x: Tensor, layer: MultiHeadAttention) -> tuple[Tensor, ...]:
    return tuple(F.linear(x, part.weight) for part in (layer.query, layer.key, layer.value))


def _position_by_hand(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    n, d_k = q.shape
    output = torch.zeros(n, v.size(1))
    for i in range(n):
        s = [sum(float(q[i, c] * k[j, c]) for c in range(d_k)) / math.sqrt(d_k) for j in range(n)]
        a = [math.exp(s[j]) / sum(math.exp(s[m]) for m in range(n)) for j in range(n)]
        output[i] = sum((a[j] * v[j] for j in range(n)), torch.zeros(v.size(1)))
    return output


def _position_companion(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    output, _ = scaled_dot_product_attention(q, k, v)
    return output


def _position_torch(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v)


def _matrix_by_hand(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return by_hand.softmax(q @ k.T / math.sqrt(q.size(1))) @ v


def _mask_by_hand(q: Tensor, k: Tensor, m: Tensor) -> Tensor:
    n, d_k = q.shape
    a = torch.zeros(n, n)
    for i in range(n):
        s = [float(q[i] @ k[j]) / math.sqrt(d_k) if m[i, j] else -math.inf for j in range(n)]
        a[i] = torch.tensor([math.exp(s[j]) / sum(map(math.exp, s)) for j in range(n)])
    return a


def _mask_companion(q: Tensor, k: Tensor, m: Tensor) -> Tensor:
    _, weights = scaled_dot_product_attention(q, k, k, m)
    return weights


def _mask_torch(q: Tensor, k: Tensor, m: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, torch.eye(len(k)), attn_mask=m)  # each value is its token's number


def _three(generator: Generator) -> dict[str, Any]:
    return {"q": normal(generator, 4, 3), "k": normal(generator, 4, 3), "v": normal(generator, 4, 2)}


def _masked(generator: Generator) -> dict[str, Any]:
    mask = (normal(generator, 5, 5) > 0) | torch.eye(5, dtype=torch.bool)  # each may read itself at least
    return {"q": normal(generator, 5, 3), "k": normal(generator, 5, 3), "m": mask}


def _permutation_by_hand(x: Tensor, order: Tensor, layer: MultiHeadAttention) -> Tensor:
    p = torch.zeros(len(x), len(x))
    for i in range(len(x)):
        p[i, order[i]] = 1.0
    return by_hand.multi_head_attention(p @ x, p @ x, layer)  # the left side


def _permutation_companion(x: Tensor, order: Tensor, layer: MultiHeadAttention) -> Tensor:
    output: Tensor = layer(x[None])
    return output[0, order]  # the right side


def _permutation_torch(x: Tensor, order: Tensor, layer: MultiHeadAttention) -> Tensor:
    return F.one_hot(order, len(x)).double() @ by_torch.multi_head_attention(x, x, layer)


EQUATIONS = (
    Equation(
        label="eq-attention-average",
        symbols=(
            Symbol("o_i", "attention output at token $i$: weighted average", "d"),
            WEIGHT,
            Symbol("x_j", "vector of token $j$", "d"),
        ),
        draw=_weighted,
        by_hand=_average_by_hand,
        companion=_average_companion,
        library=_average_torch,
    ),
    Equation(
        label="eq-attention-softmax",
        symbols=(WEIGHT, SCORE, Symbol("l", "index of the tokens that can be attended to, 1 to $n$")),
        draw=_weighted,
        by_hand=_softmax_by_hand,
        companion=_softmax_companion,
        library=_softmax_torch,
    ),
    Equation(
        label="eq-attention-qkv",
        symbols=(
            Symbol("X", "vectors of all tokens, one a row", r"n \times d"),
            Symbol("Q, K", "queries and keys, one a row", r"n \times d_k"),
            Symbol("V", "values, one a row", r"n \times d_v"),
            Symbol("W^Q, W^K", "query and key projections; learned", r"d \times d_k"),
            Symbol("W^V", "value projection; learned", r"d \times d_v"),
        ),
        draw=lambda g: {"x": normal(g, 4, 6), "layer": randomised(MultiHeadAttention(6, 1, d_head=3, bias=False), g)},
        by_hand=_qkv_by_hand,
        library=_qkv_torch,
    ),
    Equation(
        label="eq-attention-position",
        symbols=(SCORE, WEIGHT, OUTPUT, QUERY, KEY, VALUE, KEY_SIZE),
        draw=_three,
        by_hand=_position_by_hand,
        companion=_position_companion,
        library=_position_torch,
    ),
    Equation(
        label="eq-attention-matrix",
        symbols=(
            Symbol("Q, K", "queries and keys, one a row", r"n \times d_k"),
            Symbol("V", "values, one a row", r"n \times d_v"),
            KEY_SIZE,
        ),
        draw=_three,
        by_hand=_matrix_by_hand,
        companion=_position_companion,
        library=_position_torch,
    ),
    Equation(
        label="eq-attention-mask",
        symbols=(SCORE, QUERY, KEY, KEY_SIZE, Symbol("M_{ij}", "mask: 1 where $i$ may attend to $j$, else 0")),
        draw=_masked,
        by_hand=_mask_by_hand,
        companion=_mask_companion,
        library=_mask_torch,
    ),
    Equation(
        label="eq-attention-permutation",
        symbols=(
            Symbol("P", "permutation matrix: a single 1 in each row and column, else 0", r"n \times n"),
            Symbol("X", "vectors of all tokens, one a row", r"n \times d"),
        ),
        draw=lambda g: {
            "x": normal(g, 5, 6),
            "order": torch.randperm(5, generator=g),
            "layer": randomised(MultiHeadAttention(6, 2), g),
        },
        by_hand=_permutation_by_hand,
        companion=_permutation_companion,
        library=_permutation_torch,
    ),
)
