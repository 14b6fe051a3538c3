"""The equations of ``book/formulas/attention_math.ipynb`` about many heads, and what they weigh and cost."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from companion.attention import MultiHeadAttention
from companion.capture import capture
from companion.equations.byhand import probabilities
from companion.equations.bytorch import attend
from companion.equations.checking import Equation, Symbol
from companion.equations.drawing import normal, randomised, whole

QUERIES = Symbol("n", "queries: positions that read")
KEYS = Symbol("m", "keys: positions that are read; $m = n$ in self-attention")
WIDTH = Symbol("d", "width of the vectors that come in and go out")
HEADS = Symbol("h", "heads")
HEAD_SIZE = Symbol("d_k", "width of a head, of its values too: $d_v = d_k$")


def _beside_hand(x: Tensor, parts: Tensor) -> Tensor:
    columns = []
    for w in parts:  # each (d, d_k)
        for c in range(w.size(1)):
            columns.append(torch.stack([sum(row[a] * w[a, c] for a in range(len(w))) for row in x]))
    return torch.stack(columns, dim=1)


def _beside_ours(x: Tensor, parts: Tensor) -> Tensor:
    h, d, d_k = parts.shape
    layer = MultiHeadAttention(d, h, d_head=d_k, bias=False).requires_grad_(False)
    layer.query.weight.copy_(torch.cat(list(parts), dim=1).T)
    result: Tensor = layer.query(x)  # one product
    return result


def _beside_torch(x: Tensor, parts: Tensor) -> Tensor:
    return torch.einsum("na,hac->nhc", x, parts).flatten(1)


def _heads_hand(x: Tensor, y: Tensor, layer: MultiHeadAttention) -> Tensor:
    width = layer.query.weight.size(0) // layer.n_heads
    total = torch.zeros(len(x), x.size(1))
    for i in range(layer.n_heads):
        part = slice(i * width, (i + 1) * width)
        w_q, w_k, w_v = (m.weight[part].T for m in (layer.query, layer.key, layer.value))  # each (d, d_k)
        w_o = layer.output.weight.T[part]  # the rows of W^O that meet head i: (d_k, d)
        a = probabilities((x @ w_q) @ (y @ w_k).T / width**0.5)
        total = total + a @ (y @ w_v) @ w_o
    return total


def _heads_ours(x: Tensor, y: Tensor, layer: MultiHeadAttention) -> Tensor:
    result: Tensor = layer(x[None], y[None])
    return result[0]


def _heads_torch(x: Tensor, y: Tensor, layer: MultiHeadAttention) -> Tensor:
    return attend(x, y, layer)


def _parameters_hand(d: int, h: int, d_k: int) -> int:
    return 4 * d * h * d_k + 3 * h * d_k + d


def _parameters_ours(d: int, h: int, d_k: int) -> int:
    return sum(p.numel() for p in MultiHeadAttention(d, h, d_head=d_k).parameters())


def _parameters_torch(d: int, h: int, d_k: int) -> int:
    layers = [*(nn.Linear(d, h * d_k) for _ in range(3)), nn.Linear(h * d_k, d)]
    return sum(p.numel() for layer in layers for p in layer.parameters())


def _flops_hand(n: int, m: int, d: int, h: int, d_k: int) -> int:
    return 4 * (n + m) * d * h * d_k + 4 * n * m * h * d_k


def _flops_ours(n: int, m: int, d: int, h: int, d_k: int) -> int:
    layer = MultiHeadAttention(d, h, d_head=d_k)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:  # each product can be counted
        layer(torch.zeros(1, n, d), torch.zeros(1, m, d))
    return counter.get_total_flops()


def _flops_torch(n: int, m: int, d: int, h: int, d_k: int) -> int:
    x, y, w, mixer = torch.zeros(n, d), torch.zeros(m, d), torch.zeros(h * d_k, d), torch.zeros(d, h * d_k)
    with FlopCounterMode(display=False) as counter:
        q, k, v = (F.linear(z, w).unflatten(-1, (h, d_k)).transpose(0, 1) for z in (x, y, y))
        heads = torch.bmm(F.softmax(torch.bmm(q, k.mT), dim=-1), v)
        F.linear(heads.transpose(0, 1).flatten(1), mixer)
    return counter.get_total_flops()


def _sizes(g: Generator) -> dict[str, Any]:
    return {"n": whole(g, 1, 9), "m": whole(g, 1, 9), "d": whole(g, 1, 9), "h": whole(g, 1, 4), "d_k": whole(g, 1, 5)}


def _memory_hand(batch: int, n: int, m: int, h: int) -> int:
    return batch * h * n * m


def _memory_ours(batch: int, n: int, m: int, h: int) -> int:
    layer = MultiHeadAttention(2 * h, h)
    with torch.no_grad(), capture(layer) as record:
        layer(torch.zeros(batch, n, 2 * h), torch.zeros(batch, m, 2 * h))
    return sum(weights.numel() for weights in record.attention)


def _memory_torch(batch: int, n: int, m: int, h: int) -> int:
    layer = nn.MultiheadAttention(2 * h, h, batch_first=True)
    memory = torch.zeros(batch, m, 2 * h)
    _, weights = layer(torch.zeros(batch, n, 2 * h), memory, memory, average_attn_weights=False)
    return int(weights.numel())


EQUATIONS = (
    Equation(
        "eq-attention-math-beside",
        (
            Symbol("X", "vectors of all tokens, one a row", r"n \times d"),
            Symbol("W_i", "matrix of head $i$, for its queries, its keys or its values", r"d \times d_k"),
            Symbol("[W_1 \\cdots W_h]", "the matrices of all heads, side by side", r"d \times h d_k"),
        ),
        lambda g: {"x": normal(g, 4, 5), "parts": normal(g, 3, 5, 2)},
        _beside_hand,
        _beside_ours,
        _beside_torch,
    ),
    Equation(
        "eq-attention-math-heads",
        (
            Symbol("Q", "vectors that read, one a row", r"n \times d"),
            Symbol("K, V", "vectors that are read, one a row; in a layer these two are the same", r"m \times d"),
            Symbol(r"\mathrm{head}_i", "what head $i$ has read", r"n \times d_v"),
            Symbol("W_i^Q, W_i^K", "matrices that make the queries and keys of head $i$", r"d \times d_k"),
            Symbol("W_i^V", "matrix that makes the values of head $i$", r"d \times d_v"),
            Symbol("W^O", "matrix that mixes what the heads found", r"h d_v \times d"),
            Symbol("W_i^O", "the rows of $W^O$ that meet head $i$", r"d_v \times d"),
        ),
        lambda g: {
            "x": normal(g, 3, 6),
            "y": normal(g, 5, 6),
            "layer": randomised(MultiHeadAttention(6, 3, bias=False), g),
        },
        _heads_hand,
        _heads_ours,
        _heads_torch,
    ),
    Equation(
        "eq-attention-math-parameters",
        (Symbol("N", "parameters of the layer, biases included"), WIDTH, HEADS, HEAD_SIZE),
        lambda g: {name: size for name, size in _sizes(g).items() if name in ("d", "h", "d_k")},
        _parameters_hand,
        _parameters_ours,
        _parameters_torch,
    ),
    Equation(
        "eq-attention-math-flops",
        (Symbol("F", "operations: multiplications and additions"), QUERIES, KEYS, WIDTH, HEADS, HEAD_SIZE),
        _sizes,
        _flops_hand,
        _flops_ours,
        _flops_torch,
    ),
    Equation(
        "eq-attention-math-memory",
        (
            Symbol("A", "attention weights of all heads, of one layer", r"B \times h \times n \times m"),
            Symbol("B", "texts in the batch"),
            *(HEADS, QUERIES, KEYS),
        ),
        lambda g: {"batch": whole(g, 1, 3), "n": whole(g, 1, 9), "m": whole(g, 1, 9), "h": whole(g, 1, 4)},
        _memory_hand,
        _memory_ours,
        _memory_torch,
    ),
)
