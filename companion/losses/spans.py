"""The span objective: runs of tokens are cut out, and a decoder writes them; and sequence to sequence in general.

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
    """Texts to read, and texts to write.

    Attributes:
        inputs: (batch, source length), what the encoder reads, padded with 0 at the end.
        attention_mask: boolean (batch, source length), True = a real token.
        decoder_inputs: (batch, length), what the decoder reads: the target one step late, a start token first.
        targets: (batch, length), what it is asked for, ``IGNORED`` after the end.
    """

    inputs: Tensor
    attention_mask: Tensor
    decoder_inputs: Tensor
    targets: Tensor

    @property
    def visible(self) -> Tensor:
        """What the decoder sees, boolean (batch, query, key): all the source, then of its own text what went before.

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
    """Cut spans out of each text, leave a sentinel in each gap, and ask for the spans.

    *Thank you for inviting me to your party* may be read as *Thank you <X> me to your <Y>* and the target is
    *<X> for inviting <Y> party <Z>*: each sentinel, in order, before what stood in its gap, and one more at the end.
    Both texts end with ``end_id``. A text of n tokens loses ``m = noise_density n`` of them in ``m / mean_length`` spans, in
    expectation, at least one token and not all; any division into spans is as likely as any other, and between two
    gaps a token is kept. A gap may be at either end; in T5's released code the last token always falls into one.

    Args:
        ids: (batch, length), each text of at least two tokens, without ``end_id``.
        attention_mask: boolean (batch, length), True = a real token; all are real when not given.
        sentinel_ids: tokens that mark the gaps, first to last.
        end_id: the token at the end of both texts.
        start_id: the token that the decoder begins with.
        share: of the tokens to cut out.
        mean_length: tokens a span.
        generator: draws; torch's global one when not given.

    Returns:
        the batch, where ``ids`` is.

    Raises:
        ValueError: when a text has fewer than two tokens, there are too few sentinels, the share is not in (0, 1), the
            mean length is below 1, or a shape does not fit.
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
    mark = sentinels[(run // 2).clamp(max=len(sentinels) - 1)]  # (batch, length), the sentinel of the token's span
    ends = torch.full_like(ids[:, :1], end_id)
    always = torch.ones_like(real[:, :1])
    inputs, mask = compact(
        torch.cat([torch.where(first, mark, ids), ends], 1), torch.cat([(real & ~lost) | first, always], 1)
    )
    slots = torch.stack([mark, ids], 2).flatten(1)  # (batch, 2 length): room for a sentinel before each token
    target = torch.cat([slots, sentinels[spans][:, None], ends], 1)
    written, there = compact(target, torch.cat([torch.stack([first, lost], 2).flatten(1), always, always], 1))
    return teach(inputs, mask, written.masked_fill(~there, IGNORED), start_id)


def pairs(sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]], *, start_id: int, end_id: int) -> Seq2Seq:
    """Lay out texts and what shall be written for them: translations, summaries, answers.

    Args:
        sources: ids, one list a text.
        targets: as many; ``end_id`` is added to each of them.
        start_id: the token that the decoder begins with.
        end_id: the token that ends what is written.

    Raises:
        ValueError: when there is no source, an empty one, or another number of targets.
    """
    if len(sources) != len(targets):
        raise ValueError(f"there must be one target for each source; got {len(sources)} and {len(targets)}")
    inputs, mask = padded(sources)
    written, there = padded([[*target, end_id] for target in targets])
    return teach(inputs, mask, written.masked_fill(~there, IGNORED), start_id)


def teach(inputs: Tensor, attention_mask: Tensor, targets: Tensor, start_id: int) -> Seq2Seq:
    """Add what the decoder reads while it is taught: the right target one step late (teacher forcing)."""
    late = F.pad(targets[:, :-1], (1, 0), value=start_id)
    return Seq2Seq(inputs, attention_mask, fill_ignored(late), targets)


def sequence_loss(model: nn.Module, batch: Seq2Seq) -> Tensor:
    """Return the mean negative log-likelihood of the targets' tokens, each given the source and those before it.

    ``L = -1/n sum_t log p(y_t | y_<t, x)``, in nats.

    Args:
        model: (ids, decoder_ids, attention_mask) -> logits (batch, length, vocab).
        batch: texts to read and to write.
    """
    return cross_entropy(model(batch.inputs, batch.decoder_inputs, batch.attention_mask), batch.targets)


def _runs(real: Tensor, noise_density: float, mean_length: float, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """Number the runs of each text, kept 0, lost 1, kept 2, …: (batch, length); and the number of lost ones (batch,).

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
    """Divide each total (batch,) into that many parts of at least 1, all divisions equally likely: (batch, width)."""
    gap = torch.arange(1, width, device=total.device)  # a cut before item 1, 2, …
    cuts = pick(gap < total[:, None], parts - 1, generator)  # (batch, width - 1)
    part = F.pad(cuts.long().cumsum(1), (1, 0))  # (batch, width), the part of each item
    there = torch.arange(width, device=total.device) < total[:, None]
    return torch.zeros_like(part).scatter_add_(1, part, there.long())
