"""The masked objective: some tokens are hidden, and the model says what they were from both sides.

Chapter: ``book/algorithms/bert.ipynb``. Source: Devlin et al. 2019, "BERT", section 3.1, task 1, and its released code.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from companion.data.batch import IGNORED
from companion.losses.cross_entropy import cross_entropy
from companion.losses.selection import check_fraction, pick, real_tokens, rounded, uniform


class Masked(NamedTuple):
    """Texts with hidden tokens.

    Attributes:
        inputs: (batch, length), what the model reads.
        targets: (batch, length), the token that stood at a chosen place, ``IGNORED`` elsewhere.
        visible: boolean (batch, query, key): every position sees every real token.
    """

    inputs: Tensor
    targets: Tensor
    visible: Tensor


def mask_tokens(
    ids: Tensor,
    attention_mask: Tensor | None,
    *,
    mask_id: int,
    vocab_size: int,
    special_ids: Sequence[int] = (),
    mask_probability: float = 0.15,
    starts: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Masked:
    """Choose some tokens of each text as targets, and hide most of them.

    Of the chosen, 80 % become ``mask_id``, 10 % a random token, and 10 % stay: so the model must know each word it
    reads, too, since any of them may be asked for. A text has ``share`` of its tokens chosen, in expectation, and at
    least one. The random token is any but the special ones; the release of BERT draws from those as well.

    Args:
        ids: (batch, length).
        attention_mask: boolean (batch, length), True = a real token; all are real when not given.
        mask_id: the token that hides.
        vocab_size: random tokens are below it.
        special_ids: tokens that are never chosen, beside ``mask_id``.
        share: of the tokens, or with ``starts`` of the words, to choose.
        starts: boolean (batch, length), True where a word begins: then words are chosen, and each whole.
        generator: draws; torch's global one when not given.

    Returns:
        the batch, where ``ids`` is.

    Raises:
        ValueError: when a text has no token that may be chosen, no ordinary token is left to draw from, the share is
            not in (0, 1), or a shape does not fit.
        TypeError: on a mask, or starts, that are not boolean.
    """
    real = real_tokens(ids, attention_mask)
    check_fraction("mask_probability", mask_probability)
    special = torch.tensor([mask_id, *special_ids], device=ids.device)
    candidates = real & ~torch.isin(ids, special)
    if not bool(candidates.any(1).all()):
        row = int(candidates.any(1).logical_not().nonzero()[0])
        raise ValueError(f"each text must have a token to choose; row {row} has only special tokens and padding")
    head = _word_heads(candidates, starts)  # (batch, length), the place of the first token of each token's word
    heads = candidates & (head == torch.arange(ids.size(1), device=ids.device))
    wanted = rounded(mask_probability * heads.sum(1), generator).clamp(min=1)
    chosen = candidates & pick(heads, wanted, generator).gather(1, head)
    ordinary = torch.arange(vocab_size, device=ids.device)
    ordinary = ordinary[~torch.isin(ordinary, special)]
    if not len(ordinary):
        raise ValueError(f"all {vocab_size} tokens of the vocabulary are special; there is none to draw")
    drawn = uniform((2, *ids.shape), ids.device, generator)
    other = ordinary[(drawn[0] * len(ordinary)).long()].to(ids.dtype)
    inputs = torch.where(chosen & (drawn[1] < 0.9), other, ids).masked_fill(chosen & (drawn[1] < 0.8), mask_id)
    visible = real[:, None, :].expand(-1, ids.size(1), -1)
    return Masked(inputs, ids.masked_fill(~chosen, IGNORED), visible)


def masked_loss(model: nn.Module, batch: Any) -> Tensor:
    """Return the mean negative log-likelihood of the chosen tokens, in nats.

    ``L_MLM = -1/|M| sum_{t in M} log p(x_t | inputs)``, M the chosen places.

    Args:
        model: (ids, token_type_ids, attention_mask) -> (logits (batch, length, vocab), anything).
        batch: :class:`Masked`, or with segments :class:`companion.losses.sentences.Pretraining`.
    """
    types = getattr(batch, "token_type_ids", None)
    logits, _ = model(batch.inputs, types, batch.visible[:, 0])
    return cross_entropy(logits, batch.targets)


def _word_heads(candidates: Tensor, starts: Tensor | None) -> Tensor:
    """The place of the first token of each token's word; a token that may not be chosen ends the word before it."""
    place = torch.arange(candidates.size(1), device=candidates.device).expand_as(candidates)
    if starts is None:
        return place
    if starts.dtype != torch.bool:
        raise TypeError(f"starts must be boolean, True = a word begins; got {starts.dtype}")
    if starts.shape != candidates.shape:
        raise ValueError(f"starts must be (batch, length) = {tuple(candidates.shape)}; got {tuple(starts.shape)}")
    before = torch.nn.functional.pad(candidates, (1, -1))  # whether the token before may be chosen
    begins = starts | ~candidates | ~before
    return place.masked_fill(~begins, 0).cummax(1).values
