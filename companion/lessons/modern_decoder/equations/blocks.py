"""Equations of ``book/algorithms/modern_decoder.ipynb``: rotary positions, RMSNorm, the gated layer."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from companion.lessons import by_hand, by_torch
from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import normal, randomised, tokens, whole
from companion.models.modern_decoder import ModernConfig, ModernDecoder
from companion.nn.feed_forward import SwiGLU
from companion.nn.norms import RMSNorm
from companion.nn.positions import rotary, rotary_frequencies, rotate

HEAD = Symbol("d_h", "width of a head, even")


def _rope_by_hand(x: Tensor, m: int, base: float) -> Tensor:
    """Rotate the pairs of one vector (d_h,) by hand, for position m."""
    half = len(x) // 2
    result = torch.zeros(len(x))
    for i in range(half):
        theta = base ** (-2 * i / len(x))
        a, b = x[i], x[i + half]
        result[i] = math.cos(m * theta) * a - math.sin(m * theta) * b
        result[i + half] = math.sin(m * theta) * a + math.cos(m * theta) * b
    return result


def _rope_companion(x: Tensor, m: int, base: float) -> Tensor:
    frequencies = rotary_frequencies(len(x), base).double()  # these bases have angles that single precision holds
    return rotate(x[None, None, None], rotary(torch.tensor([[m]]), frequencies))[0, 0, 0]


def _rope_torch(x: Tensor, m: int, base: float) -> Tensor:
    pairs = torch.complex(*x.chunk(2))
    angles = m * torch.pow(base, -torch.arange(len(pairs)).double() / len(pairs))
    turned = pairs * torch.polar(torch.ones_like(angles), angles)
    return torch.cat([turned.real, turned.imag])


def _distance_by_hand(q: Tensor, k: Tensor, m: int, n: int, base: float) -> tuple[Tensor, Tensor]:
    half = len(q) // 2
    turn = {}
    for position in (m, n, n - m):  # R_m as a matrix
        turn[position] = torch.zeros(len(q), len(q))
        for i in range(half):
            angle = position * base ** (-2 * i / len(q))
            turn[position][i, i] = turn[position][i + half, i + half] = math.cos(angle)
            turn[position][i, i + half], turn[position][i + half, i] = -math.sin(angle), math.sin(angle)
    return q @ turn[m].T @ turn[n] @ k, q @ turn[n - m] @ k


def _distance_companion(q: Tensor, k: Tensor, m: int, n: int, base: float) -> tuple[Tensor, Tensor]:
    frequencies = rotary_frequencies(len(q), base).double()
    both = rotate(torch.stack([q, k])[None, None], rotary(torch.tensor([[m, n]]), frequencies))[0, 0]
    far = rotate(k[None, None, None], rotary(torch.tensor([[n - m]]), frequencies))[0, 0, 0]
    return both[0] @ both[1], q @ far


def _distance_torch(q: Tensor, k: Tensor, m: int, n: int, base: float) -> tuple[Tensor, Tensor]:
    one, other = (torch.complex(*x.chunk(2)) for x in (q, k))
    theta = torch.pow(base, -torch.arange(len(one)).double() / len(one))
    score = torch.vdot(one, other * torch.polar(torch.ones_like(theta), (n - m) * theta)).real
    return score, score


def _positions(g: Generator) -> dict[str, Any]:
    base = 2.0 ** (4 * whole(g, 1, 4))  # so that each angle is a power of 2
    return {"q": normal(g, 8), "k": normal(g, 8), "m": whole(g, 0, 30), "n": whole(g, 0, 30), "base": base}


def _rms_by_hand(x: Tensor, norm: RMSNorm) -> Tensor:
    mean_square = sum(float(x_i) ** 2 for x_i in x) / len(x)
    return x / math.sqrt(mean_square + norm.eps) * norm.weight


def _rms_companion(x: Tensor, norm: RMSNorm) -> Tensor:
    result: Tensor = norm(x)
    return result


def _rms_torch(x: Tensor, norm: RMSNorm) -> Tensor:
    return F.rms_norm(x, (len(x),), norm.weight, norm.eps)


def _attention_by_hand(x: Tensor, layer: Any, base: float) -> Tensor:
    heads = []
    for head in range(layer.n_heads):
        group = head // (layer.n_heads // layer.n_kv_heads)  # its key/value head
        d_h = layer.query.weight.size(0) // layer.n_heads
        own, read = slice(head * d_h, (head + 1) * d_h), slice(group * d_h, (group + 1) * d_h)
        q, k = x @ layer.query.weight[own].T, x @ layer.key.weight[read].T
        q, k = (torch.stack([_rope_by_hand(row, m, base) for m, row in enumerate(rows)]) for rows in (q, k))
        scores = q @ k.T / math.sqrt(d_h)
        for i in range(len(x)):
            scores[i, i + 1 :] = -math.inf
        heads.append(by_hand.softmax(scores) @ (x @ layer.value.weight[read].T))
    output: Tensor = torch.cat(heads, dim=-1) @ layer.output.weight.T
    return output


def _forward_by_hand(x: Tensor, model: Any, base: float) -> Tensor:
    h = torch.stack([model.token_embedding.weight[token] for token in x])
    for block in model.blocks:
        u = h + _attention_by_hand(by_hand.rms_norm(h, block.attention_norm), block.attention, base)
        read, layer = by_hand.rms_norm(u, block.feed_forward_norm), block.feed_forward
        gate = read @ layer.gate.weight.T
        silu = gate / (1 + torch.exp(-gate))
        h = u + (silu * (read @ layer.expand.weight.T)) @ layer.contract.weight.T
    logits: Tensor = by_hand.rms_norm(h, model.final_norm) @ model.unembedding.weight.T
    return logits


def _forward_companion(x: Tensor, model: Any, base: float) -> Tensor:
    frequencies = rotary_frequencies(model.config.d_head, base).double()
    rotation = rotary(torch.arange(len(x))[None], frequencies)
    h = model.token_embedding(x[None])
    for block in model.blocks:
        h = block(h, rotation)
    logits: Tensor = model.unembedding(model.final_norm(h))
    return logits[0]


def _forward_torch(x: Tensor, model: Any, base: float) -> Tensor:
    h = F.embedding(x, model.token_embedding.weight)
    pairs = model.config.d_head // 2
    angles = torch.outer(torch.arange(len(x)).double(), torch.pow(base, -torch.arange(pairs).double() / pairs))
    turn = torch.polar(torch.ones_like(angles), angles)  # (length, pairs)
    for block in model.blocks:
        read, layer = by_torch.rms_norm(h, block.attention_norm), block.attention
        q, k, v = (
            part(read).view(len(x), -1, 2 * pairs).transpose(0, 1) for part in (layer.query, layer.key, layer.value)
        )
        q, k = (torch.complex(*vectors.chunk(2, -1)) * turn for vectors in (q, k))
        q, k = torch.cat([q.real, q.imag], -1), torch.cat([k.real, k.imag], -1)
        heads = F.scaled_dot_product_attention(q[None], k[None], v[None], is_causal=True, enable_gqa=True)[0]
        h = h + F.linear(heads.transpose(0, 1).flatten(1), layer.output.weight)
        read, layer = by_torch.rms_norm(h, block.feed_forward_norm), block.feed_forward
        inner = F.silu(F.linear(read, layer.gate.weight)) * F.linear(read, layer.expand.weight)
        h = h + F.linear(inner, layer.contract.weight)
    return F.linear(by_torch.rms_norm(h, model.final_norm), model.unembedding.weight)


def _decoder(g: Generator) -> dict[str, Any]:
    base = 2.0 ** (4 * whole(g, 1, 4))
    config = ModernConfig(
        vocab_size=7,
        context_length=8,
        n_layers=2,
        n_heads=4,
        n_kv_heads=2,
        d_model=16,
        d_ff=8,
        rope_base=base,
        tied=False,
    )
    return {"x": tokens(g, 7, 6), "model": randomised(ModernDecoder(config), g), "base": base}


def _swiglu_by_hand(x: Tensor, layer: SwiGLU) -> Tensor:
    gate, wide = x @ layer.gate.weight.T, x @ layer.expand.weight.T
    opened = [float(z) / (1 + math.exp(-float(z))) * float(w) for z, w in zip(gate, wide, strict=True)]
    return torch.tensor(opened) @ layer.contract.weight.T


def _swiglu_companion(x: Tensor, layer: SwiGLU) -> Tensor:
    output: Tensor = layer(x)
    return output


def _swiglu_torch(x: Tensor, layer: SwiGLU) -> Tensor:
    gated = F.silu(F.linear(x, layer.gate.weight)) * F.linear(x, layer.expand.weight)
    return F.linear(gated, layer.contract.weight)


EQUATIONS = (
    Equation(
        label="eq-modern_decoder-rope",
        symbols=(
            Symbol("a, b", "a pair: components $i$ and $i + d_h/2$ of a query or a key"),
            Symbol("m", "position, counted from 0"),
            Symbol(r"\theta_i", "frequency: angle by which pair $i$ is rotated from one position to the next"),
            Symbol(r"\beta", "base of the frequencies: how slow the slowest pair is"),
            HEAD,
        ),
        draw=lambda g: {"x": normal(g, 8), "m": whole(g, 0, 30), "base": 2.0 ** (4 * whole(g, 1, 4))},
        by_hand=_rope_by_hand,
        companion=_rope_companion,
        library=_rope_torch,
    ),
    Equation(
        label="eq-modern_decoder-distance",
        symbols=(
            Symbol("R_m", "rotation matrix of position $m$", r"d_h \times d_h"),
            Symbol("q, k", "a query at position $m$ and a key at position $n$", "d_h"),
        ),
        draw=_positions,
        by_hand=_distance_by_hand,
        companion=_distance_companion,
        library=_distance_torch,
    ),
    Equation(
        label="eq-modern_decoder-rms",
        symbols=(
            Symbol("x", "vector of one position", "d"),
            Symbol(r"\varepsilon", "small constant that keeps the root from zero"),
            Symbol("g", "scale of each component; learned", "d"),
        ),
        draw=lambda g: {"x": normal(g, 6), "norm": randomised(RMSNorm(6), g)},
        by_hand=_rms_by_hand,
        companion=_rms_companion,
        library=_rms_torch,
    ),
    Equation(
        label="eq-modern_decoder-forward",
        symbols=(
            Symbol(
                r"h^{\ell}", r"residual stream after block $\ell$ of $L$; $h^{\ell}_t$ at position $t$", r"n \times d"
            ),
            Symbol("E", "token embedding; $E_x$ is the row of token $x$", r"V \times d"),
            Symbol(r"u^{\ell}", "residual stream between attention and the feed-forward network", r"n \times d"),
            Symbol("R", "rotation of queries and keys, in every layer"),
            Symbol("z", "logits", r"n \times V"),
            Symbol("U", "unembedding matrix, which may be $E$ itself", r"V \times d"),
        ),
        draw=_decoder,
        by_hand=_forward_by_hand,
        companion=_forward_companion,
        library=_forward_torch,
    ),
    Equation(
        label="eq-modern_decoder-swiglu",
        symbols=(
            Symbol("x", "vector of one position", "d"),
            Symbol(
                r"W_{\text{gate}}, W_{\text{expand}}",
                "weight matrices of the first layer, which widen",
                r"d \times d_{\mathrm{ff}}",
            ),
            Symbol(
                r"W_{\text{contract}}",
                "weight matrix of the second layer, which narrows again",
                r"d_{\mathrm{ff}} \times d",
            ),
            Symbol(r"\mathrm{SiLU}", r"activation $z\,\sigma(z)$, elementwise"),
        ),
        draw=lambda g: {"x": normal(g, 4), "layer": randomised(SwiGLU(4, 8), g)},
        by_hand=_swiglu_by_hand,
        companion=_swiglu_companion,
        library=_swiglu_torch,
    ),
)
