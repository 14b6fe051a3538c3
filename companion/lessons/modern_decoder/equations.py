"""Equations of ``book/algorithms/modern_decoder.ipynb``."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from companion.lessons import by_hand, by_torch
from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import between, normal, randomised, tokens, whole
from companion.losses.mixture_of_experts import causal_loss_with_load_balancing
from companion.models.modern_decoder import ModernConfig, ModernDecoder
from companion.nn.feed_forward import SwiGLU
from companion.nn.mixture_of_experts import MixtureOfExperts, record_routing
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


def _cache_by_hand(ids: Tensor, model: ModernDecoder) -> int:
    config, n = model.config, len(ids)
    return 2 * config.n_layers * config.n_kv_heads * config.d_head * n


def _cache_companion(ids: Tensor, model: ModernDecoder) -> int:
    cache = model.new_cache()
    model(ids[None], cache=cache)
    return sum(part.numel() for layer in cache for part in layer.filled())


def _cache_torch(ids: Tensor, model: ModernDecoder) -> int:
    kept = 0  # a key and a value for each token, of the matrices' own heights
    for name, weight in model.named_parameters():
        if name.endswith(("attention.key.weight", "attention.value.weight")):
            kept += F.linear(torch.zeros(len(ids), weight.size(1)), weight).numel()
    return kept


def _reader(g: Generator) -> dict[str, Any]:
    kv, heads = whole(g, 1, 3), whole(g, 1, 2)
    config = ModernConfig(
        vocab_size=7,
        context_length=16,
        n_layers=whole(g, 1, 3),
        n_heads=kv * heads,
        n_kv_heads=kv,
        d_model=8,
        d_head=2 * whole(g, 1, 3),
        d_ff=8,
    )
    return {"ids": tokens(g, 7, whole(g, 1, 12)), "model": randomised(ModernDecoder(config), g)}


def _experts_by_hand(x: Tensor, layer: Any) -> Tensor:
    k, scores = layer.experts_per_token, [float(x @ w) for w in layer.router.weight]  # one column of W_r an expert
    best = sorted(range(len(scores)), key=lambda e: -scores[e])[:k]
    total = sum(math.exp(scores[e]) for e in best)
    y = torch.zeros(len(x))
    for e in best:
        gate = x @ layer.experts[e].gate.weight.T
        inner = gate / (1 + torch.exp(-gate)) * (x @ layer.experts[e].expand.weight.T)
        swiglu = inner @ layer.experts[e].contract.weight.T
        y = y + math.exp(scores[e]) / total * swiglu
    return y


def _experts_companion(x: Tensor, layer: Any) -> Tensor:
    output: Tensor = layer(x[None, None])
    return output[0, 0]


def _experts_torch(x: Tensor, layer: Any) -> Tensor:
    scores = F.linear(x, layer.router.weight)
    worst = scores.topk(len(scores) - layer.experts_per_token, largest=False).indices
    weights = F.softmax(scores.index_fill(0, worst, -math.inf), dim=0)  # of all experts, 0 for most
    gate, expand, contract = (
        torch.stack([getattr(expert, name).weight for expert in layer.experts])
        for name in ("gate", "expand", "contract")
    )
    inner = F.silu(torch.einsum("efd,d->ef", gate, x)) * torch.einsum("efd,d->ef", expand, x)
    return torch.einsum("e,ef,edf->d", weights, inner, contract)


def _balance_by_hand(ids: Tensor, lam: float, z: Tensor, scores: list[Tensor], model: Any) -> float:
    causal = 0.0
    for t in range(len(z)):
        causal -= math.log(math.exp(z[t, ids[t + 1]]) / sum(math.exp(s) for s in z[t])) / len(z)
    rows = [row for layer in scores for row in layer]  # of all tokens, in all layers
    f, p = [0.0] * len(rows[0]), [0.0] * len(rows[0])
    for row in rows:
        ranked = sorted(range(len(row)), key=lambda e: -float(row[e]))
        for e in range(len(row)):
            f[e] += (e in ranked[: model.config.experts_per_token]) / len(rows)
            p[e] += math.exp(row[e]) / sum(math.exp(s) for s in row) / len(rows)
    return causal + lam * len(f) * sum(f_e * p_e for f_e, p_e in zip(f, p, strict=True))


def _balance_companion(ids: Tensor, lam: float, z: Tensor, scores: list[Tensor], model: Any) -> Tensor:
    return causal_loss_with_load_balancing(model, ids[None], weight=lam)


def _balance_torch(ids: Tensor, lam: float, z: Tensor, scores: list[Tensor], model: Any) -> Tensor:
    rows = torch.cat(scores)
    chosen = rows.topk(model.config.experts_per_token).indices
    f = torch.bincount(chosen.flatten(), minlength=rows.size(1)) / len(rows)
    balance = rows.size(1) * torch.dot(f, F.softmax(rows, dim=-1).mean(0))
    return F.cross_entropy(z, ids[1:]) + lam * balance


def _routed(g: Generator) -> dict[str, Any]:
    config = ModernConfig(
        vocab_size=7,
        context_length=8,
        n_layers=2,
        n_heads=2,
        d_model=8,
        d_ff=4,
        n_experts=4,
        family="mixtral",
        tied=False,
    )
    model = randomised(ModernDecoder(config), g)
    ids = tokens(g, 7, 6)
    with record_routing(model) as scores:
        z = model(ids[None, :-1])[0]
    return {"ids": ids, "lam": between(g, 0.01, 1.0), "z": z, "scores": [layer[0] for layer in scores], "model": model}


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
    Equation(
        label="eq-modern_decoder-cache",
        symbols=(
            Symbol("L", "number of layers (blocks)"),
            Symbol("n_{kv}", "number of key/value heads, `n_kv_heads`"),
            Symbol("d_h", "width of a head, `d_head`"),
            Symbol("n", "number of tokens in the text"),
        ),
        draw=_reader,
        by_hand=_cache_by_hand,
        companion=_cache_companion,
        library=_cache_torch,
    ),
    Equation(
        label="eq-modern_decoder-experts",
        symbols=(
            Symbol("x, y", "input and output at a token", "d"),
            Symbol("W_r", "router: weight matrix of its scores for the $N$ experts", r"d \times N"),
            Symbol(r"\mathrm{top}_k", "the $k$ largest scores, and their experts"),
            Symbol("g_e", "gate: weight of expert $e$; the weights of a token sum to 1"),
        ),
        draw=lambda g: {"x": normal(g, 4), "layer": randomised(MixtureOfExperts(4, 6, 5, 2), g)},
        by_hand=_experts_by_hand,
        companion=_experts_companion,
        library=_experts_torch,
    ),
    Equation(
        label="eq-modern_decoder-balance",
        symbols=(
            Symbol(r"\mathcal{L}_{\text{causal}}", "loss of the language model, in nats"),
            Symbol(r"\lambda", "weight of the load-balancing loss"),
            Symbol("N", "number of experts"),
            Symbol("f_e", "load of expert $e$: how often a token chooses it, on average over the tokens of all layers"),
            Symbol("P_e", "mean router probability of expert $e$ over the tokens of all layers"),
        ),
        draw=_routed,
        by_hand=_balance_by_hand,
        companion=_balance_companion,
        library=_balance_torch,
    ),
)
