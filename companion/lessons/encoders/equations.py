"""Equations of ``book/algorithms/encoders.ipynb``."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from companion.lessons import by_hand
from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import normal, randomised, whole
from companion.losses.replaced import replaced_loss
from companion.nn.capture import capture
from companion.nn.disentangled_attention import DisentangledAttention
from companion.nn.masks import band_mask


def _judged(g: Generator) -> dict[str, Any]:
    """Logits of the discriminator for a text, and which of its tokens were replaced."""
    n = whole(g, 2, 9)
    return {"z": normal(g, n), "r": torch.rand(n, generator=g) < 0.4}


def _discriminator_by_hand(z: Tensor, r: Tensor) -> float:
    total = 0.0
    for z_t, r_t in zip(z.tolist(), r.tolist(), strict=True):
        d_t = 1 / (1 + math.exp(-z_t))
        total += math.log(d_t) if r_t else math.log(1 - d_t)
    return -total / len(z)


def _discriminator_companion(z: Tensor, r: Tensor) -> Tensor:
    return replaced_loss(z[None], r[None], torch.ones(1, len(z), dtype=torch.bool))


def _discriminator_torch(z: Tensor, r: Tensor) -> Tensor:
    return F.binary_cross_entropy(z.sigmoid(), r.to(z.dtype))


def _words(g: Generator) -> dict[str, Any]:
    """Vectors of words, of which one head makes weights, and the table of distances."""
    layer = randomised(DisentangledAttention(d_model=4, n_heads=1), g)
    return {"x": normal(g, 5, 4), "p": normal(g, 4, 4), "layer": layer}


def _disentangled_by_hand(x: Tensor, p: Tensor, layer: DisentangledAttention) -> Tensor:
    n, span = len(x), len(p) // 2
    q, k = by_hand.linear(x, layer.query), by_hand.linear(x, layer.key)
    k_of, q_of = by_hand.linear(p, layer.distance_key), by_hand.linear(p, layer.distance_query)
    rows = []
    for i in range(n):
        scores = []
        for j in range(n):
            row = max(0, min(i - j + span, 2 * span - 1))
            dims = zip(q[i], k[j], k_of[row], q_of[row], strict=True)
            score = sum(float(a * b + a * c + d * b) for a, b, c, d in dims)
            scores.append(score / math.sqrt(3 * 4))
        total = sum(math.exp(score) for score in scores)
        rows.append([math.exp(score) / total for score in scores])
    return torch.tensor(rows)


def _disentangled_companion(x: Tensor, p: Tensor, layer: DisentangledAttention) -> Tensor:
    with capture(layer) as record:
        layer(x[None], p)
    return record.attention[0][0, 0]


def _disentangled_torch(x: Tensor, p: Tensor, layer: DisentangledAttention) -> Tensor:
    span = len(p) // 2
    row = (torch.arange(len(x))[:, None] - torch.arange(len(x)) + span).clamp(0, 2 * span - 1)
    near = p[row]  # (query, key, d): the vector of each pair's distance
    q, k = layer.query(x), layer.key(x)
    scores = torch.einsum("id,jd->ij", q, k)
    scores = scores + torch.einsum("id,ijd->ij", q, layer.distance_key(near))
    scores = scores + torch.einsum("ijd,jd->ij", layer.distance_query(near), k)
    return F.softmax(scores / (3 * 4) ** 0.5, dim=-1)


def _band_by_hand(n: int, r: int) -> int:
    return sum(1 for i in range(n) for j in range(n) if abs(i - j) <= r)


def _band_companion(n: int, r: int) -> int:
    return int(band_mask(n, r).sum())


def _band_torch(n: int, r: int) -> int:
    return int(torch.ones(n, n).triu(-r).tril(r).sum())


def _band_draw(g: Generator) -> dict[str, Any]:
    n = whole(g, 2, 30)
    return {"n": n, "r": whole(g, 0, n - 1)}


EQUATIONS = (
    Equation(
        label="eq-encoders-discriminator",
        symbols=(
            Symbol("n", "number of tokens of the text"),
            Symbol("r_t", "1 where token $t$ was replaced, 0 where it is the original"),
            Symbol("D_t", "the discriminator's probability that token $t$ was replaced"),
        ),
        draw=_judged,
        by_hand=_discriminator_by_hand,
        companion=_discriminator_companion,
        library=_discriminator_torch,
    ),
    Equation(
        label="eq-encoders-disentangled",
        symbols=(
            Symbol("q_i", "query of the word at position $i$", "d_h"),
            Symbol("k_j", "key of the word at position $j$", "d_h"),
            Symbol(r"k^{r}_{\delta(i, j)}", "key of the distance from $j$ to $i$, a row of the table", "d_h"),
            Symbol(r"q^{r}_{\delta(i, j)}", "query of that distance", "d_h"),
            Symbol("d_h", "width of a head"),
        ),
        draw=_words,
        by_hand=_disentangled_by_hand,
        companion=_disentangled_companion,
        library=_disentangled_torch,
    ),
    Equation(
        label="eq-encoders-band",
        symbols=(
            Symbol("n", "number of tokens of the text"),
            Symbol("r", "reach: largest distance that a local layer attends to, to either side"),
        ),
        draw=_band_draw,
        by_hand=_band_by_hand,
        companion=_band_companion,
        library=_band_torch,
    ),
)
