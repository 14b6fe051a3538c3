"""Equations of ``book/formulas/attention_math.ipynb``: softmax, scores and their gradients."""

import math
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from companion.lessons import by_torch
from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import between, normal
from companion.nn.attention import scaled_dot_product_attention

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
)
