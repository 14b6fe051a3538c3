"""Packing: several short texts in one row, each of which sees only itself.

Chapter: ``book/algorithms/assistants.ipynb``. Source: Krell et al. 2021, "Efficient Sequence Packing without
Cross-contamination", section 3.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from companion.losses.causal import completions
from companion.models.gpt import GPT


class Packed(NamedTuple):
    """A row of prompts with their answers, one after the other.

    Attributes:
        inputs: token ids (length,).
        targets: (length,), the next token where it belongs to an answer, ``IGNORED`` elsewhere.
        positions: (length,), counted anew from 0 in each text.
        texts: (length,), number of the text that a token belongs to.
    """

    inputs: Tensor
    targets: Tensor
    positions: Tensor
    texts: Tensor

    @property
    def visible(self) -> Tensor:
        """Block-diagonal mask, boolean (query, key): a token attends to its own text alone."""
        return self.texts[:, None] == self.texts


def pack(prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]]) -> Packed:
    """Texts laid out in one row.

    >>> row = pack([[7, 8], [9]], [[1, 2], [3]])
    >>> row.inputs.tolist(), row.targets.tolist()
    ([7, 8, 1, 9], [-100, 1, 2, 3])
    >>> row.positions.tolist(), row.texts.tolist()
    ([0, 1, 2, 0], [0, 0, 0, 1])

    Args:
        prompts: token ids of each prompt, at least one.
        answers: token ids of each answer, at least one.

    Raises:
        ValueError: when there are none, another number of prompts than of answers, or an empty one.
    """
    batch = completions(prompts, answers)
    lengths = [len(prompt) + len(answer) - 1 for prompt, answer in zip(prompts, answers, strict=True)]
    inputs = torch.cat([row[:n] for row, n in zip(batch.inputs, lengths, strict=True)])
    targets = torch.cat([row[:n] for row, n in zip(batch.targets, lengths, strict=True)])
    positions = torch.cat([torch.arange(n) for n in lengths])
    texts = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    return Packed(inputs, targets, positions, texts)


def packed_logits(model: GPT, row: Packed, visible: Tensor | None = None) -> Tensor:
    """Logits of a GPT for a packed row, (length, vocab).

    >>> from companion.models.gpt import GPTConfig
    >>> model = GPT(GPTConfig(vocab_size=9, context_length=8, n_layers=1, n_heads=2, d_model=8)).eval()
    >>> alone = model(torch.tensor([[5, 6]]))[0]
    >>> torch.allclose(packed_logits(model, pack([[7, 8], [5]], [[1], [6, 2]]))[-2:], alone, atol=1e-6)
    True

    Args:
        model: the model; no text may be longer than its context, while the row may.
        row: see :func:`pack`.
        visible: boolean (length, length), True = may attend; the row's own block-diagonal mask when not given. Causal
            it is in either case.
    """
    mask = row.visible if visible is None else visible
    x = model.token_embedding(row.inputs) + model.position_embedding(row.positions)
    x = model.dropout(x)[None]
    for block in model.blocks:
        x = block(x, mask=mask[None, None])
    logits: Tensor = model.unembedding(model.final_norm(x))[0]
    return logits
