"""Exercises of ``book/algorithms/modern_decoder.ipynb``."""

import torch
from torch import Tensor

from companion.lessons.exercise_check import Exercise, Mistake
from companion.lessons.random_inputs import seeded
from companion.metrics.heads import induction_score
from companion.nn.masks import causal_mask, window_mask
from companion.nn.mixture_of_experts import routed
from companion.nn.norms import RMSNorm
from companion.nn.positions import rotary, rotary_frequencies, rotate


def _turned(x: Tensor, position: int, base: float) -> Tensor:
    frequencies = rotary_frequencies(x.size(-1), base)
    return rotate(x.view(1, 1, 1, -1), rotary(torch.tensor([[position]]), frequencies)).flatten()


def _turned_by(x: Tensor, angles: Tensor) -> Tensor:
    a, b = x.chunk(2)
    return torch.cat([a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin()])


def _neighbours_turned(x: Tensor, position: int, base: float) -> Tensor:
    angles = position * rotary_frequencies(x.size(-1), base)
    a, b = x[0::2], x[1::2]
    return torch.stack([a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin()], dim=-1).flatten()


TURN = Exercise(
    name="rotary-turn",
    task=(
        "From a vector x (d_head,), its position (a whole number) and the base, return the turned vector (d_head,); "
        "dimension i is paired with dimension i + d_head / 2."
    ),
    reference=_turned,
    cases=lambda: [
        (torch.tensor([1.0, 0.0]), 1, 100.0),
        (seeded(4), 3, 100.0),
        (seeded(8, seed=1), 50, 10_000.0),
        (seeded(6, seed=2), 0, 10_000.0),
    ],
    mistakes=(
        Mistake(
            _neighbours_turned,
            "You pair neighbours, dimensions 2i and 2i + 1, as the paper does. The published models pair dimension i "
            "with dimension i + d_head / 2.",
        ),
        Mistake(
            lambda x, position, base: _turned(x, -position, base),
            "You turn the other way. The score would still depend on the distance alone, but a loaded model would not "
            "understand its own keys: (a, b) becomes (a cos - b sin, b cos + a sin).",
        ),
        Mistake(
            lambda x, position, base: _turned_by(x, torch.full((len(x) // 2,), float(position))),
            "You turn every pair by the same angle. Pair i turns by position * base^(-2i / d_head), slower and slower.",
        ),
        Mistake(
            lambda x, position, base: _turned_by(x, position * base ** (-torch.arange(len(x) // 2) / len(x))),
            "Your pairs slow down half as fast as they should: the exponent is -2i / d_head, with i the pair's number.",
        ),
    ),
)


def _rms(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    norm = RMSNorm(x.size(-1), eps)
    norm.weight.data = weight
    normed: Tensor = norm(x)
    return normed.detach()


RMS = Exercise(
    name="rms-norm",
    task="From x (…, d), weight (d,) and eps, return RMSNorm(x), of the same shape.",
    reference=_rms,
    cases=lambda: [
        (torch.tensor([3.0, 4.0]), torch.ones(2), 0.5),
        (2 + seeded(3, 5), seeded(5, seed=1), 1e-6),
        (0.01 * seeded(2, 2, 4), torch.ones(4), 1e-3),
    ],
    mistakes=(
        Mistake(
            lambda x, weight, eps: (
                weight * (x - x.mean(-1, keepdim=True)) * (x.var(-1, keepdim=True, correction=0) + eps).rsqrt()
            ),
            "That is LayerNorm: RMSNorm subtracts no mean.",
        ),
        Mistake(
            lambda x, weight, eps: weight * x / (x.square().sum(-1, keepdim=True) + eps).sqrt(),
            "You divide by the length of the vector. Take the mean of the squares, not their sum.",
        ),
        Mistake(
            lambda x, weight, eps: weight * x / (x.square().mean(-1, keepdim=True).sqrt() + eps),
            "Your eps is in the wrong place: it stands under the root, beside the mean of the squares.",
        ),
        Mistake(
            lambda x, weight, eps: weight * x / (x.square().mean() + eps).sqrt(),
            "You take one mean over everything. Each vector, along the last axis, has its own.",
        ),
    ),
)


def _grouped(keys: Tensor, n_heads: int) -> Tensor:
    return keys.repeat_interleave(n_heads // len(keys), dim=0)


GROUPS = Exercise(
    name="shared-keys",
    task=(
        "From keys (n_kv_heads, m, d_head) and n_heads, return the keys that each head reads, (n_heads, m, d_head): "
        "the first n_heads / n_kv_heads heads share the first keys, and so on."
    ),
    reference=_grouped,
    cases=lambda: [(seeded(2, 3, 4), 4), (seeded(3, 2, 2, seed=1), 6), (seeded(2, 2, 2, seed=2), 6)],
    mistakes=(
        Mistake(
            lambda keys, n_heads: keys.repeat(n_heads // len(keys), 1, 1),
            "Your heads take turns: 0, 1, 0, 1. Heads that share keys stand side by side: 0, 0, 1, 1.",
        ),
        Mistake(
            lambda keys, n_heads: keys.mean(0).expand(n_heads, -1, -1),
            "You average the keys. Nothing is averaged: each head reads one of them, as it is.",
        ),
        Mistake(
            lambda keys, n_heads: keys[:1].expand(n_heads, -1, -1),
            "All your heads read the first keys. That is multi-query attention, and needs n_kv_heads = 1.",
        ),
    ),
)


def _cache_numbers(n_layers: int, n_heads: int, n_kv_heads: int, d_head: int, length: int) -> int:
    return 2 * n_layers * n_kv_heads * d_head * length


CACHE = Exercise(
    name="cache-numbers",
    task=(
        "From n_layers, n_heads, n_kv_heads, d_head and the length of a text, return how many numbers the cache of "
        "keys and values holds."
    ),
    reference=_cache_numbers,
    cases=lambda: [(1, 4, 2, 3, 1), (3, 8, 2, 16, 10), (32, 32, 8, 128, 8192)],
    mistakes=(
        Mistake(
            lambda layers, heads, kv, d, length: 2 * layers * heads * d * length,
            "That is the cache without sharing. Only the key/value heads are kept.",
        ),
        Mistake(
            lambda layers, heads, kv, d, length: layers * kv * d * length,
            "Half of it is missing: keys and values are both kept.",
        ),
        Mistake(
            lambda layers, heads, kv, d, length: 2 * kv * d * length,
            "Each layer has keys and values of its own.",
        ),
    ),
)


def _window(n: int, window: int) -> Tensor:
    near = window_mask(n, n, window)
    return causal_mask(n) if near is None else causal_mask(n) & near


def _distance(n: int) -> Tensor:
    place = torch.arange(n)
    return place[:, None] - place


WINDOW = Exercise(
    name="window-mask",
    task=(
        "For a text of n tokens, return the boolean mask (n, n), True where a query (row) may read a key (column): "
        "causal, and a query sees `window` tokens, itself included."
    ),
    reference=_window,
    cases=lambda: [(5, 2), (6, 1), (4, 4), (3, 10), (8, 3)],
    mistakes=(
        Mistake(
            lambda n, window: (_distance(n) >= 0) & (_distance(n) <= window),
            "Your rows see one token too many: a window of 1 is the token itself and nothing else.",
        ),
        Mistake(
            lambda n, window: _distance(n).abs() < window,
            "Your rows see later tokens. The window lies behind the query.",
        ),
        Mistake(
            lambda n, window: (_distance(n) <= 0) & (_distance(n) > -window),
            "Rows and columns are swapped: row i is the query, and reads columns up to i.",
        ),
        Mistake(
            lambda n, window: (_distance(n) >= 0) & (torch.arange(n) // window == torch.arange(n)[:, None] // window),
            "You cut the text into blocks. The window slides: each query has its own.",
        ),
    ),
)


def _weights(logits: Tensor, k: int) -> Tensor:
    weights, chosen = routed(logits, k)
    return torch.zeros_like(logits).scatter(-1, chosen, weights)


def _uncut(logits: Tensor, k: int) -> Tensor:
    probabilities = logits.softmax(-1)
    kept = probabilities.topk(k)
    return torch.zeros_like(logits).scatter(-1, kept.indices, kept.values)


def _equal(logits: Tensor, k: int) -> Tensor:
    return torch.zeros_like(logits).scatter(-1, logits.topk(k).indices, 1 / k)


ROUTE = Exercise(
    name="router-weights",
    task=(
        "From a router's logits (tokens, experts) and k, return each expert's weight (tokens, experts): 0 for all but "
        "the k with the highest logits, and rows that sum to 1."
    ),
    reference=_weights,
    cases=lambda: [
        (torch.tensor([[1.0, 2.0, 0.0], [0.0, -1.0, 3.0]]), 2),
        (seeded(4, 6), 2),
        (seeded(3, 4, seed=1), 1),
        (seeded(2, 3, seed=2), 3),
    ],
    mistakes=(
        Mistake(
            _uncut,
            "Your rows sum to less than 1: what is kept must be divided by its sum.",
        ),
        Mistake(
            lambda logits, k: logits.softmax(-1),
            "All your experts compute. Only the k best may have a weight.",
        ),
        Mistake(
            _equal,
            "Your k experts count alike. The weights come from a softmax over their logits.",
        ),
    ),
)


def _maps(n: int, seed: int) -> Tensor:
    return seeded(n, n, seed=seed).masked_fill(~causal_mask(n), -torch.inf).softmax(-1)


def _diagonal_mean(weights: Tensor, back: int) -> Tensor:
    half = len(weights) // 2
    return torch.stack([weights[query, query - back] for query in range(half, len(weights))]).mean()


INDUCTION = Exercise(
    name="induction-score",
    task=(
        "From the weights (2n, 2n) of one head on a passage of n tokens that comes twice, return its induction score, "
        "a number: how much a token of the second copy attends to what followed it in the first."
    ),
    reference=lambda weights: induction_score([weights[None, None]])[0, 0],
    cases=lambda: [(_maps(2 * n, seed),) for n, seed in ((2, 0), (3, 1), (7, 2))],
    mistakes=(
        Mistake(
            lambda weights: _diagonal_mean(weights, len(weights) // 2),
            "That is the weight on the earlier occurrence itself, n tokens back. What followed it is one nearer.",
        ),
        Mistake(
            lambda weights: _diagonal_mean(weights, len(weights) // 2 + 1),
            "You look at what stood before the earlier occurrence. The next token is predicted from what followed.",
        ),
        Mistake(
            lambda weights: weights.diagonal(1 - len(weights) // 2).mean(),
            "You count one query too many: the last token of the first copy has no earlier self.",
        ),
        Mistake(
            lambda weights: _diagonal_mean(weights, len(weights) // 2 - 1) * (len(weights) // 2),
            "You add up. The score is a mean over the tokens of the second copy.",
        ),
    ),
)


EXERCISES = (
    TURN,
    RMS,
    GROUPS,
    CACHE,
    WINDOW,
    ROUTE,
    INDUCTION,
)
