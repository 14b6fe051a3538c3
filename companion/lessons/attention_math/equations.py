"""Equations of ``book/formulas/attention_math.ipynb``."""

import math
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from companion.lessons import by_hand, by_torch
from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import between, normal, randomised, whole
from companion.nn.attention import MultiHeadAttention, scaled_dot_product_attention
from companion.nn.capture import capture
from companion.nn.mixture_of_experts import active_parameters

WEIGHT = Symbol("a_{ij}", "attention weight of query $i$ on key $j$")
SCORE = Symbol("s_{ij}", "attention score of query $i$ for key $j$")
QUERY = Symbol("q_i", "query $i$, $1 \\le i \\le n$", "d_k")
KEY = Symbol("k_j", "key $j$, $1 \\le j \\le m$", "d_k")
VALUE = Symbol("v_j", "value $j$, $1 \\le j \\le m$", "d_v")
OUTPUT = Symbol("o_i", "attention output of query $i$", "d_v")
KEY_SIZE = Symbol("d_k", "dimension of queries and keys")
LOSS = Symbol(r"\mathcal{L}", "loss: any number computed from the outputs")
GRADIENT = Symbol(
    "g_i", r"gradient of the loss with respect to the output, $\partial\mathcal{L} / \partial o_i$", "d_v"
)


def _forward_by_hand(q: Tensor, k: Tensor, v: Tensor, b: Tensor) -> Tensor:
    output = torch.zeros(len(q), v.size(1))
    for i in range(len(q)):
        dots = [sum(float(q[i, c] * k[j, c]) for c in range(q.size(1))) for j in range(len(k))]
        s = [dot / math.sqrt(q.size(1)) + float(b[i, j]) for j, dot in enumerate(dots)]
        total = sum(math.exp(score) for score in s)
        for j in range(len(k)):
            output[i] += math.exp(s[j]) / total * v[j]
    return output


def _forward_companion(q: Tensor, k: Tensor, v: Tensor, b: Tensor) -> Tensor:
    output, _weights = scaled_dot_product_attention(q, k, v, mask=b == 0)
    return output


def _forward_torch(q: Tensor, k: Tensor, v: Tensor, b: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, attn_mask=b)


def _masked(generator: Generator) -> dict[str, Any]:
    allowed = normal(generator, 3, 5) > 0
    allowed[:, 0] = True  # each query may attend to something
    b = torch.zeros(3, 5).masked_fill(~allowed, -math.inf)
    return {"q": normal(generator, 3, 4), "k": normal(generator, 5, 4), "v": normal(generator, 5, 2), "b": b}


def _spread_by_hand(mu: Tensor, sigma: Tensor, chances: Tensor) -> tuple[Tensor, Tensor]:
    d_k, (mu_q, mu_k), (sigma_q, sigma_k) = chances.size(1), mu, sigma
    variance = d_k * (sigma_q**2 * sigma_k**2 + sigma_q**2 * mu_k**2 + mu_q**2 * sigma_k**2)
    return d_k * mu_q * mu_k, variance


def _spread_torch(mu: Tensor, sigma: Tensor, chances: Tensor) -> tuple[Tensor, Tensor]:
    query, key, chance = _everything(mu, sigma, chances)
    scores, weight = (query @ key.T).flatten(), chance.flatten()
    return torch.dot(weight, scores), torch.cov(scores, correction=0, aweights=weight)


def _everything(mu: Tensor, sigma: Tensor, chances: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Every query and every key that can be drawn when each component takes one of two values, and their chances."""
    odds = ((1 - chances) / chances).sqrt()  # (2, d_k)
    values = mu[:, None, None] + sigma[:, None, None] * torch.stack([odds, -1 / odds], dim=-1)  # (2, d_k, 2)
    both = torch.stack([chances, 1 - chances], dim=-1)
    query, key = (torch.stack([torch.stack(way) for way in product(*part)]) for part in values)  # (2^d_k, d_k)
    p, r = (torch.stack([torch.stack(way) for way in product(*part)]).prod(1) for part in both)
    return query, key, p[:, None] * r


def _two_values(generator: Generator) -> dict[str, Any]:
    means = torch.tensor([between(generator, -1, 1) for _ in range(2)])
    sizes = torch.tensor([between(generator, 0.5, 1.5) for _ in range(2)])
    chances = torch.tensor([[between(generator, 0.3, 0.7) for _ in range(3)] for _ in range(2)])
    return {"mu": means, "sigma": sizes, "chances": chances}


def _shift_by_hand(s: Tensor, c: float) -> Tensor:
    powers = [math.exp(score - c) for score in s]
    return torch.tensor([power / sum(powers) for power in powers])


def _shift_torch(s: Tensor, c: float) -> Tensor:
    return F.softmax(s, dim=0)


def _back_by_hand(s: Tensor, u: Tensor) -> Tensor:
    powers = s.exp()
    a = powers / powers.sum()
    mean = sum(float(a[l] * u[l]) for l in range(len(s)))  # noqa: E741  # as on the page
    return torch.stack([a[j] * (u[j] - mean) for j in range(len(s))])


def _back_torch(s: Tensor, u: Tensor) -> Tensor:
    a = F.softmax(s, dim=0)
    return (torch.diag(a) - torch.outer(a, a)) @ u


def _score_by_hand(s: Tensor, v: Tensor, g: Tensor) -> Tensor:
    result = torch.zeros(s.shape)
    for i in range(len(s)):
        a = [math.exp(s[i, j]) / sum(math.exp(score) for score in s[i]) for j in range(len(v))]
        o = sum((a[j] * v[j] for j in range(len(v))), torch.zeros(v.size(1)))
        for j in range(len(v)):
            result[i, j] = a[j] * float(g[i] @ (v[j] - o))
    return result


def _score_torch(s: Tensor, v: Tensor, g: Tensor) -> Tensor:
    return by_torch.pullback(lambda scores: F.softmax(scores, dim=-1) @ v, s, g)


def _gradients_by_hand(q: Tensor, k: Tensor, v: Tensor, g: Tensor) -> tuple[Tensor, ...]:
    n, m, root = len(q), len(k), math.sqrt(q.size(1))
    of_q, of_k, of_v = torch.zeros(q.shape), torch.zeros(k.shape), torch.zeros(v.shape)
    for i in range(n):
        powers = [math.exp(float(q[i] @ k[j]) / root) for j in range(m)]
        a = [power / sum(powers) for power in powers]
        o = sum((a[j] * v[j] for j in range(m)), torch.zeros(v.size(1)))
        for j in range(m):
            of_s = a[j] * float(g[i] @ (v[j] - o))
            of_q[i] += of_s * k[j] / root
            of_k[j] += of_s * q[i] / root
            of_v[j] += a[j] * g[i]
    return of_q, of_k, of_v


def _gradients_companion(q: Tensor, k: Tensor, v: Tensor, g: Tensor) -> tuple[Tensor, ...]:
    back = torch.func.vjp(lambda *three: scaled_dot_product_attention(*three)[0], q, k, v)[1]
    result: tuple[Tensor, ...] = back(g)
    return result


def _gradients_torch(q: Tensor, k: Tensor, v: Tensor, g: Tensor) -> tuple[Tensor, ...]:
    three = tuple(x.clone().requires_grad_() for x in (q, k, v))
    output = F.scaled_dot_product_attention(three[0], three[1], three[2])
    return torch.autograd.grad(output, three, g)


def _four(generator: Generator) -> dict[str, Any]:
    shapes = {"q": (3, 4), "k": (5, 4), "v": (5, 2), "g": (3, 2)}
    return {name: normal(generator, *shape) for name, shape in shapes.items()}


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
        label="eq-attention-math-forward",
        symbols=(
            *(SCORE, WEIGHT, OUTPUT, QUERY, KEY, VALUE, KEY_SIZE),
            Symbol("b_{ij}", r"0 where query $i$ may read key $j$, else $-\infty$"),
        ),
        draw=_masked,
        by_hand=_forward_by_hand,
        companion=_forward_companion,
        library=_forward_torch,
    ),
    Equation(
        label="eq-attention-math-spread",
        symbols=(
            Symbol("q, k", "a query and a key with independent components", "d_k"),
            Symbol(r"\mu_q, \mu_k", "mean of each component of $q$, of $k$"),
            Symbol(r"\sigma_q^2, \sigma_k^2", "variance of each component of $q$, of $k$"),
            KEY_SIZE,
        ),
        draw=_two_values,
        by_hand=_spread_by_hand,
        library=_spread_torch,
    ),
    Equation(
        label="eq-attention-math-shift",
        symbols=(
            Symbol("s_j", "attention scores of one query"),
            Symbol("c", "constant: any number, the same for all keys"),
        ),
        draw=lambda g: {"s": normal(g, 5), "c": between(g, -5, 5)},
        by_hand=_shift_by_hand,
        library=_shift_torch,
    ),
    Equation(
        label="eq-attention-math-back",
        symbols=(
            LOSS,
            Symbol("s_j, a_j", "attention scores and weights of one query"),
            Symbol("u_j", r"gradient of the loss with respect to weight $j$, $\partial\mathcal{L} / \partial a_j$"),
        ),
        draw=lambda g: {"s": normal(g, 5), "u": normal(g, 5)},
        by_hand=_back_by_hand,
        library=_back_torch,
    ),
    Equation(
        label="eq-attention-math-score",
        symbols=(LOSS, SCORE, WEIGHT, GRADIENT, VALUE, OUTPUT),
        draw=lambda g: {"s": normal(g, 3, 4), "v": normal(g, 4, 2), "g": normal(g, 3, 2)},
        by_hand=_score_by_hand,
        library=_score_torch,
    ),
    Equation(
        label="eq-attention-math-gradients",
        symbols=(LOSS, SCORE, WEIGHT, GRADIENT, QUERY, KEY, VALUE, KEY_SIZE),
        draw=_four,
        by_hand=_gradients_by_hand,
        companion=_gradients_companion,
        library=_gradients_torch,
    ),
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
