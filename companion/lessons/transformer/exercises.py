"""Exercises of ``book/concepts/transformer.ipynb``."""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from companion.data.batch import IGNORED, fill_ignored
from companion.lessons.exercise_check import Exercise, Mistake
from companion.lessons.random_inputs import seeded
from companion.models.transformer import Transformer, TransformerConfig
from companion.nn.positions import sinusoidal_positions


def _angles(length: int, d_model: int, exponent: float = 2.0) -> Tensor:
    pair = torch.arange(d_model // 2)
    return torch.arange(length)[:, None] / 10_000 ** (exponent * pair / d_model)  # (length, d_model / 2)


def _woven(angle: Tensor) -> Tensor:
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)


POSITIONS = Exercise(
    name="sinusoidal-positions",
    task="For `length` positions and an even `d_model`, return the matrix (length, d_model) of sines and cosines.",
    reference=sinusoidal_positions,
    cases=lambda: [(3, 2), (5, 8), (40, 6)],
    mistakes=(
        Mistake(
            lambda length, d: torch.cat([_angles(length, d).sin(), _angles(length, d).cos()], dim=1),
            "All sines stand before all cosines. In the paper they take turns: each sine has its cosine beside it.",
        ),
        Mistake(
            lambda length, d: _woven(_angles(length, d, exponent=1.0)),
            "The waves are too fast: dimension 2i has the exponent 2i / d_model, not i / d_model.",
        ),
        Mistake(
            lambda length, d: _angles(length, d).sin().repeat_interleave(2, dim=1),
            "Two neighbours are the same sine. The second of each pair is a cosine.",
        ),
        Mistake(
            lambda length, d: _woven(_angles(length + 1, d)[1:]),
            "You count from 1. The first position is 0: sines of 0, cosines of 1.",
        ),
    ),
)


def _norm_cases() -> list[tuple[Tensor, Tensor, Tensor, float]]:
    sizes = (((1, 4), 1e-5), ((3, 6), 1e-2), ((2, 5, 8), 0.5))
    return [(3 * seeded(*s) + 1, seeded(s[-1], seed=1), seeded(s[-1], seed=2), eps) for s, eps in sizes]


def _norm(x: Tensor, scale: Tensor, shift: Tensor, eps: float, **how: Any) -> Tensor:
    axis, correction, late = how.get("axis", -1), how.get("correction", 0), how.get("late", False)
    variance = x.var(axis, keepdim=True, correction=correction)
    size = variance.sqrt() + eps if late else (variance + eps).sqrt()
    return (x - x.mean(axis, keepdim=True)) / size * scale + shift


LAYER_NORM = Exercise(
    name="layer-norm",
    task=(
        "From x (…, d_model), scale and shift (d_model,) and eps, return the layer norm of x: each position brought to "
        "mean 0 and variance 1, then scaled and shifted."
    ),
    reference=lambda x, scale, shift, eps: F.layer_norm(x, x.shape[-1:], scale, shift, eps),
    cases=_norm_cases,
    mistakes=(
        Mistake(
            lambda x, scale, shift, eps: _norm(x, scale, shift, eps, correction=1),
            "You divide the squares by d_model - 1. The norm divides by d_model: it estimates nothing.",
        ),
        Mistake(
            lambda x, scale, shift, eps: _norm(x, scale, shift, eps, late=True),
            "Eps is added to the standard deviation. It belongs to the variance, under the root.",
        ),
        Mistake(
            lambda x, scale, shift, eps: F.layer_norm(x, x.shape[-1:], None, None, eps),
            "The scale and the shift are missing: they are learned, one of each a dimension.",
        ),
        Mistake(
            lambda x, scale, shift, eps: _norm(x, scale, shift, eps, axis=0),
            "You average over the first axis, across texts or positions. Each position is normalised for itself.",
        ),
    ),
)


def _bend(x: Tensor) -> Tensor:
    return (2 * x - 1).relu().flip(-1)


def _even(x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:])


def _sublayer(
    x: Tensor, sublayer: Callable[[Tensor], Tensor], norm: Callable[[Tensor], Tensor], pre: bool
) -> Tensor:  # fmt: skip
    return x + sublayer(norm(x)) if pre else norm(x + sublayer(x))


SUBLAYER = Exercise(
    name="pre-or-post-norm",
    task=(
        "From x, two functions `sublayer` and `norm`, and a boolean `pre`, return the stream after the sublayer: as in "
        "GPT-2 when `pre` is true, as in the paper of 2017 when it is false."
    ),
    reference=_sublayer,
    cases=lambda: [(2 * seeded(2, 3, 4) + 1, _bend, _even, pre) for pre in (False, True)],
    mistakes=(
        Mistake(
            lambda x, sublayer, norm, pre: _sublayer(x, sublayer, norm, not pre),
            "The two are swapped: *pre* normalises what the sublayer reads, *post* what leaves the sum.",
        ),
        Mistake(
            lambda x, sublayer, norm, pre: norm(x) + sublayer(norm(x)) if pre else norm(x + sublayer(x)),
            "In the pre-norm case you add to the normalised stream. Add to x itself: nothing touches it on its way.",
        ),
        Mistake(
            lambda x, sublayer, norm, pre: x + sublayer(norm(x)) if pre else x + norm(sublayer(x)),
            "In the post-norm case you normalise the sublayer alone. The sum is normalised, x included.",
        ),
        Mistake(
            lambda x, sublayer, norm, pre: sublayer(norm(x)) if pre else norm(sublayer(x)),
            "The residual connection is missing: what comes in is part of what goes out.",
        ),
    ),
)


def _shifted(targets: Tensor, start_id: int) -> Tensor:
    return fill_ignored(F.pad(targets[:, :-1], (1, 0), value=start_id))


SHIFT = Exercise(
    name="shift-right",
    task=(
        "From targets (batch, length), filled up with -100 at the end, and `start_id`, return what the decoder reads "
        "while it is taught: the start, then the targets one step late, and token 0 where they are -100."
    ),
    reference=_shifted,
    cases=lambda: [
        (torch.tensor([[5, 6, 7]]), 1),
        (torch.tensor([[3, 9, 2, 2], [4, 2, IGNORED, IGNORED]]), 1),
        (torch.tensor([[8], [9]]), 6),
    ],
    mistakes=(
        Mistake(
            lambda targets, start_id: F.pad(targets[:, :-1], (1, 0), value=start_id),
            "There is still a -100 in it, which no embedding can look up. Put token 0 there.",
        ),
        Mistake(
            lambda targets, start_id: fill_ignored(F.pad(targets, (1, 0), value=start_id)),
            "It is one too long: the last target is asked for and never read.",
        ),
        Mistake(
            lambda targets, start_id: fill_ignored(F.pad(targets[:, 1:], (0, 1), value=start_id)),
            "You shift the wrong way: the decoder would read the very token that it is asked for next.",
        ),
        Mistake(
            lambda targets, start_id: fill_ignored(targets),
            "Nothing is shifted: each position would read the token that it is asked for.",
        ),
    ),
)


def _visible(mask: Tensor, length: int, *, source: Tensor | None = None, diagonal: int = 0) -> Tensor:
    read = mask[:, None, :].expand(-1, length, -1) if source is None else source  # (batch, length, n)
    own = torch.ones(len(mask), length, length, dtype=torch.bool).tril(diagonal)
    return torch.cat([read, own], dim=2)


VISIBLE = Exercise(
    name="decoder-sees",
    task=(
        "From the source's mask (batch, n), True = a real token, and the target's `length`, return what each position "
        "of the decoder may read, boolean (batch, length, n + length): the source first, then the target."
    ),
    reference=_visible,
    cases=lambda: [
        (torch.tensor([[True, True, False]]), 2),
        (torch.tensor([[True, True, True, False], [False, True, True, True]]), 3),
        (torch.tensor([[True, False]]), 1),
    ],
    mistakes=(
        Mistake(
            lambda mask, n: _visible(mask, n, source=mask[:, None] & torch.ones(n, mask.size(1)).tril().bool()),
            "You hide the later part of the source too. The source is all there before the first word is written.",
        ),
        Mistake(
            lambda mask, length: _visible(mask, length, diagonal=-1),
            "A position may read itself: what stands there is the token before the one that is asked for.",
        ),
        Mistake(
            lambda mask, n: _visible(mask, n, source=torch.ones(len(mask), n, mask.size(1), dtype=torch.bool)),
            "The padding of the source can be read.",
        ),
        Mistake(
            lambda mask, length: _visible(mask, length, diagonal=length),
            "The target's own future can be read. It is what the decoder is asked for.",
        ),
    ),
)


@cache  # the same sizes come in every check
def _parameters(vocab_size: int, n_layers: int, d_model: int, d_ff: int) -> int:
    with torch.device("meta"):  # shapes without memory
        model = Transformer(TransformerConfig(vocab_size, 2, n_layers, 1, d_model, d_ff))
    return sum(p.numel() for p in model.parameters())


PARAMETERS = Exercise(
    name="transformer-parameters",
    task=(
        "From vocab_size, n_layers (of the encoder, and as many of the decoder), d_model and d_ff, return how many "
        "numbers the Transformer of 2017 learns."
    ),
    reference=_parameters,
    cases=lambda: [(11, 1, 4, 16), (100, 3, 16, 24), (37_000, 6, 512, 2048)],
    mistakes=(
        Mistake(
            lambda v, layers, d, d_ff: _parameters(v, layers, d, d_ff) - layers * (4 * d * d + 4 * d + 2 * d),
            "The decoder's blocks have a second attention, to the source, and a norm for it.",
        ),
        Mistake(
            lambda v, layers, d, d_ff: _parameters(v, layers, d, d_ff) + v * d,
            "Source, target and logits share one matrix: count the embedding once.",
        ),
        Mistake(
            lambda v, layers, d, d_ff: v * d + layers * (12 * d * d + 4 * d * d_ff),
            "The matrices are right. Biases and the norms' scales and shifts are learned as well.",
        ),
        Mistake(
            lambda v, layers, d, d_ff: _parameters(v, layers, d, d_ff) + 4 * d,
            "There is no further norm after the last block: post-norm blocks end with one.",
        ),
    ),
)


def _ranks(hidden: Tensor, table: Tensor, right: int) -> Tensor:
    logits = hidden @ table.T
    return (logits > logits[:, right, None]).sum(-1)


RANKS = Exercise(
    name="logit-lens",
    task=(
        "From hidden (layers, d), which the last norm has seen, the output matrix (V, d) and the number of the right "
        "token, return how many tokens stand above the right one at each layer, whole numbers (layers,)."
    ),
    reference=_ranks,
    cases=lambda: [
        (seeded(layers, d, seed=layers), seeded(words, d, seed=words), right)
        for layers, d, words, right in ((2, 4, 5, 0), (4, 8, 20, 7), (3, 3, 9, 8))
    ],
    mistakes=(
        Mistake(
            lambda hidden, table, right: (hidden @ table.T).argsort(-1)[:, right],
            "A sorted order says which token stands at a place, not at which place a token stands.",
        ),
        Mistake(
            lambda hidden, table, right: _ranks(hidden, table, right) + 1,
            "You count the right token itself. The best has rank 0: nothing is above it.",
        ),
        Mistake(
            lambda hidden, table, right: len(table) - 1 - _ranks(hidden, table, right),
            "You count the tokens below it.",
        ),
        Mistake(
            lambda hidden, table, right: _ranks(hidden[-1:], table, right).expand(len(hidden)),
            "That is the rank at the last layer, for all. The lens reads each layer.",
        ),
    ),
)


EXERCISES = (
    POSITIONS,
    LAYER_NORM,
    SUBLAYER,
    SHIFT,
    VISIBLE,
    PARAMETERS,
    RANKS,
)
