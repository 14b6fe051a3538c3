"""The equations of ``book/concepts/attention.ipynb`` about one head."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from companion.attention import MultiHeadAttention, scaled_dot_product_attention
from companion.equations.checking import Equation, Symbol
from companion.equations.drawing import normal, randomised, shares

SHARE = Symbol("a_{ij}", "share of its reading that token $i$ gives to token $j$")
SCORE = Symbol("s_{ij}", "score of the pair: how well $j$ fits what $i$ looks for")
READ = Symbol("o_i", "what token $i$ has read", r"d_v")
QUERY = Symbol("q_i", "query of token $i$: what it looks for", "d_k")
KEY = Symbol("k_j", "key of token $j$: what it can be found by", "d_k")
VALUE = Symbol("v_j", "value of token $j$: what it hands over", "d_v")
KEY_SIZE = Symbol("d_k", "length of a query and of a key")


def _average_hand(a: Tensor, x: Tensor) -> Tensor:
    n = len(x)
    return torch.stack([sum((a[i, j] * x[j] for j in range(n)), torch.zeros(x.size(1))) for i in range(n)])


def _average_ours(a: Tensor, x: Tensor) -> Tensor:
    output, _ = scaled_dot_product_attention(torch.zeros_like(x), x, x, bias=a.log())
    return output


def _average_torch(a: Tensor, x: Tensor) -> Tensor:
    return torch.einsum("ij,jc->ic", a, x)


def _softmax_hand(s: Tensor) -> Tensor:
    n = len(s)
    rows = [[math.exp(s[i, j]) / sum(math.exp(s[i, m]) for m in range(n)) for j in range(n)] for i in range(n)]
    return torch.tensor(rows)


def _softmax_ours(s: Tensor) -> Tensor:
    nothing = torch.zeros(len(s), 1)
    _, weights = scaled_dot_product_attention(nothing, nothing, nothing, bias=s)
    return weights


def _softmax_torch(s: Tensor) -> Tensor:
    return F.softmax(s, dim=-1)


def _qkv_hand(x: Tensor, layer: MultiHeadAttention) -> tuple[Tensor, ...]:
    results = []
    for w in (layer.query.weight.T, layer.key.weight.T, layer.value.weight.T):  # each (d, d_k)
        rows = [[sum(float(x_i[a] * w[a, c]) for a in range(len(w))) for c in range(w.size(1))] for x_i in x]
        results.append(torch.tensor(rows))
    return tuple(results)


def _qkv_ours(x: Tensor, layer: MultiHeadAttention) -> tuple[Tensor, ...]:
    return layer.query(x), layer.key(x), layer.value(x)


def _qkv_torch(x: Tensor, layer: MultiHeadAttention) -> tuple[Tensor, ...]:
    return tuple(F.linear(x, part.weight) for part in (layer.query, layer.key, layer.value))


def _position_hand(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    n, d_k = q.shape
    output = torch.zeros(n, v.size(1))
    for i in range(n):
        s = [sum(float(q[i, c] * k[j, c]) for c in range(d_k)) / math.sqrt(d_k) for j in range(n)]
        a = [math.exp(s[j]) / sum(math.exp(s[m]) for m in range(n)) for j in range(n)]
        output[i] = sum((a[j] * v[j] for j in range(n)), torch.zeros(v.size(1)))
    return output


def _position_ours(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    output, _ = scaled_dot_product_attention(q, k, v)
    return output


def _position_torch(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v)


def _matrix_hand(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    powers = (q @ k.T / math.sqrt(q.size(1))).exp()
    return powers / powers.sum(1, keepdim=True) @ v


def _mask_hand(q: Tensor, k: Tensor, m: Tensor) -> Tensor:
    n, d_k = q.shape
    shares = torch.zeros(n, n)
    for i in range(n):
        s = [float(q[i] @ k[j]) / math.sqrt(d_k) if m[i, j] else -math.inf for j in range(n)]
        shares[i] = torch.tensor([math.exp(s[j]) / sum(map(math.exp, s)) for j in range(n)])
    return shares


def _mask_ours(q: Tensor, k: Tensor, m: Tensor) -> Tensor:
    _, weights = scaled_dot_product_attention(q, k, k, m)
    return weights


def _mask_torch(q: Tensor, k: Tensor, m: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, torch.eye(len(k)), attn_mask=m)  # each value is its token's number


def _three(generator: Generator) -> dict[str, Any]:
    return {"q": normal(generator, 4, 3), "k": normal(generator, 4, 3), "v": normal(generator, 4, 2)}


def _masked(generator: Generator) -> dict[str, Any]:
    mask = (normal(generator, 5, 5) > 0) | torch.eye(5, dtype=torch.bool)  # each may read itself at least
    return {"q": normal(generator, 5, 3), "k": normal(generator, 5, 3), "m": mask}


EQUATIONS = (
    Equation(
        "eq-attention-average",
        (Symbol("o_i", "what token $i$ has read", "d"), SHARE, Symbol("x_j", "vector of token $j$", "d")),
        lambda g: {"a": shares(g, 5, 5), "x": normal(g, 5, 3)},
        _average_hand,
        _average_ours,
        _average_torch,
    ),
    Equation(
        "eq-attention-softmax",
        (SHARE, SCORE, Symbol("l", "runs over the tokens that can be read, 1 to $n$")),
        lambda g: {"s": normal(g, 5, 5)},
        _softmax_hand,
        _softmax_ours,
        _softmax_torch,
    ),
    Equation(
        "eq-attention-qkv",
        (
            Symbol("X", "vectors of all tokens, one a row", r"n \times d"),
            Symbol("Q, K", "queries and keys, one a row", r"n \times d_k"),
            Symbol("V", "values, one a row", r"n \times d_v"),
            Symbol("W^Q, W^K", "matrices that make queries and keys; learned", r"d \times d_k"),
            Symbol("W^V", "matrix that makes values; learned", r"d \times d_v"),
        ),
        lambda g: {"x": normal(g, 4, 6), "layer": randomised(MultiHeadAttention(6, 1, d_head=3, bias=False), g)},
        _qkv_hand,
        _qkv_ours,
        _qkv_torch,
    ),
    Equation(
        "eq-attention-position",
        (SCORE, SHARE, READ, QUERY, KEY, VALUE, KEY_SIZE),
        _three,
        _position_hand,
        _position_ours,
        _position_torch,
    ),
    Equation(
        "eq-attention-matrix",
        (
            Symbol("Q, K", "queries and keys, one a row", r"n \times d_k"),
            Symbol("V", "values, one a row", r"n \times d_v"),
            KEY_SIZE,
        ),
        _three,
        _matrix_hand,
        _position_ours,
        _position_torch,
    ),
    Equation(
        "eq-attention-mask",
        (SCORE, QUERY, KEY, KEY_SIZE, Symbol("M_{ij}", "1 where $i$ may read $j$, else 0")),
        _masked,
        _mask_hand,
        _mask_ours,
        _mask_torch,
    ),
)
