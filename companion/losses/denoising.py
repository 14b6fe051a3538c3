"""The denoising objective: a text is spoiled, and a decoder writes it as it was.

Chapter: ``book/algorithms/denoising.ipynb``. Sources: Lewis et al. 2020, "BART", section 2.2 and figure 2; the idea is
that of Vincent et al. 2008, "Extracting and Composing Robust Features with Denoising Autoencoders".
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from companion.data.batch import IGNORED
from companion.losses.selection import check_fraction, compact, pick, real_tokens, rounded, uniform
from companion.losses.spans import Seq2Seq, teach

NOISES = ("masking", "deletion", "infilling", "permutation", "rotation")


def noise(
    ids: Tensor,
    attention_mask: Tensor | None,
    *,
    noises: Sequence[str] = ("permutation", "infilling"),
    mask_id: int,
    stop_id: int,
    start_id: int,
    end_id: int,
    fraction: float = 0.3,
    mean_length: float = 3.0,
    generator: torch.Generator | None = None,
) -> Seq2Seq:
    """Spoil each text with one noise after another; the target is the text itself, and ``end_id`` after it.

    Args:
        ids: (batch, length), without ``end_id``.
        attention_mask: boolean (batch, length), True = a real token; all are real when not given.
        noises: of ``NOISES``, in the order in which they are done; BART's own choice when not given.
        mask_id: the token that hides, for masking and infilling.
        stop_id: the token that ends a sentence, for permutation.
        start_id: the token that the decoder begins with.
        end_id: the token at the end of the target.
        share: of the tokens that are masked, deleted or filled in; 30 % in BART.
        mean_length: tokens a span, for infilling; 3 in BART.
        generator: draws; torch's global one when not given.

    Returns:
        the batch, where ``ids`` is.

    Raises:
        ValueError: on an unknown noise or none at all, a share outside (0, 1), a mean length that is not above 0, or a
            shape that does not fit.
        TypeError: on a mask that is not boolean.
    """
    unknown = [name for name in noises if name not in NOISES]
    if unknown or not noises:
        raise ValueError(f"noises must be of {', '.join(NOISES)}; got {', '.join(map(repr, unknown)) or 'none'}")
    ids, real = compact(ids, real_tokens(ids, attention_mask))
    spoiled, there = ids, real
    for name in noises:
        if name == "masking":
            spoiled = mask(spoiled, there, mask_id=mask_id, fraction=fraction, generator=generator)
        elif name == "deletion":
            spoiled, there = delete(spoiled, there, fraction=fraction, generator=generator)
        elif name == "infilling":
            settings = {"fraction": fraction, "mean_length": mean_length}
            spoiled, there = infill(spoiled, there, mask_id=mask_id, generator=generator, **settings)
        elif name == "permutation":
            spoiled = permute_sentences(spoiled, there, stop_id=stop_id, generator=generator)
        else:
            spoiled = rotate(spoiled, there, generator=generator)
    ends = real.sum(1, keepdim=True)  # (batch, 1), where the end is written
    targets = F.pad(ids.masked_fill(~real, IGNORED), (0, 1), value=IGNORED).scatter(1, ends, end_id)
    return teach(spoiled, there, targets, start_id)


def mask(ids: Tensor, real: Tensor, *, mask_id: int, fraction: float, generator: torch.Generator | None = None) -> Tensor:
    """Token masking: ``share`` of the tokens become ``mask_id``; how many there were stays known.

    Args:
        ids: (batch, length).
        real: boolean (batch, length), True = a real token; padding, here and below, stands at the end.
        mask_id: the token that hides.
        share: of the tokens.
        generator: draws.
    """
    check_fraction("fraction", fraction)
    return ids.masked_fill(pick(real, rounded(fraction * real.sum(1), generator), generator), mask_id)


def delete(
    ids: Tensor, real: Tensor, *, fraction: float, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Token deletion: ``share`` of the tokens are gone, and nothing says where; one token at least stays.

    Arguments as for :func:`mask`; returns the shorter texts and where their real tokens are.
    """
    check_fraction("fraction", fraction)
    n = real.sum(1)
    gone = pick(real, torch.minimum(rounded(fraction * n, generator), n - 1), generator)
    return compact(ids, real & ~gone)


def infill(
    ids: Tensor,
    real: Tensor,
    *,
    mask_id: int,
    fraction: float,
    mean_length: float = 3.0,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Text infilling: whole spans, ``share`` of the tokens in all, become *one* ``mask_id`` each.

    The spans' lengths are drawn from Poisson(mean_length) until the share is used up; the last is cut to fit. So a mask
    does not tell how many tokens are missing. A span of length 0 is a mask put in where nothing is missing.

    Args:
        ids: (batch, length).
        real: boolean (batch, length), True = a real token.
        mask_id: the token that hides.
        share: of the tokens that are hidden, in expectation.
        mean_length: tokens a span.
        generator: draws.

    Returns:
        the spoiled texts, and where their real tokens are.
    """
    check_fraction("fraction", fraction)
    if not mean_length > 0:
        raise ValueError(f"mean_length must be above 0; got {mean_length}")
    n = real.sum(1)
    hidden = rounded(fraction * n, generator)
    lengths = _span_lengths(hidden, mean_length, generator)  # (batch, most spans), -1 where a row has no more
    spans = (lengths >= 0).sum(1)
    total = n - hidden + spans  # the kept tokens and the masks stand in any order of the two
    slot = torch.arange(int(total.max()), device=ids.device)
    there = slot < total[:, None]  # (batch, new length)
    masks = pick(there, spans, generator)
    span = (masks.cumsum(1) - 1).clamp(min=0)
    steps = torch.where(masks, F.pad(lengths, (0, 1)).gather(1, span), 1)  # tokens of the text that a slot stands for
    source = (steps.cumsum(1) - steps).clamp(max=ids.size(1) - 1)
    return ids.gather(1, source).masked_fill(masks, mask_id).masked_fill(~there, 0), there


def permute_sentences(ids: Tensor, real: Tensor, *, stop_id: int, generator: torch.Generator | None = None) -> Tensor:
    """Sentence permutation: sentences, each up to its ``stop_id``, in a random order; (batch, length)."""
    stops = real & (ids == stop_id)
    sentence = F.pad(stops.long().cumsum(1)[:, :-1], (1, 0))  # (batch, length), the number of each token's sentence
    keys = uniform(tuple(ids.shape), ids.device, generator).gather(1, sentence).masked_fill(~real, 2.0)
    return ids.gather(1, keys.argsort(dim=1, stable=True))


def rotate(ids: Tensor, real: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
    """Document rotation: the text begins at a token chosen at random, and its beginning follows at its end."""
    n = real.sum(1, keepdim=True)
    first = (uniform((len(ids), 1), ids.device, generator) * n).long()  # (batch, 1)
    place = torch.arange(ids.size(1), device=ids.device)
    return torch.where(real, ids.gather(1, (place + first) % n), ids)


def _span_lengths(hidden: Tensor, mean_length: float, generator: torch.Generator | None) -> Tensor:
    """Lengths from Poisson(mean_length) that sum to ``hidden`` (batch,) in each row, then -1."""
    width = 2 * int(hidden.max()) + 8
    where = hidden.device if generator is None else generator.device
    drawn = torch.poisson(torch.full((len(hidden), width), mean_length, device=where), generator).long()
    drawn = drawn.to(hidden.device)
    drawn[:, -1] = hidden  # so that no draw, however small, leaves a rest
    before = drawn.cumsum(1) - drawn
    left = hidden[:, None] - before
    return torch.minimum(drawn, left).masked_fill(left <= 0, -1)
