"""Equations of ``book/algorithms/decoders_2026.ipynb``."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from companion.lessons import by_hand, by_torch
from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import normal, randomised, whole
from companion.losses.multi_token import multi_token_loss
from companion.models.modern_decoder import ModernConfig
from companion.models.multi_token import MultiTokenModule
from companion.nn.capture import capture
from companion.nn.gated_delta import delta_parallel
from companion.nn.grouped_query_attention import GroupedQueryAttention
from companion.nn.latent_attention import LatentAttention, LatentSizes
from companion.nn.mixture_of_experts import BiasBalancedMixture

SIZES = LatentSizes(n_heads=1, d_latent=3, d_head=4, d_rotary=2, d_value=2)
UNTURNED = torch.ones(1, 1, 5, 1), torch.zeros(1, 1, 5, 1)  # as if all tokens stood at position 0


def _latents(g: Generator) -> dict[str, Any]:
    return {"x": normal(g, 5, 6), "layer": randomised(LatentAttention(6, SIZES), g)}


def _latent_by_hand(x: Tensor, layer: LatentAttention) -> Tensor:
    q = by_hand.linear(x, layer.query)
    c, k_r = by_hand.rms_norm(by_hand.linear(x, layer.down), layer.latent_norm), by_hand.linear(x, layer.rotary_key)
    taken = q[:, :4] @ layer.key_up.weight  # W^T q, in the space of the latents
    rows = []
    for i in range(len(x)):
        scores = [float(taken[i] @ c[j] + q[i, 4:] @ k_r[j]) / math.sqrt(4 + 2) for j in range(i + 1)]
        total = sum(math.exp(score) for score in scores)
        rows.append([math.exp(score) / total for score in scores] + [0.0] * (len(x) - i - 1))
    return torch.tensor(rows)


def _latent_companion(x: Tensor, layer: LatentAttention) -> Tensor:
    with capture(layer) as record:
        layer(x[None], UNTURNED)
    return record.attention[0][0, 0]


def _latent_torch(x: Tensor, layer: LatentAttention) -> Tensor:
    q, k_r = by_torch.linear(x, layer.query), by_torch.linear(x, layer.rotary_key)
    k = by_torch.linear(by_torch.rms_norm(by_torch.linear(x, layer.down), layer.latent_norm), layer.key_up)
    scores = q @ torch.cat([k, k_r], dim=1).T / 6**0.5
    later = torch.ones(len(x), len(x), dtype=torch.bool).triu(1)
    return F.softmax(scores.masked_fill(later, -torch.inf), dim=-1)


def _affinities(g: Generator) -> dict[str, Any]:
    n = whole(g, 2, 6)
    return {"z": normal(g, n), "b": normal(g, n), "k": whole(g, 1, n), "scale": 2.5}


def _experts_by_hand(z: Tensor, b: Tensor, k: int, scale: float) -> Tensor:
    s = [1 / (1 + math.exp(-value)) for value in z.tolist()]
    ranked = sorted(range(len(s)), key=lambda e: s[e] + float(b[e]), reverse=True)[:k]
    total = sum(s[e] for e in ranked)
    return torch.tensor([scale * s[e] / total if e in ranked else 0.0 for e in range(len(s))])


def _experts_companion(z: Tensor, b: Tensor, k: int, scale: float) -> Tensor:
    layer = BiasBalancedMixture(2, 1, len(z), k, scale=scale)
    layer.bias = b
    weights, chosen = layer.route(z)
    return torch.zeros_like(weights.new_empty(len(z))).scatter(0, chosen, weights)


def _experts_torch(z: Tensor, b: Tensor, k: int, scale: float) -> Tensor:
    s = torch.sigmoid(z)
    kept = torch.zeros_like(s).scatter(0, torch.topk(s + b, k).indices, 1.0)
    return scale * F.normalize(s * kept, p=1, dim=0)


def _stream(g: Generator) -> dict[str, Any]:
    n = whole(g, 1, 6)
    key = normal(g, n, 3)
    a, b = torch.rand(2, n, generator=g).unbind()
    unit = key / key.norm(dim=-1, keepdim=True)
    return {"q": normal(g, n, 3), "k": unit, "v": normal(g, n, 2), "a": 0.5 + a / 2, "b": b}


def _delta_by_hand(q: Tensor, k: Tensor, v: Tensor, a: Tensor, b: Tensor) -> Tensor:
    state = [[0.0] * 3 for _ in range(2)]
    outputs = []
    for t in range(len(q)):
        state = [[float(a[t]) * number for number in row] for row in state]
        for r, row in enumerate(state):
            error = float(v[t, r]) - sum(s * float(x) for s, x in zip(row, k[t], strict=True))
            state[r] = [s + float(b[t]) * error * float(x) for s, x in zip(row, k[t], strict=True)]
        outputs.append([sum(s * float(x) for s, x in zip(row, q[t], strict=True)) for row in state])
    return torch.tensor(outputs)


def _delta_companion(q: Tensor, k: Tensor, v: Tensor, a: Tensor, b: Tensor) -> Tensor:
    parts = (part[None, None] for part in (q, k, v, a, b))
    return delta_parallel(*parts)[0, 0]


def _delta_torch(q: Tensor, k: Tensor, v: Tensor, a: Tensor, b: Tensor) -> Tensor:
    state, outputs = torch.zeros(2, 3, dtype=q.dtype), []
    for q_t, k_t, v_t, a_t, b_t in zip(q, k, v, a, b, strict=True):
        state = a_t * state @ (torch.eye(3) - b_t * torch.outer(k_t, k_t)) + b_t * torch.outer(v_t, k_t)
        outputs.append(torch.mv(state, q_t))
    return torch.stack(outputs)


def _sunk(g: Generator) -> dict[str, Any]:
    return {"x": normal(g, 5, 6), "layer": randomised(GroupedQueryAttention(6, 1, 1, 4, sinks=True), g)}


def _sink_by_hand(x: Tensor, layer: GroupedQueryAttention) -> Tensor:
    q, k = by_hand.linear(x, layer.query), by_hand.linear(x, layer.key)
    away = math.exp(float(layer.get_parameter("sinks")[0]))
    rows = []
    for i in range(len(x)):
        parts = [math.exp(float(q[i] @ k[j]) / 2) for j in range(i + 1)]
        rows.append([part / (away + sum(parts)) for part in parts] + [0.0] * (len(x) - i - 1))
    return torch.tensor(rows)


def _sink_companion(x: Tensor, layer: GroupedQueryAttention) -> Tensor:
    with capture(layer) as record:
        layer(x[None], (torch.ones(1, 1, 5, 2), torch.zeros(1, 1, 5, 2)))
    return record.attention[0][0, 0]


def _sink_torch(x: Tensor, layer: GroupedQueryAttention) -> Tensor:
    scores = by_torch.linear(x, layer.query) @ by_torch.linear(x, layer.key).T / 2
    later = torch.ones(len(x), len(x), dtype=torch.bool).triu(1)
    joined = torch.cat([scores.masked_fill(later, -torch.inf), layer.get_parameter("sinks").expand(len(x), 1)], dim=1)
    return F.softmax(joined, dim=-1)[:, :-1]


def _pairs(g: Generator) -> dict[str, Any]:
    module = randomised(MultiTokenModule(ModernConfig(9, 8, 1, 1, 6)), g)
    return {"h": normal(g, 4, 6), "e": normal(g, 4, 6), "module": module}


def _further_by_hand(h: Tensor, e: Tensor, module: MultiTokenModule) -> Tensor:
    states, tokens = by_hand.rms_norm(h, module.state_norm), by_hand.rms_norm(e, module.token_norm)
    d = h.size(1)
    rows = []
    for state, token in zip(states.tolist(), tokens.tolist(), strict=True):
        parts = [[row[c] * state[c] + row[d + c] * token[c] for c in range(d)] for row in module.join.weight.tolist()]
        rows.append([sum(part) for part in parts])
    return torch.tensor(rows)


def _further_companion(h: Tensor, e: Tensor, module: MultiTokenModule) -> Tensor:
    read: list[Tensor] = []
    watch = module.block.register_forward_pre_hook(lambda _, given: read.append(given[0]))
    module(h[None], e[None], (torch.ones(1, 1, 4, 3), torch.zeros(1, 1, 4, 3)))
    watch.remove()
    return read[0][0]


def _further_torch(h: Tensor, e: Tensor, module: MultiTokenModule) -> Tensor:
    left, right = module.join.weight.chunk(2, dim=1)
    states, tokens = by_torch.rms_norm(h, module.state_norm), by_torch.rms_norm(e, module.token_norm)
    return F.linear(states, left) + F.linear(tokens, right)


def _predictions(g: Generator) -> dict[str, Any]:
    n = whole(g, 2, 6)
    ids = torch.randint(5, (n + 1,), generator=g)
    return {"first": normal(g, n, 5), "second": normal(g, n - 1, 5), "ids": ids, "weight": 0.3}


def _ahead_by_hand(first: Tensor, second: Tensor, ids: Tensor, weight: float) -> float:
    def mean(logits: Tensor, ahead: int) -> float:
        rows = [by_hand.softmax(row) for row in logits]
        return sum(-math.log(float(row[ids[i + ahead]])) for i, row in enumerate(rows)) / len(rows)

    return mean(first, 1) + weight * mean(second, 2)


class _Ahead:
    """A model whose logits are given."""

    def __init__(self, *logits: Tensor) -> None:
        self.logits = [one[None] for one in logits]

    def ahead(self, ids: Tensor) -> list[Tensor]:
        return self.logits


def _ahead_companion(first: Tensor, second: Tensor, ids: Tensor, weight: float) -> Tensor:
    return multi_token_loss(_Ahead(first, second), ids[None], weight)


def _ahead_torch(first: Tensor, second: Tensor, ids: Tensor, weight: float) -> Tensor:
    return F.cross_entropy(first, ids[1:]) + weight * F.cross_entropy(second, ids[2:])


EQUATIONS = (
    Equation(
        label="eq-decoders_2026-latent",
        symbols=(
            Symbol("q_i", "query of one head at position $i$, the part without position", "d_h"),
            Symbol("c_j", "latent of position $j$, which is kept", "d_c"),
            Symbol("W", "matrix of the head that makes a key from a latent", r"d_h \times d_c"),
            Symbol(r"q^{R\top}_i", "rotary query of the head, transposed", "d_R"),
            Symbol("k^R_j", "rotary key of position $j$, one for all heads, which is kept", "d_R"),
        ),
        draw=_latents,
        by_hand=_latent_by_hand,
        companion=_latent_companion,
        library=_latent_torch,
    ),
    Equation(
        label="eq-decoders_2026-bias",
        symbols=(
            Symbol("g_e", "weight of expert $e$"),
            Symbol("s_e", "affinity of the token with expert $e$, a sigmoid of the router's logit"),
            Symbol(r"\mathcal{K}", "experts of the $k$ largest $s_e + b_e$; no gradient moves $b_e$"),
            Symbol(r"\gamma", "scale of the routed experts"),
        ),
        draw=_affinities,
        by_hand=_experts_by_hand,
        companion=_experts_companion,
        library=_experts_torch,
    ),
    Equation(
        label="eq-decoders_2026-delta",
        symbols=(
            Symbol("S_t", "state after token $t$", r"d_v \times d_k"),
            Symbol("k_t", "key of token $t$, of length 1", "d_k"),
            Symbol("v_t", "value of token $t$", "d_v"),
            Symbol("q_t", "query of token $t$", "d_k"),
            Symbol(r"\alpha_t", "decay: what is kept of the state, 0 to 1"),
            Symbol(r"\beta_t", "rate of the correction, 0 to 1"),
            Symbol("o_t", "output", "d_v"),
        ),
        draw=_stream,
        by_hand=_delta_by_hand,
        companion=_delta_companion,
        library=_delta_torch,
    ),
    Equation(
        label="eq-decoders_2026-sink",
        symbols=(
            Symbol("a_{ij}", "weight that position $i$ gives to position $j$"),
            Symbol("s_{ij}", "score of the query at $i$ with the key at $j$"),
            Symbol("e^{z}", "what the sink takes part with: $z$ is learned, one for each head, and has no value"),
        ),
        draw=_sunk,
        by_hand=_sink_by_hand,
        companion=_sink_companion,
        library=_sink_torch,
    ),
    Equation(
        label="eq-decoders_2026-further",
        symbols=(
            Symbol("u_i", "what the block of the module reads at position $i$", "d"),
            Symbol("h_i", "state of position $i$ after the decoder's last block", "d"),
            Symbol("e_{i+1}", "embedding of the next token, which is known in training", "d"),
            Symbol("M", "matrix that joins the two", r"d \times 2d"),
        ),
        draw=_pairs,
        by_hand=_further_by_hand,
        companion=_further_companion,
        library=_further_torch,
    ),
    Equation(
        label="eq-decoders_2026-ahead",
        symbols=(
            Symbol("p(t_{i+1})", "probability that the decoder gives to the next token at position $i$"),
            Symbol("p'(t_{i+2})", "probability that the module gives to the token after it"),
            Symbol(r"\lambda", "weight of the second loss"),
            Symbol("n", "number of positions"),
        ),
        draw=_predictions,
        by_hand=_ahead_by_hand,
        companion=_ahead_companion,
        library=_ahead_torch,
    ),
)
