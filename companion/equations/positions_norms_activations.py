"""The equations of ``book/formulas/positions_norms_activations.ipynb`` about positions."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from companion.attention import MultiHeadAttention
from companion.equations.checking import Equation, Symbol
from companion.equations.drawing import normal, randomised, whole
from companion.positions import rotary, rotary_frequencies, rotate, sinusoidal_positions

SPEED = Symbol(r"\omega_i", r"angle a position of pair $i$: $10000^{-2i/d}$, $i = 0, \dots, d/2 - 1$")
STEPS = Symbol("k", "how many positions further on")


def _shift_hand(p: int, k: int, d: int) -> Tensor:
    result = torch.zeros(d)
    for i in range(d // 2):
        omega = 10000 ** (-2 * i / d)
        sine, cosine = math.sin(p * omega), math.cos(p * omega)  # the pair at position p
        result[2 * i] = sine * math.cos(k * omega) + cosine * math.sin(k * omega)
        result[2 * i + 1] = cosine * math.cos(k * omega) - sine * math.sin(k * omega)
    return result


def _shift_ours(p: int, k: int, d: int) -> Tensor:
    return sinusoidal_positions(p + k + 1, d)[p + k]


def _shift_torch(p: int, k: int, d: int) -> Tensor:
    omega = torch.pow(10000.0, -torch.arange(0, d, 2).double() / d)
    hand = torch.polar(torch.ones_like(omega), p * omega) * torch.polar(torch.ones_like(omega), k * omega)
    return torch.stack([hand.imag, hand.real], dim=1).flatten()


def _dot_hand(p: int, k: int, d: int) -> float:
    return sum(math.cos(k * 10000 ** (-2 * i / d)) for i in range(d // 2))


def _dot_ours(p: int, k: int, d: int) -> Tensor:
    table = sinusoidal_positions(p + k + 1, d)
    return table[p] @ table[p + k]


def _dot_torch(p: int, k: int, d: int) -> Tensor:
    omega = torch.pow(10000.0, -torch.arange(0, d, 2).double() / d)
    one, other = (torch.polar(torch.ones_like(omega), place * omega) for place in (p, p + k))
    return torch.vdot(one, other).real


def _added_hand(e: Tensor, p: Tensor, layer: MultiHeadAttention) -> Tensor:
    w = layer.query.weight.T @ layer.key.weight  # W^Q W^K transposed, (d, d)
    s = torch.zeros(len(e), len(e))
    for i in range(len(e)):
        for j in range(len(e)):
            what, where = e[i] @ w @ e[j] + e[i] @ w @ p[j], p[i] @ w @ e[j] + p[i] @ w @ p[j]
            s[i, j] = (what + where) / math.sqrt(layer.query.weight.size(0))
    return s


def _added_ours(e: Tensor, p: Tensor, layer: MultiHeadAttention) -> Tensor:
    query, key = layer.query(e + p), layer.key(e + p)
    scores: Tensor = query @ key.T / math.sqrt(query.size(1))
    return scores


def _added_torch(e: Tensor, p: Tensor, layer: MultiHeadAttention) -> Tensor:
    query, key = (F.linear(e, part.weight) + F.linear(p, part.weight) for part in (layer.query, layer.key))
    return torch.baddbmm(torch.zeros(1), query[None], key.T[None], alpha=query.size(1) ** -0.5)[0]


def _rotary_hand(q: Tensor, k: Tensor, m: int, n: int, base: float) -> float:
    half, score = len(q) // 2, 0.0
    for i in range(half):
        theta = base ** (-2 * i / len(q))
        long_q, long_k = math.hypot(q[i], q[i + half]), math.hypot(k[i], k[i + half])
        phi = math.atan2(q[i + half], q[i]) - math.atan2(k[i + half], k[i])
        score += long_q * long_k * math.cos((m - n) * theta + phi)
    return score


def _rotary_ours(q: Tensor, k: Tensor, m: int, n: int, base: float) -> Tensor:
    frequencies = rotary_frequencies(len(q), base).double()  # these bases have angles that single precision holds
    turned = rotate(torch.stack([q, k])[None, None], rotary(torch.tensor([[m, n]]), frequencies))[0, 0]
    return turned[0] @ turned[1]


def _rotary_torch(q: Tensor, k: Tensor, m: int, n: int, base: float) -> Tensor:
    one, other = (torch.complex(*x.chunk(2)) for x in (q, k))
    theta = torch.pow(base, -torch.arange(len(one)).double() / len(one))
    return torch.vdot(other, one * torch.polar(torch.ones_like(theta), (m - n) * theta)).real


def _turns(g: Generator) -> dict[str, Any]:
    base = 2.0 ** (4 * whole(g, 1, 4))  # so that each angle is a power of 2
    return {"q": normal(g, 8), "k": normal(g, 8), "m": whole(g, 0, 30), "n": whole(g, 0, 30), "base": base}


def _places(g: Generator) -> dict[str, int]:
    return {"p": whole(g, 0, 20), "k": whole(g, 1, 20), "d": 2 * whole(g, 1, 8)}


EQUATIONS = (
    Equation(
        "eq-positions-shift",
        (Symbol("P_p", "vector of position $p$, counted from 0", "d"), STEPS, SPEED),
        _places,
        _shift_hand,
        _shift_ours,
        _shift_torch,
    ),
    Equation(
        "eq-positions-dot",
        (Symbol("P_p", "vector of position $p$, counted from 0", "d"), STEPS, SPEED),
        _places,
        _dot_hand,
        _dot_ours,
        _dot_torch,
    ),
    Equation(
        "eq-positions-added",
        (
            Symbol("s_{ij}", "score of query $i$ for key $j$"),
            Symbol("e_i", "vector of the token at position $i$", "d"),
            Symbol("p_i", "vector of position $i$, learned or fixed", "d"),
            Symbol("W", r"$W^Q (W^K)^{\top}$, of one head", r"d \times d"),
            Symbol("d_k", "length of a query and of a key"),
        ),
        lambda g: {
            "e": normal(g, 4, 6),
            "p": normal(g, 4, 6),
            "layer": randomised(MultiHeadAttention(6, 1, d_head=3, bias=False), g),
        },
        _added_hand,
        _added_ours,
        _added_torch,
    ),
    Equation(
        "eq-positions-rotary",
        (
            Symbol("q, k", "a query at position $m$ and a key at position $n$, before they are turned", "d_h"),
            Symbol(r"\lvert q_i \rvert, \lvert k_i \rvert", "lengths of their pairs $i$"),
            Symbol(r"\varphi_i", "angle of the query's pair $i$ minus that of the key's"),
            Symbol(r"\theta_i", r"angle a position of pair $i$: $\beta^{-2i/d_h}$"),
            Symbol("R_m", "the whole turn at position $m$", r"d_h \times d_h"),
        ),
        _turns,
        _rotary_hand,
        _rotary_ours,
        _rotary_torch,
    ),
)
