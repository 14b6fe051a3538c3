"""A batch of texts that a model goes on with, token by token, whatever its family and with a cache or without.

Chapter: ``book/algorithms/gpt.ipynb``, "Never compute a position twice".
"""

from typing import Any

import torch
from torch import Tensor

from companion.nn.checks import check_mask


class DecodingState:
    """Texts that a decoder-only model goes on with: the prompts are where they begin.

    Attributes:
        ids: (rows, length so far), which :meth:`append` adds to.
    """

    def __init__(self, model: Any, ids: Tensor, attention_mask: Tensor | None = None, use_cache: bool = True) -> None:
        """Stand after the prompts.

        Args:
            model: ids (rows, length) -> logits (rows, length, vocab); see :class:`companion.models.gpt.GPT`.
            ids: (rows, length), padded on the left where prompts are of unequal length.
            attention_mask: boolean (rows, length), True = a real token.
            use_cache: compute each position once.

        Raises:
            ValueError: on a mask of another shape, a prompt padded on the right, or one without a real token.
            TypeError: on a mask that is not boolean.
        """
        self.model, self.ids, self.mask = model, ids, attention_mask
        self._check(attention_mask)
        self.cache: Any = model.new_cache() if use_cache else None

    def logits(self) -> Tensor:
        """Score each token as the next one of each text: (rows, vocab), never in half precision."""
        scores = self._run(self.ids[:, self._past :])[:, -1]
        return scores.to(torch.promote_types(scores.dtype, torch.float32))

    def append(self, token: Tensor) -> None:
        """Add one token (rows,) to each text."""
        self.ids = torch.cat([self.ids, token[:, None]], dim=1)

    def reorder(self, rows: Tensor) -> None:
        """Let text i go on from what was text ``rows[i]``; texts may be repeated or left out."""
        self.ids = self.ids[rows]
        self.mask = None if self.mask is None else self.mask[rows]
        for layer in self.cache or ():
            layer.reorder(rows)

    @property
    def _past(self) -> int:
        return self.cache[0].length if self.cache else 0

    def _run(self, fresh: Tensor) -> Tensor:
        if self.mask is not None:  # what was appended since the last run is real
            self.mask = torch.nn.functional.pad(self.mask, (0, self.ids.size(1) - self.mask.size(1)), value=True)
        return self.model(fresh, attention_mask=self.mask, cache=self.cache)

    def _check(self, mask: Tensor | None) -> None:
        check_readable(mask, self.ids)
        if mask is not None and not bool(mask[:, -1].all()):
            row = int((~mask[:, -1]).nonzero()[0])
            raise ValueError(
                f"prompts must be padded on the left, where nothing is added; row {row} ends in padding "
                f"(companion.generation.sampling.left_padded lays prompts out)"
            )


class EncoderDecoderState(DecodingState):
    """Texts that the decoder of an encoder–decoder model writes about the source that the encoder has read."""

    def __init__(self, model: Any, ids: Tensor, attention_mask: Tensor | None = None, use_cache: bool = True) -> None:
        """Read the sources, and stand after the decoder's start token.

        Args:
            model: with ``encode`` and ``decode``; see :class:`companion.models.transformer.Transformer`.
            ids: (rows, source length), padded on either side.
            attention_mask: of the sources.
            use_cache: compute each position once.

        Raises:
            ValueError: on a mask of another shape, or a source without a real token.
            TypeError: on a mask that is not boolean.
        """
        check_readable(attention_mask, ids)
        self.model, self.mask = model, attention_mask
        self.memory = model.encode(ids, attention_mask)  # (rows, source length, d_model)
        self.ids = ids.new_full((ids.size(0), 1), model.config.start_id)
        self.cache = model.new_cache(ids.size(1)) if use_cache else None

    def reorder(self, rows: Tensor) -> None:
        """See :meth:`DecodingState.reorder`."""
        super().reorder(rows)
        self.memory = self.memory[rows]

    def _run(self, fresh: Tensor) -> Tensor:
        return self.model.decode(fresh, self.memory, self.mask, cache=self.cache)


def check_readable(mask: Tensor | None, ids: Tensor) -> None:
    """Check that a mask fits the ids, and that each row has a real token.

    Raises:
        ValueError: naming the row that has none, or both shapes.
        TypeError: on a mask that is not boolean.
    """
    if mask is None:
        return
    check_mask(mask, *ids.shape)
    if not bool(mask.any(-1).all()):
        row = int((~mask.any(-1)).nonzero()[0])
        raise ValueError(f"each row must have at least one real token; row {row} of attention_mask has none")
