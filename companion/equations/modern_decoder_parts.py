"""The equations of ``book/algorithms/modern_decoder.ipynb`` about gates, caches and experts."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from companion.equations.checking import Equation, Symbol
from companion.equations.drawing import between, normal, randomised, tokens, whole
from companion.mixture import MixtureOfExperts, SwiGLU, record_routing
from companion.modern import ModernConfig, ModernDecoder
from companion.objectives.balanced import balanced_loss


def _swiglu_hand(x: Tensor, layer: SwiGLU) -> Tensor:
    gate, wide = x @ layer.gate.weight.T, x @ layer.expand.weight.T
    opened = [float(z) / (1 + math.exp(-float(z))) * float(w) for z, w in zip(gate, wide, strict=True)]
    return torch.tensor(opened) @ layer.contract.weight.T


def _swiglu_ours(x: Tensor, layer: SwiGLU) -> Tensor:
    output: Tensor = layer(x)
    return output


def _swiglu_torch(x: Tensor, layer: SwiGLU) -> Tensor:
    gated = F.silu(F.linear(x, layer.gate.weight)) * F.linear(x, layer.expand.weight)
    return F.linear(gated, layer.contract.weight)


def _cache_hand(ids: Tensor, model: ModernDecoder) -> int:
    config, n = model.config, len(ids)
    return 2 * config.n_layers * config.n_kv_heads * config.d_head * n


def _cache_ours(ids: Tensor, model: ModernDecoder) -> int:
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
    sizes = {"vocab_size": 7, "context_length": 16, "n_layers": whole(g, 1, 3), "n_heads": kv * heads}
    config = ModernConfig(**sizes, n_kv_heads=kv, d_model=8, d_head=2 * whole(g, 1, 3), d_ff=8)  # type: ignore[arg-type]
    return {"ids": tokens(g, 7, whole(g, 1, 12)), "model": randomised(ModernDecoder(config), g)}


def _experts_hand(x: Tensor, layer: Any) -> Tensor:
    k, scores = layer.experts_per_token, [float(x @ w) for w in layer.router.weight]  # one column of W_r an expert
    best = sorted(range(len(scores)), key=lambda e: -scores[e])[:k]
    total = sum(math.exp(scores[e]) for e in best)
    y = torch.zeros(len(x))
    for e in best:
        gate = x @ layer.experts[e].gate.weight.T
        swiglu = (gate / (1 + torch.exp(-gate)) * (x @ layer.experts[e].expand.weight.T)) @ layer.experts[
            e
        ].contract.weight.T
        y = y + math.exp(scores[e]) / total * swiglu
    return y


def _experts_ours(x: Tensor, layer: Any) -> Tensor:
    output: Tensor = layer(x[None, None])
    return output[0, 0]


def _experts_torch(x: Tensor, layer: Any) -> Tensor:
    scores = F.linear(x, layer.router.weight)
    worst = scores.topk(len(scores) - layer.experts_per_token, largest=False).indices
    shares = F.softmax(scores.index_fill(0, worst, -math.inf), dim=0)  # of all experts, 0 for most
    gate, expand, contract = (
        torch.stack([getattr(expert, name).weight for expert in layer.experts])
        for name in ("gate", "expand", "contract")
    )
    inner = F.silu(torch.einsum("efd,d->ef", gate, x)) * torch.einsum("efd,d->ef", expand, x)
    return torch.einsum("e,ef,edf->d", shares, inner, contract)


def _balance_hand(ids: Tensor, lam: float, z: Tensor, scores: list[Tensor], model: Any) -> float:
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


def _balance_ours(ids: Tensor, lam: float, z: Tensor, scores: list[Tensor], model: Any) -> Tensor:
    return balanced_loss(model, ids[None], weight=lam)


def _balance_torch(ids: Tensor, lam: float, z: Tensor, scores: list[Tensor], model: Any) -> Tensor:
    rows = torch.cat(scores)
    chosen = rows.topk(model.config.experts_per_token).indices
    f = torch.bincount(chosen.flatten(), minlength=rows.size(1)) / len(rows)
    balance = rows.size(1) * torch.dot(f, F.softmax(rows, dim=-1).mean(0))
    return F.cross_entropy(z, ids[1:]) + lam * balance


def _routed(g: Generator) -> dict[str, Any]:
    sizes = {"vocab_size": 7, "context_length": 8, "n_layers": 2, "n_heads": 2, "d_model": 8, "d_ff": 4, "n_experts": 4}
    model = randomised(ModernDecoder(ModernConfig(**sizes, family="mixtral", tied=False)), g)  # type: ignore[arg-type]
    ids = tokens(g, 7, 6)
    with record_routing(model) as scores:
        z = model(ids[None, :-1])[0]
    return {"ids": ids, "lam": between(g, 0.01, 1.0), "z": z, "scores": [layer[0] for layer in scores], "model": model}


EQUATIONS = (
    Equation(
        "eq-modern_decoder-swiglu",
        (
            Symbol("x", "vector of one position", "d"),
            Symbol(r"W_{\text{gate}}, W_{\text{expand}}", "matrices that widen", r"d \times d_{\mathrm{ff}}"),
            Symbol(r"W_{\text{contract}}", "matrix that narrows again", r"d_{\mathrm{ff}} \times d"),
            Symbol(r"\mathrm{SiLU}", r"$z\,\sigma(z)$, of each number by itself"),
        ),
        lambda g: {"x": normal(g, 4), "layer": randomised(SwiGLU(4, 8), g)},
        _swiglu_hand,
        _swiglu_ours,
        _swiglu_torch,
    ),
    Equation(
        "eq-modern_decoder-cache",
        (
            Symbol("L", "layers"),
            Symbol("n_{kv}", "heads that are asked, `n_kv_heads`"),
            Symbol("d_h", "width of a head, `d_head`"),
            Symbol("n", "tokens in the text"),
        ),
        _reader,
        _cache_hand,
        _cache_ours,
        _cache_torch,
    ),
    Equation(
        "eq-modern_decoder-experts",
        (
            Symbol("x, y", "vector of a token, before and after", "d"),
            Symbol("W_r", "router: its scores for the $N$ experts", r"d \times N"),
            Symbol(r"\mathrm{top}_k", "the $k$ largest scores, and the experts that have them"),
            Symbol("g_e", "share of expert $e$; the shares of a token sum to 1"),
        ),
        lambda g: {"x": normal(g, 4), "layer": randomised(MixtureOfExperts(4, 6, 5, 2), g)},
        _experts_hand,
        _experts_ours,
        _experts_torch,
    ),
    Equation(
        "eq-modern_decoder-balance",
        (
            Symbol(r"\mathcal{L}_{\text{causal}}", "loss of the language model, in nats"),
            Symbol(r"\lambda", "weight of the balance"),
            Symbol("N", "experts"),
            Symbol("f_e", "choices of expert $e$ a token"),
            Symbol("P_e", "its mean probability over the tokens"),
        ),
        _routed,
        _balance_hand,
        _balance_ours,
        _balance_torch,
    ),
)
