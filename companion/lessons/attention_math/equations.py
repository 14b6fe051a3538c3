"""The equations of ``book/formulas/attention_math.ipynb`` about one head and its gradients."""

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

SHARE = Symbol("a_{ij}", "share of its reading that query $i$ gives to key $j$")
SCORE = Symbol("s_{ij}", "score of query $i$ for key $j$")
QUERY = Symbol("q_i", "query $i$, $1 \\le i \\le n$", "d_k")
KEY = Symbol("k_j", "key $j$, $1 \\le j \\le m$", "d_k")
VALUE = Symbol("v_j", "value $j$, $1 \\le j \\le m$", "d_v")
OUTPUT = Symbol("o_i", "what query $i$ has read", "d_v")
KEY_SIZE = Symbol("d_k", "length of a query and of a key")
LOSS = Symbol(r"\mathcal{L}", "loss: any number computed from the outputs")
PULL = Symbol("g_i", r"$\partial\mathcal{L} / \partial o_i$: where the loss grows fastest", "d_v")


def _forward_hand(q: Tensor, k: Tensor, v: Tensor, b: Tensor) -> Tensor:
    output = torch.zeros(len(q), v.size(1))
    for i in range(len(q)):
        dots = [sum(float(q[i, c] * k[j, c]) for c in range(q.size(1))) for j in range(len(k))]
        s = [dot / math.sqrt(q.size(1)) + float(b[i, j]) for j, dot in enumerate(dots)]
        total = sum(math.exp(score) for score in s)
        for j in range(len(k)):
            output[i] += math.exp(s[j]) / total * v[j]
    return output


def _forward_ours(q: Tensor, k: Tensor, v: Tensor, b: Tensor) -> Tensor:
    output, _ = scaled_dot_product_attention(q, k, v, mask=b == 0)
    return output


def _forward_torch(q: Tensor, k: Tensor, v: Tensor, b: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, attn_mask=b)


def _masked(generator: Generator) -> dict[str, Any]:
    allowed = normal(generator, 3, 5) > 0
    allowed[:, 0] = True  # each reads something
    b = torch.zeros(3, 5).masked_fill(~allowed, -math.inf)
    return {"q": normal(generator, 3, 4), "k": normal(generator, 5, 4), "v": normal(generator, 5, 2), "b": b}


def _spread_hand(mu: Tensor, sigma: Tensor, chances: Tensor) -> tuple[Tensor, Tensor]:
    d_k, (mu_q, mu_k), (sigma_q, sigma_k) = chances.size(1), mu, sigma
    variance = d_k * (sigma_q**2 * sigma_k**2 + sigma_q**2 * mu_k**2 + mu_q**2 * sigma_k**2)
    return d_k * mu_q * mu_k, variance


def _spread_ours(mu: Tensor, sigma: Tensor, chances: Tensor) -> tuple[Tensor, Tensor]:
    query, key, chance = _everything(mu, sigma, chances)
    zero = torch.zeros(1, query.size(1))  # a key of score 0, to read the other scores off
    _, weights = scaled_dot_product_attention(query, torch.cat([key, zero]), torch.cat([key, zero]), scale=1.0)
    scores = (weights[:, :-1] / weights[:, -1:]).log()
    mean = (chance * scores).sum()
    return mean, (chance * (scores - mean) ** 2).sum()


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


def _shift_hand(s: Tensor, c: float) -> Tensor:
    powers = [math.exp(score - c) for score in s]
    return torch.tensor([power / sum(powers) for power in powers])


def _shift_ours(s: Tensor, c: float) -> Tensor:
    nothing = torch.zeros(1, 1), torch.zeros(len(s), 1), torch.zeros(len(s), 1)
    _, weights = scaled_dot_product_attention(*nothing, bias=s[None] - c)
    return weights[0]


def _shift_torch(s: Tensor, c: float) -> Tensor:
    return F.softmax(s, dim=0)


def _back_hand(s: Tensor, u: Tensor) -> Tensor:
    powers = s.exp()
    a = powers / powers.sum()
    mean = sum(float(a[l] * u[l]) for l in range(len(s)))  # noqa: E741  # as on the page
    return torch.stack([a[j] * (u[j] - mean) for j in range(len(s))])


def _back_ours(s: Tensor, u: Tensor) -> Tensor:
    nothing = torch.zeros(1, 1), torch.zeros(len(s), 1), torch.zeros(len(s), 1)
    back = torch.func.vjp(lambda scores: scaled_dot_product_attention(*nothing, bias=scores[None])[1][0], s)[1]
    result: Tensor = back(u)[0]
    return result


def _back_torch(s: Tensor, u: Tensor) -> Tensor:
    a = F.softmax(s, dim=0)
    return (torch.diag(a) - torch.outer(a, a)) @ u


def _score_hand(s: Tensor, v: Tensor, g: Tensor) -> Tensor:
    result = torch.zeros(s.shape)
    for i in range(len(s)):
        a = [math.exp(s[i, j]) / sum(math.exp(score) for score in s[i]) for j in range(len(v))]
        o = sum((a[j] * v[j] for j in range(len(v))), torch.zeros(v.size(1)))
        for j in range(len(v)):
            result[i, j] = a[j] * float(g[i] @ (v[j] - o))
    return result


def _score_ours(s: Tensor, v: Tensor, g: Tensor) -> Tensor:
    nothing = torch.zeros(len(s), 1), torch.zeros(len(v), 1)
    back = torch.func.vjp(lambda scores: scaled_dot_product_attention(*nothing, v, bias=scores)[0], s)[1]
    result: Tensor = back(g)[0]
    return result


def _score_torch(s: Tensor, v: Tensor, g: Tensor) -> Tensor:
    back = torch.func.vjp(lambda scores: F.softmax(scores, dim=-1) @ v, s)[1]
    result: Tensor = back(g)[0]
    return result


def _gradients_hand(q: Tensor, k: Tensor, v: Tensor, g: Tensor) -> tuple[Tensor, ...]:
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


def _gradients_ours(q: Tensor, k: Tensor, v: Tensor, g: Tensor) -> tuple[Tensor, ...]:
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
        a = by_hand.softmax((x @ w_q) @ (y @ w_k).T / width**0.5)
        total = total + a @ (y @ w_v) @ w_o
    return total


def _heads_ours(x: Tensor, y: Tensor, layer: MultiHeadAttention) -> Tensor:
    result: Tensor = layer(x[None], y[None])
    return result[0]


def _heads_torch(x: Tensor, y: Tensor, layer: MultiHeadAttention) -> Tensor:
    return by_torch.multi_head_attention(x, y, layer)


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
        "eq-attention-math-forward",
        (
            *(SCORE, SHARE, OUTPUT, QUERY, KEY, VALUE, KEY_SIZE),
            Symbol("b_{ij}", r"0 where query $i$ may read key $j$, else $-\infty$"),
        ),
        _masked,
        _forward_hand,
        _forward_ours,
        _forward_torch,
    ),
    Equation(
        "eq-attention-math-spread",
        (
            Symbol("q, k", "a query and a key whose components are all independent", "d_k"),
            Symbol(r"\mu_q, \mu_k", "mean of each component of $q$, of $k$"),
            Symbol(r"\sigma_q^2, \sigma_k^2", "variance of each component of $q$, of $k$"),
            KEY_SIZE,
        ),
        _two_values,
        _spread_hand,
        _spread_ours,
        _spread_torch,
    ),
    Equation(
        "eq-attention-math-shift",
        (Symbol("s_j", "scores of one query"), Symbol("c", "any number, the same for all keys")),
        lambda g: {"s": normal(g, 5), "c": between(g, -5, 5)},
        _shift_hand,
        _shift_ours,
        _shift_torch,
    ),
    Equation(
        "eq-attention-math-back",
        (
            LOSS,
            Symbol("s_j, a_j", "scores and shares of one query"),
            Symbol("u_j", r"$\partial\mathcal{L} / \partial a_j$: what the loss wants of share $j$"),
        ),
        lambda g: {"s": normal(g, 5), "u": normal(g, 5)},
        _back_hand,
        _back_ours,
        _back_torch,
    ),
    Equation(
        "eq-attention-math-score",
        (LOSS, SCORE, SHARE, PULL, VALUE, OUTPUT),
        lambda g: {"s": normal(g, 3, 4), "v": normal(g, 4, 2), "g": normal(g, 3, 2)},
        _score_hand,
        _score_ours,
        _score_torch,
    ),
    Equation(
        "eq-attention-math-gradients",
        (LOSS, SCORE, SHARE, PULL, QUERY, KEY, VALUE, KEY_SIZE),
        _four,
        _gradients_hand,
        _gradients_ours,
        _gradients_torch,
    ),
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
