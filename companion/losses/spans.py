"""Span corruption (T5): spans of tokens are removed, and a decoder predicts them; and sequence to sequence in general.

Chapter: ``book/algorithms/t5.ipynb``. Source: Raffel et al. 2020, "Exploring the Limits of Transfer Learning with a
Unified Text-to-Text Transformer", sections 3.1.4 and 3.3.4, and figure 2.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from companion.data.batch import IGNORED, fill_ignored, padded
from companion.losses.cross_entropy import cross_entropy
from companion.losses.selection import check_fraction, compact, pick, real_tokens, rounded
from companion.nn.masks import causal_mask


class Seq2Seq(NamedTuple):
    """Batch of source texts with their target texts, for an encoder–decoder.

    Attributes:
        inputs: encoder input (batch, source length), padded with 0 at the end.
        attention_mask: boolean (batch, source length), True = a real token of the source.
        decoder_inputs: decoder input (batch, length): the targets shifted right, with a start token first.
        targets: (batch, length), ``IGNORED`` after the end.
    """

    inputs: Tensor
    attention_mask: Tensor
    decoder_inputs: Tensor
    targets: Tensor

    @property
    def visible(self) -> Tensor:
        """Mask of the decoder, boolean (batch, query, key): the whole source, and its own input causally.

        The keys are the source's positions followed by the decoder's own.
        """
        length = self.targets.size(1)
        own = causal_mask(length, device=self.targets.device).expand(len(self.targets), -1, -1)
        source = self.attention_mask[:, None, :].expand(-1, length, -1)
        return torch.cat([source, own], dim=2)


def corrupt(
    ids: Tensor,
    attention_mask: Tensor | None,
    *,
    sentinel_ids: Sequence[int],
    end_id: int,
    start_id: int,
    noise_density: float = 0.15,
    mean_length: float = 3.0,
    generator: torch.Generator | None = None,
) -> Seq2Seq:
    """Span corruption: spans of each text are replaced by one sentinel each, and the spans are the target.

    *Thank you for inviting me to your party* may become *Thank you <X> me to your <Y>* with the target
    *<X> for inviting <Y> party <Z>*: each sentinel, in order, before the span that it replaces, and one more at the
    end. Both texts end with ``end_id``. Of n tokens, ``m = noise_density n`` are removed in ``m / mean_length`` spans,
    in expectation, at least one token and not all; any division into spans is as likely as any other, and between two
    spans a token is kept. A span may be at either end; in T5's released code the last token is always in one.

    >>> ids = torch.tensor([[5, 6, 7, 8]])
    >>> batch = corrupt(ids, None, sentinel_ids=(90, 91), end_id=1, start_id=0, noise_density=0.5, mean_length=2)
    >>> batch.inputs.shape, batch.targets.shape  # 2 tokens, sentinel, end; sentinel, 2 tokens, sentinel, end
    (torch.Size([1, 4]), torch.Size([1, 5]))
    >>> batch.targets[:, [0, 3, 4]]
    tensor([[90, 91,  1]])

    Args:
        ids: token ids (batch, length), each text of at least two tokens, without ``end_id``.
        attention_mask: boolean (batch, length), True = a real token; all are real when not given.
        sentinel_ids: ids of the sentinels, first to last.
        end_id: last token of both texts.
        start_id: first token of the decoder's input.
        noise_density: expected fraction of the tokens that are removed; 15 % in T5.
        mean_length: mean length of a span, in tokens; 3 in T5.
        generator: source of randomness; torch's global one when not given.

    Returns:
        the batch, on the device of ``ids``.

    Raises:
        ValueError: when a text has fewer than two tokens, there are too few sentinels, ``noise_density`` is not in
            (0, 1), the mean length is below 1, or a shape does not fit.
        TypeError: on a mask that is not boolean.
    """
    real = real_tokens(ids, attention_mask)
    check_fraction("noise_density", noise_density)
    if mean_length < 1:
        raise ValueError(f"mean_length must be at least 1; got {mean_length}")
    run, spans = _runs(real, noise_density, mean_length, generator)  # (batch, length), (batch,)
    if int(spans.max()) >= len(sentinel_ids):
        raise ValueError(f"{int(spans.max())} spans need {int(spans.max()) + 1} sentinels; got {len(sentinel_ids)}")
    sentinels = torch.tensor(list(sentinel_ids), device=ids.device, dtype=ids.dtype)
    lost = real & (run % 2 == 1)
    first = lost & (run != F.pad(run, (1, -1), value=-1))  # of its span; spans do not touch
    mark = sentinels[(run // 2).clamp(max=len(sentinels) - 1)]  # (batch, length), sentinel of the token's span
    ends = torch.full_like(ids[:, :1], end_id)
    always = torch.ones_like(real[:, :1])
    inputs, mask = compact(
        torch.cat([torch.where(first, mark, ids), ends], 1), torch.cat([(real & ~lost) | first, always], 1)
    )
    slots = torch.stack([mark, ids], 2).flatten(1)  # (batch, 2 length): room for a sentinel before each token
    target = torch.cat([slots, sentinels[spans][:, None], ends], 1)
    keep = torch.cat([torch.stack([first, lost], 2).flatten(1), always, always], 1)
    targets, real_targets = compact(target, keep)
    return teacher_forcing(inputs, mask, targets.masked_fill(~real_targets, IGNORED), start_id)


def pairs(sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]], *, start_id: int, end_id: int) -> Seq2Seq:
    """Batch of source and target texts: translations, summaries, answers.

    >>> batch = pairs([[5, 6]], [[7, 8]], start_id=0, end_id=1)
    >>> batch.decoder_inputs, batch.targets
    (tensor([[0, 7, 8]]), tensor([[7, 8, 1]]))

    Args:
        sources: token ids of each source text.
        targets: token ids of each target text; ``end_id`` is added to each.
        start_id: first token of the decoder's input.
        end_id: last token of each target.

    Raises:
        ValueError: when there is no source, an empty one, or another number of targets.
    """
    if len(sources) != len(targets):
        raise ValueError(f"there must be one target for each source; got {len(sources)} and {len(targets)}")
    inputs, mask = padded(sources)
    ids, real = padded([[*target, end_id] for target in targets])
    return teacher_forcing(inputs, mask, ids.masked_fill(~real, IGNORED), start_id)


def teacher_forcing(inputs: Tensor, attention_mask: Tensor, targets: Tensor, start_id: int) -> Seq2Seq:
    """Batch for teacher forcing: the decoder's input is the target, shifted right by one position."""
    shifted = F.pad(targets[:, :-1], (1, 0), value=start_id)
    return Seq2Seq(inputs, attention_mask, fill_ignored(shifted), targets)


def sequence_loss(model: nn.Module, batch: Seq2Seq) -> Tensor:
    """Sequence-to-sequence loss: cross-entropy of the target tokens given the source, in nats.

    ``L = -1/n sum_t log p(y_t | y_<t, x)``.

    >>> uniform = lambda ids, decoder_ids, mask: torch.zeros(*decoder_ids.shape, 9)
    >>> sequence_loss(uniform, pairs([[5, 6]], [[7, 8]], start_id=0, end_id=1)).exp()
    tensor(9.)

    Args:
        model: (ids, decoder_ids, attention_mask) -> logits (batch, length, vocab).
        batch: source texts with their targets.
    """
    return cross_entropy(model(batch.inputs, batch.decoder_inputs, batch.attention_mask), batch.targets)


def _runs(
    real: Tensor, noise_density: float, mean_length: float, generator: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    """Run of each token, kept 0, removed 1, kept 2, …: (batch, length); and the number of removed runs, (batch,).

    The first and the last kept run may be empty.
    """
    n = real.sum(1)
    if int(n.min()) < 2:
        raise ValueError(f"each text must have 2 tokens, one to lose and one to keep; row {int(n.argmin())} has 1")
    lost = torch.minimum(rounded(noise_density * n, generator).clamp(min=1), n - 1)
    spans = rounded(lost / mean_length, generator).clamp(min=1)
    spans = torch.minimum(torch.minimum(spans, lost), n - lost + 1)
    width = int(n.max()) + 2
    lengths = _division(lost, spans, width, generator)
    kept = _division(n - lost + 2, spans + 1, width, generator)
    kept[:, 0] -= 1  # so either end may be empty
    kept.scatter_add_(1, spans[:, None], torch.full_like(spans, -1)[:, None])
    ends = torch.stack([kept, lengths], 2).flatten(1).cumsum(1)  # (batch, runs), where each run ends
    return torch.searchsorted(ends, real.cumsum(1) - 1, right=True), spans


def _division(total: Tensor, parts: Tensor, width: int, generator: torch.Generator | None) -> Tensor:
    """Uniform random composition of each total (batch,) into so many parts of at least 1: (batch, width)."""
    gap = torch.arange(1, width, device=total.device)  # a cut before item 1, 2, …
    cuts = pick(gap < total[:, None], parts - 1, generator)  # (batch, width - 1)
    part = F.pad(cuts.long().cumsum(1), (1, 0))  # (batch, width), part of each item
    real = torch.arange(width, device=total.device) < total[:, None]
    return torch.zeros_like(part).scatter_add_(1, part, real.long())
