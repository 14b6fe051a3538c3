"""Equations of ``book/formulas/attention_math.ipynb``: several heads, and what attention costs."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from companion.lessons import by_hand, by_torch
from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import normal, randomised, whole
from companion.nn.attention import MultiHeadAttention
from companion.nn.capture import capture
from companion.nn.mixture_of_experts import active_parameters

QUERIES = Symbol("n", "number of queries")


KEYS = Symbol("m", "number of keys; $m = n$ in self-attention")


WIDTH = Symbol("d", "width of inputs and outputs, `d_model`")


HEADS = Symbol("h", "number of heads")


HEAD_SIZE = Symbol("d_k", "width of a head; its values are as wide, $d_v = d_k$")


def _beside_by_hand(x: Tensor, parts: Tensor) -> Tensor:
    columns = []
    for w in parts:  # each (d, d_k)
        for c in range(w.size(1)):
            columns.append(torch.stack([sum(row[a] * w[a, c] for a in range(len(w))) for row in x]))
    return torch.stack(columns, dim=1)


def _beside_torch(x: Tensor, parts: Tensor) -> Tensor:
    return torch.einsum("na,hac->nhc", x, parts).flatten(1)


def _heads_by_hand(x: Tensor, y: Tensor, layer: MultiHeadAttention) -> Tensor:
    width = layer.query.weight.size(0) // layer.n_heads
    total = torch.zeros(len(x), x.size(1))
    for i in range(layer.n_heads):
        part = slice(i * width, (i + 1) * width)
        w_q, w_k, w_v = (m.weight[part].T for m in (layer.query, layer.key, layer.value))  # each (d, d_k)
        w_o = layer.output.weight.T[part]  # the rows of W^O that meet head i: (d_k, d)
        a = by_hand.softmax((x @ w_q) @ (y @ w_k).T / width**0.5)
        total = total + a @ (y @ w_v) @ w_o
    return total


def _heads_companion(x: Tensor, y: Tensor, layer: MultiHeadAttention) -> Tensor:
    result: Tensor = layer(x[None], y[None])
    return result[0]


def _heads_torch(x: Tensor, y: Tensor, layer: MultiHeadAttention) -> Tensor:
    return by_torch.multi_head_attention(x, y, layer)


def _parameters_by_hand(d: int, h: int, d_k: int) -> int:
    return 4 * d * h * d_k + 3 * h * d_k + d


def _parameters_companion(d: int, h: int, d_k: int) -> int:
    return active_parameters(MultiHeadAttention(d, h, d_head=d_k))


def _parameters_torch(d: int, h: int, d_k: int) -> int:
    layers = [*(nn.Linear(d, h * d_k) for _ in range(3)), nn.Linear(h * d_k, d)]
    return sum(p.numel() for layer in layers for p in layer.parameters())


def _flops_by_hand(n: int, m: int, d: int, h: int, d_k: int) -> int:
    return 4 * (n + m) * d * h * d_k + 4 * n * m * h * d_k


def _flops_companion(n: int, m: int, d: int, h: int, d_k: int) -> int:
    layer = MultiHeadAttention(d, h, d_head=d_k)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:  # each product can be counted
        layer(torch.zeros(1, n, d), torch.zeros(1, m, d))
    return int(counter.get_total_flops())


def _flops_torch(n: int, m: int, d: int, h: int, d_k: int) -> int:
    x, y, w, mixer = torch.zeros(n, d), torch.zeros(m, d), torch.zeros(h * d_k, d), torch.zeros(d, h * d_k)
    with FlopCounterMode(display=False) as counter:
        q, k, v = (F.linear(z, w).view(-1, h, d_k).transpose(0, 1) for z in (x, y, y))
        heads = torch.bmm(F.softmax(torch.bmm(q, k.mT), dim=-1), v)
        F.linear(heads.transpose(0, 1).flatten(1), mixer)
    return int(counter.get_total_flops())


def _sizes(g: Generator) -> dict[str, Any]:
    return {"n": whole(g, 1, 9), "m": whole(g, 1, 9), "d": whole(g, 1, 9), "h": whole(g, 1, 4), "d_k": whole(g, 1, 5)}


def _memory_by_hand(batch: int, n: int, m: int, h: int) -> int:
    return batch * h * n * m


def _memory_companion(batch: int, n: int, m: int, h: int) -> int:
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
        label="eq-attention-math-beside",
        symbols=(
            Symbol("X", "vectors of all tokens, one a row", r"n \times d"),
            Symbol("W_i", "query, key or value projection of head $i$", r"d \times d_k"),
            Symbol("[W_1 \\cdots W_h]", "projections of all heads, concatenated", r"d \times h d_k"),
        ),
        draw=lambda g: {"x": normal(g, 4, 5), "parts": normal(g, 3, 5, 2)},
        by_hand=_beside_by_hand,
        library=_beside_torch,
    ),
    Equation(
        label="eq-attention-math-heads",
        symbols=(
            Symbol("Q", "input of the queries, one vector a row", r"n \times d"),
            Symbol(
                "K, V",
                "input of the keys and values, one vector a row; in a layer these two are the same",
                r"m \times d",
            ),
            Symbol(r"\mathrm{head}_i", "output of head $i$", r"n \times d_v"),
            Symbol("W_i^Q, W_i^K", "query and key projections of head $i$", r"d \times d_k"),
            Symbol("W_i^V", "value projection of head $i$", r"d \times d_v"),
            Symbol("W^O", "output projection: mixes the heads", r"h d_v \times d"),
            Symbol("W_i^O", "rows of $W^O$ for head $i$", r"d_v \times d"),
        ),
        draw=lambda g: {
            "x": normal(g, 3, 6),
            "y": normal(g, 5, 6),
            "layer": randomised(MultiHeadAttention(6, 3, bias=False), g),
        },
        by_hand=_heads_by_hand,
        companion=_heads_companion,
        library=_heads_torch,
    ),
    Equation(
        label="eq-attention-math-parameters",
        symbols=(Symbol("N", "number of parameters of the layer, biases included"), WIDTH, HEADS, HEAD_SIZE),
        draw=lambda g: {name: size for name, size in _sizes(g).items() if name in ("d", "h", "d_k")},
        by_hand=_parameters_by_hand,
        companion=_parameters_companion,
        library=_parameters_torch,
    ),
    Equation(
        label="eq-attention-math-flops",
        symbols=(Symbol("F", "FLOPs: multiplications and additions"), QUERIES, KEYS, WIDTH, HEADS, HEAD_SIZE),
        draw=_sizes,
        by_hand=_flops_by_hand,
        companion=_flops_companion,
        library=_flops_torch,
    ),
    Equation(
        label="eq-attention-math-memory",
        symbols=(
            Symbol("A", "attention weights of all heads, of one layer", r"B \times h \times n \times m"),
            Symbol("B", "batch size: number of texts"),
            *(HEADS, QUERIES, KEYS),
        ),
        draw=lambda g: {"batch": whole(g, 1, 3), "n": whole(g, 1, 9), "m": whole(g, 1, 9), "h": whole(g, 1, 4)},
        by_hand=_memory_by_hand,
        companion=_memory_companion,
        library=_memory_torch,
    ),
)
