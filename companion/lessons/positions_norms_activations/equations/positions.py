"""Equations of ``book/formulas/positions_norms_activations.ipynb``: waves and turns that say where a token stands."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import between, normal, randomised, whole
from companion.nn.attention import MultiHeadAttention
from companion.nn.norms import RMSNorm
from companion.nn.positions import YarnScaling, rotary, rotary_frequencies, rotate, sinusoidal_positions

SPEED = Symbol(r"\omega_i", r"frequency of pair $i$, angle per position: $10000^{-2i/d}$, $i = 0, \dots, d/2 - 1$")


STEPS = Symbol("k", "offset: number of positions further on")


def _shift_by_hand(p: int, k: int, d: int) -> Tensor:
    result = torch.zeros(d)
    for i in range(d // 2):
        omega = 10000 ** (-2 * i / d)
        sine, cosine = math.sin(p * omega), math.cos(p * omega)  # the pair at position p
        result[2 * i] = sine * math.cos(k * omega) + cosine * math.sin(k * omega)
        result[2 * i + 1] = cosine * math.cos(k * omega) - sine * math.sin(k * omega)
    return result


def _shift_companion(p: int, k: int, d: int) -> Tensor:
    return sinusoidal_positions(p + k + 1, d)[p + k]


def _shift_torch(p: int, k: int, d: int) -> Tensor:
    omega = torch.pow(10000.0, -torch.arange(0, d, 2).double() / d)
    hand = torch.polar(torch.ones_like(omega), p * omega) * torch.polar(torch.ones_like(omega), k * omega)
    return torch.stack([hand.imag, hand.real], dim=1).flatten()


def _dot_by_hand(p: int, k: int, d: int) -> float:
    return sum(math.cos(k * 10000 ** (-2 * i / d)) for i in range(d // 2))


def _dot_companion(p: int, k: int, d: int) -> Tensor:
    table = sinusoidal_positions(p + k + 1, d)
    return table[p] @ table[p + k]


def _dot_torch(p: int, k: int, d: int) -> Tensor:
    omega = torch.pow(10000.0, -torch.arange(0, d, 2).double() / d)
    one, other = (torch.polar(torch.ones_like(omega), place * omega) for place in (p, p + k))
    return torch.vdot(one, other).real


def _added_by_hand(e: Tensor, p: Tensor, layer: MultiHeadAttention) -> Tensor:
    w = layer.query.weight.T @ layer.key.weight  # W^Q W^K transposed, (d, d)
    s = torch.zeros(len(e), len(e))
    for i in range(len(e)):
        for j in range(len(e)):
            what, where = e[i] @ w @ e[j] + e[i] @ w @ p[j], p[i] @ w @ e[j] + p[i] @ w @ p[j]
            s[i, j] = (what + where) / math.sqrt(layer.query.weight.size(0))
    return s


def _added_torch(e: Tensor, p: Tensor, layer: MultiHeadAttention) -> Tensor:
    query, key = (F.linear(e, part.weight) + F.linear(p, part.weight) for part in (layer.query, layer.key))
    return torch.baddbmm(torch.zeros(1), query[None], key.T[None], alpha=query.size(1) ** -0.5)[0]


def _rotary_by_hand(q: Tensor, k: Tensor, m: int, n: int, base: float) -> float:
    half, score = len(q) // 2, 0.0
    for i in range(half):
        theta = base ** (-2 * i / len(q))
        long_q, long_k = math.hypot(q[i], q[i + half]), math.hypot(k[i], k[i + half])
        phi = math.atan2(q[i + half], q[i]) - math.atan2(k[i + half], k[i])
        score += long_q * long_k * math.cos((m - n) * theta + phi)
    return score


def _rotary_companion(q: Tensor, k: Tensor, m: int, n: int, base: float) -> Tensor:
    frequencies = rotary_frequencies(len(q), base).double()  # these bases have angles that single precision holds
    turned = rotate(torch.stack([q, k])[None, None], rotary(torch.tensor([[m, n]]), frequencies))[0, 0]
    return turned[0] @ turned[1]


def _rotary_torch(q: Tensor, k: Tensor, m: int, n: int, base: float) -> Tensor:
    one, other = (torch.complex(*x.chunk(2)) for x in (q, k))
    theta = torch.pow(base, -torch.arange(len(one)).double() / len(one))
    return torch.vdot(other, one * torch.polar(torch.ones_like(theta), (m - n) * theta)).real


def _yarn_by_hand(d: int, base: float, s: float, length: int) -> tuple[Tensor, float]:
    def pair(turns: int) -> float:
        return d / 2 * math.log(length / (2 * math.pi * turns), base)

    first, last = math.floor(pair(32)), math.ceil(pair(1))
    result = torch.zeros(d // 2)
    for i in range(d // 2):
        theta = base ** (-2 * i / d)
        gamma = min(1, max(0, (last - i) / (last - first)))
        result[i] = gamma * theta + (1 - gamma) * theta / s
    return result, 0.1 * math.log(s) + 1


def _yarn_companion(d: int, base: float, s: float, length: int) -> tuple[Tensor, float]:
    yarn = YarnScaling(s, length)
    return yarn.slowed(rotary_frequencies(d, base).double(), base), yarn.amplitude


def _yarn_torch(d: int, base: float, s: float, length: int) -> tuple[Tensor, Tensor]:
    index = torch.arange(d // 2).double()
    theta = torch.pow(base, -2 * index / d)
    first, last = torch.log(length / (2 * math.pi * torch.tensor([32.0, 1.0]))) * d / (2 * math.log(base))
    slowed = ((index - first.floor()) / (last.ceil() - first.floor())).clamp(0, 1)
    return torch.lerp(theta, theta / s, slowed), torch.tensor(s).log().mul(0.1).add(1)


def _turns(g: Generator) -> dict[str, Any]:
    base = 2.0 ** (4 * whole(g, 1, 4))  # so that each angle is a power of 2
    return {"q": normal(g, 8), "k": normal(g, 8), "m": whole(g, 0, 30), "n": whole(g, 0, 30), "base": base}


def _stretched(g: Generator) -> dict[str, Any]:
    base = 2.0 ** (8 * whole(g, 1, 2))
    return {"d": 16, "base": base, "s": between(g, 2, 32), "length": whole(g, 300, 8000)}


def _places(g: Generator) -> dict[str, int]:
    return {"p": whole(g, 0, 20), "k": whole(g, 1, 20), "d": 2 * whole(g, 1, 8)}


VECTOR = Symbol("x", "vector of one position", "d")


def _unmoved_by_hand(x: Tensor, alpha: float, c: float) -> tuple[Tensor, Tensor]:
    mu = sum(float(x_i) for x_i in x) / len(x)
    sigma = math.sqrt(sum((float(x_i) - mu) ** 2 for x_i in x) / len(x))
    r = math.sqrt(sum(float(x_i) ** 2 for x_i in x) / len(x))
    return (x - mu) / sigma, x / r


def _unmoved_companion(x: Tensor, alpha: float, c: float) -> tuple[Tensor, Tensor]:
    layer_norm = nn.LayerNorm(len(x), eps=0.0)  # companion's models take PyTorch's
    return layer_norm(alpha * x + c), RMSNorm(len(x), eps=0.0)(alpha * x)


def _unmoved_torch(x: Tensor, alpha: float, c: float) -> tuple[Tensor, Tensor]:
    centred = x - x.mean()
    size = math.sqrt(len(x))
    return F.normalize(alpha * centred, dim=0) * size, F.normalize(alpha * x, dim=0) * size


EQUATIONS = (
    Equation(
        label="eq-positions-shift",
        symbols=(Symbol("P_p", "position encoding of position $p$, counted from 0", "d"), STEPS, SPEED),
        draw=_places,
        by_hand=_shift_by_hand,
        companion=_shift_companion,
        library=_shift_torch,
    ),
    Equation(
        label="eq-positions-dot",
        symbols=(Symbol("P_p", "position encoding of position $p$, counted from 0", "d"), STEPS, SPEED),
        draw=_places,
        by_hand=_dot_by_hand,
        companion=_dot_companion,
        library=_dot_torch,
    ),
    Equation(
        label="eq-positions-added",
        symbols=(
            Symbol("s_{ij}", "attention score of query $i$ for key $j$"),
            Symbol("e_i", "embedding of the token at position $i$", "d"),
            Symbol("p_i", "position embedding or encoding of position $i$, learned or fixed", "d"),
            Symbol("W", r"$W^Q (W^K)^{\top}$, of one head", r"d \times d"),
            Symbol("d_k", "dimension of queries and keys"),
        ),
        draw=lambda g: {
            "e": normal(g, 4, 6),
            "p": normal(g, 4, 6),
            "layer": randomised(MultiHeadAttention(6, 1, d_head=3, bias=False), g),
        },
        by_hand=_added_by_hand,
        library=_added_torch,
    ),
    Equation(
        label="eq-positions-rotary",
        symbols=(
            Symbol("q, k", "a query at position $m$ and a key at position $n$, before they are rotated", "d_h"),
            Symbol(r"\lvert q_i \rvert, \lvert k_i \rvert", "lengths of their pairs $i$"),
            Symbol(r"\varphi_i", "angle of the query's pair $i$ minus that of the key's"),
            Symbol(r"\theta_i", r"frequency of pair $i$, angle per position: $\beta^{-2i/d_h}$"),
            Symbol("R_m", "rotation matrix of position $m$", r"d_h \times d_h"),
        ),
        draw=_turns,
        by_hand=_rotary_by_hand,
        companion=_rotary_companion,
        library=_rotary_torch,
    ),
    Equation(
        label="eq-positions-yarn",
        symbols=(
            Symbol(r"\theta'_i", "new frequency of pair $i$"),
            Symbol(r"\theta_i", r"frequency of pair $i$ in training: $\beta^{-2i/d_h}$"),
            Symbol(r"\gamma_i", "weight of the trained frequency, 0 to 1"),
            Symbol("s", "new context length divided by the trained one"),
            Symbol(
                "i_{32}, i_1", "pairs that turn 32 times, or once, within the trained context length; rounded outwards"
            ),
            Symbol("t", "temperature: scores of rotated dimensions are divided by it"),
        ),
        draw=_stretched,
        by_hand=_yarn_by_hand,
        companion=_yarn_companion,
        library=_yarn_torch,
    ),
    Equation(
        label="eq-positions-unmoved",
        symbols=(
            VECTOR,
            Symbol(r"\alpha", "a number above 0"),
            Symbol("c", "a number that is added to each component"),
            Symbol(r"\mathrm{LN}, \mathrm{RMSNorm}", r"the norms, here with $\varepsilon = 0$, scale 1 and shift 0"),
        ),
        draw=lambda g: {"x": normal(g, 6), "alpha": between(g, 0.5, 3), "c": between(g, -2, 2)},
        by_hand=_unmoved_by_hand,
        companion=_unmoved_companion,
        library=_unmoved_torch,
    ),
)
