"""Masked language modelling: some tokens are hidden, and the model predicts them from the context on both sides.

Chapter: ``book/algorithms/bert.ipynb``. Source: Devlin et al. 2019, "BERT", section 3.1, task 1, and its released code.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from companion.data.batch import IGNORED
from companion.losses.cross_entropy import cross_entropy
from companion.losses.selection import check_fraction, pick, real_tokens, rounded, uniform


class MaskedBatch(Protocol):
    """Batch for masked language modelling: :class:`Masked`, or :class:`companion.losses.sentences.Pretraining`."""

    @property
    def inputs(self) -> Tensor:
        """Token ids after masking, (batch, length)."""

    @property
    def targets(self) -> Tensor:
        """Original token at each chosen position, ``IGNORED`` elsewhere: (batch, length)."""

    @property
    def visible(self) -> Tensor:
        """Attention mask, boolean (batch, query, key)."""

    @property
    def token_type_ids(self) -> Tensor | None:
        """Segment of each token, (batch, length); None where all are of one."""


class Masked(NamedTuple):
    """Batch of texts with masked tokens, all of one segment.

    Attributes:
        inputs: token ids after masking, (batch, length).
        targets: original token at each chosen position, ``IGNORED`` elsewhere: (batch, length).
        visible: boolean (batch, query, key): every position attends to every real token.
    """

    inputs: Tensor
    targets: Tensor
    visible: Tensor

    @property
    def token_type_ids(self) -> None:
        """None: there are no segments."""


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
    """Masked batch as in BERT: some tokens of each text are chosen as targets, and most of them are hidden.

    Of the chosen, 80 % become ``mask_id``, 10 % a random token, and 10 % stay as they are, so that the model must
    represent every token it reads: any of them may be a target. At least one token of each text is chosen. The random
    token is any but the special ones; the release of BERT draws from those as well.

    >>> ids = torch.tensor([[1, 5, 6, 7, 8, 2]])  # [CLS], four words, [SEP]
    >>> batch = mask_tokens(ids, None, mask_id=3, vocab_size=9, special_ids=(0, 1, 2), mask_probability=0.5)
    >>> chosen = batch.targets != IGNORED
    >>> chosen.sum().item(), bool((batch.targets[chosen] == ids[chosen]).all())
    (2, True)
    >>> bool((batch.inputs[~chosen] == ids[~chosen]).all())  # all others are read as they are
    True

    Args:
        ids: token ids (batch, length).
        attention_mask: boolean (batch, length), True = a real token; all are real when not given.
        mask_id: id of the mask token.
        vocab_size: size of the vocabulary; random tokens are below it.
        special_ids: tokens that are never chosen, beside ``mask_id``.
        mask_probability: probability that a token, or with ``starts`` a word, is chosen.
        starts: boolean (batch, length), True where a word begins: whole-word masking, which chooses all of a word's
            tokens or none.
        generator: source of randomness; torch's global one when not given.

    Returns:
        the batch, on the device of ``ids``.

    Raises:
        ValueError: when a text has no token that may be chosen, no ordinary token is left to draw from,
            ``mask_probability`` is not in (0, 1), or a shape does not fit.
        TypeError: on a mask, or starts, that are not boolean.
    """
    real = real_tokens(ids, attention_mask)
    check_fraction("mask_probability", mask_probability)
    special = torch.tensor([mask_id, *special_ids], device=ids.device)
    candidates = real & ~torch.isin(ids, special)
    if not bool(candidates.any(1).all()):
        row = int(candidates.any(1).logical_not().nonzero()[0])
        raise ValueError(f"each text must have a token to choose; row {row} has only special tokens and padding")
    head = _word_heads(candidates, starts)  # (batch, length), position of the first token of each token's word
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


def masked_loss(model: nn.Module, batch: MaskedBatch) -> Tensor:
    """Masked language modelling loss: cross-entropy of the chosen tokens, in nats.

    ``L_MLM = -1/|M| sum_{t in M} log p(x_t | inputs)``, M the chosen positions.

    >>> uniform = lambda ids, types, mask: (torch.zeros(*ids.shape, 9), None)
    >>> batch = mask_tokens(torch.tensor([[5, 6, 7, 8]]), None, mask_id=3, vocab_size=9)
    >>> masked_loss(uniform, batch).exp()
    tensor(9.)

    Args:
        model: (ids, token_type_ids, attention_mask) -> (logits (batch, length, vocab), anything).
        batch: :class:`Masked`, or with segments :class:`companion.losses.sentences.Pretraining`.
    """
    logits, _ = model(batch.inputs, batch.token_type_ids, batch.visible[:, 0])
    return cross_entropy(logits, batch.targets)


def _word_heads(candidates: Tensor, starts: Tensor | None) -> Tensor:
    """Position of the first token of each token's word; a token that may not be chosen ends the word before it."""
    position = torch.arange(candidates.size(1), device=candidates.device).expand_as(candidates)
    if starts is None:
        return position
    if starts.dtype != torch.bool:
        raise TypeError(f"starts must be boolean, True = a word begins; got {starts.dtype}")
    if starts.shape != candidates.shape:
        raise ValueError(f"starts must be (batch, length) = {tuple(candidates.shape)}; got {tuple(starts.shape)}")
    before = torch.nn.functional.pad(candidates, (1, -1))  # whether the token before may be chosen
    begins = starts | ~candidates | ~before
    return position.masked_fill(~begins, 0).cummax(1).values
