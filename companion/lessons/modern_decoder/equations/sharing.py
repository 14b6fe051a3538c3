"""Equations of ``book/algorithms/modern_decoder.ipynb``: shared heads and experts."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import between, normal, randomised, tokens, whole
from companion.losses.mixture_of_experts import causal_loss_with_load_balancing
from companion.models.modern_decoder import ModernConfig, ModernDecoder
from companion.nn.mixture_of_experts import MixtureOfExperts, record_routing


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
