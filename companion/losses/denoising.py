"""Denoising: a text is corrupted, and an encoder–decoder reconstructs it.

Chapter: ``book/algorithms/denoising.ipynb``. Sources: Lewis et al. 2020, "BART", section 2.2 and figure 2; the idea is
that of Vincent et al. 2008, "Extracting and Composing Robust Features with Denoising Autoencoders".
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from companion.data.batch import IGNORED
from companion.losses.selection import check_fraction, compact, pick, real_tokens, rounded, uniform
from companion.losses.spans import Seq2Seq, teacher_forcing

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
    """Batch of corrupted texts for a denoising autoencoder; the target is the original text, with ``end_id`` after it.

    >>> ids = torch.tensor([[5, 6, 7, 8]])
    >>> batch = noise(ids, None, noises=["masking"], mask_id=1, stop_id=2, start_id=3, end_id=4, fraction=0.5)
    >>> (batch.inputs == 1).sum().item(), batch.targets
    (2, tensor([[5, 6, 7, 8, 4]]))
    >>> batch.decoder_inputs
    tensor([[3, 5, 6, 7, 8]])

    Args:
        ids: token ids (batch, length), without ``end_id``.
        attention_mask: boolean (batch, length), True = a real token; all are real when not given.
        noises: noise functions, of ``NOISES``, in the order of their application; BART's choice when not given.
        mask_id: id of the mask token, for masking and infilling.
        stop_id: id of the token that ends a sentence, for permutation.
        start_id: first token of the decoder's input.
        end_id: last token of the target.
        fraction: fraction of the tokens that are masked, deleted or replaced by infilling; 30 % in BART.
        mean_length: mean length of a span, in tokens, for infilling; 3 in BART.
        generator: source of randomness; torch's global one when not given.

    Returns:
        the batch, on the device of ``ids``.

    Raises:
        ValueError: on an unknown noise or none at all, a fraction outside (0, 1), a mean length that is not above 0,
            or a shape that does not fit.
        TypeError: on a mask that is not boolean.
    """
    unknown = [name for name in noises if name not in NOISES]
    if unknown or not noises:
        raise ValueError(f"noises must be of {', '.join(NOISES)}; got {', '.join(map(repr, unknown)) or 'none'}")
    ids, real = compact(ids, real_tokens(ids, attention_mask))
    noisy, noisy_real = ids, real
    for name in noises:
        if name == "masking":
            noisy = mask(noisy, noisy_real, mask_id=mask_id, fraction=fraction, generator=generator)
        elif name == "deletion":
            noisy, noisy_real = delete(noisy, noisy_real, fraction=fraction, generator=generator)
        elif name == "infilling":
            settings = {"fraction": fraction, "mean_length": mean_length}
            noisy, noisy_real = infill(noisy, noisy_real, mask_id=mask_id, generator=generator, **settings)
        elif name == "permutation":
            noisy = permute_sentences(noisy, noisy_real, stop_id=stop_id, generator=generator)
        else:
            noisy = rotate(noisy, noisy_real, generator=generator)
    ends = real.sum(1, keepdim=True)  # (batch, 1), position of the end token
    targets = F.pad(ids.masked_fill(~real, IGNORED), (0, 1), value=IGNORED).scatter(1, ends, end_id)
    return teacher_forcing(noisy, noisy_real, targets, start_id)


def mask(
    ids: Tensor, real: Tensor, *, mask_id: int, fraction: float, generator: torch.Generator | None = None
) -> Tensor:
    """Token masking: a fraction of the tokens become ``mask_id`` each, so the text keeps its length.

    Args:
        ids: token ids (batch, length).
        real: boolean (batch, length), True = a real token; here and below, padding must be at the end.
        mask_id: id of the mask token.
        fraction: fraction of the tokens that are masked.
        generator: source of randomness.
    """
    check_fraction("fraction", fraction)
    return ids.masked_fill(pick(real, rounded(fraction * real.sum(1), generator), generator), mask_id)


def delete(
    ids: Tensor, real: Tensor, *, fraction: float, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Token deletion: a fraction of the tokens are removed without a mark; at least one token stays.

    Arguments as for :func:`mask`; returns the shorter texts and their attention mask.
    """
    check_fraction("fraction", fraction)
    n = real.sum(1)
    deleted = pick(real, torch.minimum(rounded(fraction * n, generator), n - 1), generator)
    return compact(ids, real & ~deleted)


def infill(
    ids: Tensor,
    real: Tensor,
    *,
    mask_id: int,
    fraction: float,
    mean_length: float = 3.0,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Text infilling: spans of tokens are replaced by *one* ``mask_id`` each.

    The lengths of the spans are drawn from Poisson(mean_length) until the fraction is reached; the last span is cut to
    fit. So a mask does not tell how many tokens are missing. A span of length 0 is a mask inserted between two tokens.

    Args:
        ids: token ids (batch, length).
        real: boolean (batch, length), True = a real token.
        mask_id: id of the mask token.
        fraction: expected fraction of the tokens that are replaced.
        mean_length: mean length of a span, in tokens.
        generator: source of randomness.

    Returns:
        the corrupted texts and their attention mask.
    """
    check_fraction("fraction", fraction)
    if not mean_length > 0:
        raise ValueError(f"mean_length must be above 0; got {mean_length}")
    n = real.sum(1)
    hidden = rounded(fraction * n, generator)
    lengths = _span_lengths(hidden, mean_length, generator)  # (batch, most spans), -1 where a row has no more
    spans = (lengths >= 0).sum(1)
    total = n - hidden + spans  # kept tokens and masks, in any order of the two
    slot = torch.arange(int(total.max()), device=ids.device)
    noisy_real = slot < total[:, None]  # (batch, new length)
    masks = pick(noisy_real, spans, generator)
    span = (masks.cumsum(1) - 1).clamp(min=0)
    steps = torch.where(masks, F.pad(lengths, (0, 1)).gather(1, span), 1)  # tokens that a slot replaces
    source = (steps.cumsum(1) - steps).clamp(max=ids.size(1) - 1)
    return ids.gather(1, source).masked_fill(masks, mask_id).masked_fill(~noisy_real, 0), noisy_real


def permute_sentences(ids: Tensor, real: Tensor, *, stop_id: int, generator: torch.Generator | None = None) -> Tensor:
    """Sentence permutation: the sentences, each up to its ``stop_id``, in a random order; (batch, length)."""
    stops = real & (ids == stop_id)
    sentence = F.pad(stops.long().cumsum(1)[:, :-1], (1, 0))  # (batch, length), sentence of each token
    keys = uniform(tuple(ids.shape), ids.device, generator).gather(1, sentence).masked_fill(~real, 2.0)
    return ids.gather(1, keys.argsort(dim=1, stable=True))


def rotate(ids: Tensor, real: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
    """Document rotation: the text starts at a random token, and the part before it is moved to the end."""
    n = real.sum(1, keepdim=True)
    first = (uniform((len(ids), 1), ids.device, generator) * n).long()  # (batch, 1)
    position = torch.arange(ids.size(1), device=ids.device)
    return torch.where(real, ids.gather(1, (position + first) % n), ids)


def _span_lengths(hidden: Tensor, mean_length: float, generator: torch.Generator | None) -> Tensor:
    """Span lengths from Poisson(mean_length) that sum to ``hidden`` (batch,) in each row, then -1."""
    width = 2 * int(hidden.max()) + 8
    where = hidden.device if generator is None else generator.device
    drawn = torch.poisson(torch.full((len(hidden), width), mean_length, device=where), generator).long()
    drawn = drawn.to(hidden.device)
    drawn[:, -1] = hidden  # so that the lengths always reach the sum
    before = drawn.cumsum(1) - drawn
    left = hidden[:, None] - before
    return torch.minimum(drawn, left).masked_fill(left <= 0, -1)
