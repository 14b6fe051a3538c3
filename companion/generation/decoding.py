"""Decoding state: a batch of texts that a model of any family extends token by token, with a cache or without.

Chapter: ``book/algorithms/gpt.ipynb``, "Never compute a position twice".
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from companion.data.batch import upcast
from companion.nn.checks import check_integer, check_mask
from companion.nn.kv_cache import DecoderCache, KVCache

Stop = int | Iterable[int] | Tensor | None  # token ids at which a text ends


class LanguageModel(Protocol):
    """Model that text is generated with: a :class:`Decoder` alone, or an :class:`EncoderDecoder`."""

    training: bool

    @property
    def config(self) -> Any:
        """Sizes of the model: ``vocab_size`` and ``context_length``; with an encoder also ``start_id``."""

    def train(self, mode: bool = True) -> Any:
        """Switch to training mode or evaluation mode, as ``torch.nn.Module`` does."""


class Decoder(LanguageModel, Protocol):
    """Decoder-only model, as :class:`companion.models.gpt.GPT`."""

    def new_cache(self) -> Sequence[KVCache]:
        """Empty cache of each layer."""

    def __call__(self, ids: Tensor, *, attention_mask: Tensor | None, cache: Any) -> Tensor:
        """Logits (rows, length, vocab) of the next token at each position of ids (rows, length)."""


@runtime_checkable
class EncoderDecoder(LanguageModel, Protocol):
    """Model with an encoder and a decoder, as :class:`companion.models.transformer.Transformer`."""

    def encode(self, ids: Tensor, attention_mask: Tensor | None, /) -> Tensor:
        """Hidden states (rows, source length, d_model) of source ids (rows, source length)."""

    def decode(self, ids: Tensor, memory: Tensor, attention_mask: Tensor | None, /, *, cache: Any) -> Tensor:
        """Logits (rows, length, vocab) of the next token at each position of target ids (rows, length)."""

    def new_cache(self, memory_length: int, /) -> Sequence[DecoderCache]:
        """Empty cache of each layer of the decoder."""


@runtime_checkable
class HasDecodeStep(Protocol):
    """Decoder-only model that continues a single text faster than its forward pass does."""

    def decode_step(self, cache: Any, /) -> "DecodeStep | None":
        """What continues the one text of the cache, or None where the model cannot do better now."""


class DecodeStep(Protocol):
    """Step that reads one token more, as :class:`companion.models.gpt_decode_step.GPTDecodeStep`."""

    length: int

    def __call__(self, token: int, /) -> NDArray[np.float32]:
        """Logits (vocab,) of what follows the token."""


class DecodingState:
    """Decoding state of a decoder-only model: the texts so far, which begin with the prompts.

    A single text is continued by the model's own decode step, where it has one and nothing watches it.
    """

    cache: Sequence[KVCache] | Sequence[DecoderCache] | None
    _ids: Tensor
    _added: list[Tensor]  # columns that are not in `_ids` yet
    _step: DecodeStep | None = None
    _may_step = False

    def __init__(
        self, model: Decoder, ids: Tensor, attention_mask: Tensor | None = None, use_cache: bool = True
    ) -> None:
        """Start decoding after the prompts.

        Args:
            model: decoder-only.
            ids: (rows, length), padded on the left where prompts are of unequal length.
            attention_mask: boolean (rows, length), True = a real token.
            use_cache: compute each position once.

        Raises:
            ValueError: on a mask of another shape, a prompt padded on the right, or one without a real token.
            TypeError: on a mask that is not boolean.
        """
        self.ids, self.mask = ids, attention_mask
        self._decoder = model
        self._check(attention_mask)
        self.cache = model.new_cache() if use_cache else None
        self._may_step = use_cache and attention_mask is None and len(ids) == 1

    def logits(self) -> Tensor:
        """Logits (rows, vocab) of each text's next token, never in half precision.

        Raises:
            FloatingPointError: when a row has no next token because its logits are not numbers, or infinite.
        """
        step = self._steps()
        scores = torch.from_numpy(step(self._newest()))[None] if step else self._run(self.ids[:, self._past :])[:, -1]
        check_logits(scores)
        return upcast(scores)

    def likeliest(self) -> Tensor:
        """Likeliest next token (rows,) of each text.

        Raises:
            FloatingPointError: as :meth:`logits`.
        """
        step = self._steps()
        if step is None:
            return self.logits().argmax(-1)
        scores = step(self._newest())
        best = scores.argmax(axis=0, keepdims=True)
        check_largest(0, float(scores[best[0]]))
        return torch.from_numpy(best)

    @property
    def ids(self) -> Tensor:
        """Token ids (rows, length so far), extended by :meth:`append`."""
        if self._added:
            self._ids, self._added = torch.cat([self._ids, torch.stack(self._added, dim=1)], dim=1), []
        return self._ids

    @ids.setter
    def ids(self, ids: Tensor) -> None:
        self._ids, self._added = ids, []

    def append(self, token: Tensor) -> None:
        """Append one token (rows,) to each text."""
        self._added.append(token)

    def reorder(self, rows: Tensor) -> None:
        """Let text i continue what was text ``rows[i]``; texts may be repeated or left out."""
        self.ids = self.ids[rows]
        self.mask = None if self.mask is None else self.mask[rows]
        for layer in self.cache or ():
            layer.reorder(rows)
        self._may_step = False  # a step reads one text, and the same one
        if self._step:  # the cache has not seen what the step has read
            self._step = self.cache = None

    def _steps(self) -> DecodeStep | None:
        """The model's own step, where the prompt is read and nothing stands in its way."""
        if self._may_step and self._past and isinstance(self._decoder, HasDecodeStep):
            self._step, self._may_step = self._decoder.decode_step(self.cache), False
        return self._step

    def _newest(self) -> int:
        """Last token of the one text."""
        return int(self._added[-1] if self._added else self._ids[:, -1])

    @property
    def _past(self) -> int:
        if self._step:
            return self._step.length
        return self.cache[0].length if self.cache else 0

    def _run(self, fresh: Tensor) -> Tensor:
        if self.mask is not None:  # what was appended since the last run is real
            self.mask = torch.nn.functional.pad(self.mask, (0, self.ids.size(1) - self.mask.size(1)), value=True)
        return self._decoder(fresh, attention_mask=self.mask, cache=self.cache)

    def _check(self, mask: Tensor | None) -> None:
        check_readable(mask, self.ids)
        if mask is not None and not bool(mask[:, -1].all()):
            row = int((~mask[:, -1]).nonzero()[0])
            raise ValueError(
                f"prompts must be padded on the left, where nothing is added; row {row} ends in padding "
                f"(companion.generation.sampling.left_padded lays prompts out)"
            )


class EncoderDecoderState(DecodingState):
    """Decoding state of an encoder–decoder model: the texts that its decoder writes, and the encoded sources."""

    def __init__(
        self, model: EncoderDecoder, ids: Tensor, attention_mask: Tensor | None = None, use_cache: bool = True
    ) -> None:
        """Encode the sources, and start decoding after the decoder's start token.

        Args:
            model: with an encoder and a decoder.
            ids: (rows, source length), padded on either side.
            attention_mask: boolean (rows, source length), True = a real token.
            use_cache: compute each position once.

        Raises:
            ValueError: on a mask of another shape, or a source without a real token.
            TypeError: on a mask that is not boolean.
        """
        check_readable(attention_mask, ids)
        self.mask = attention_mask
        self._model = model
        self.memory = model.encode(ids, attention_mask)  # (rows, source length, d_model)
        self.ids = ids.new_full((ids.size(0), 1), model.config.start_id)
        self.cache = model.new_cache(ids.size(1)) if use_cache else None

    def reorder(self, rows: Tensor) -> None:
        """See :meth:`DecodingState.reorder`."""
        super().reorder(rows)
        self.memory = self.memory[rows]

    def _run(self, fresh: Tensor) -> Tensor:
        return self._model.decode(fresh, self.memory, self.mask, cache=self.cache)


def stop_tokens(stop: Stop, vocab_size: int, device: torch.device) -> Tensor:
    """Token ids (count,) at which a text ends, of which there may be none.

    Raises:
        ValueError: when there are several of which none is there, or one is no id of the vocabulary.

    >>> stop_tokens([2, 7], 9, torch.device("cpu"))
    tensor([2, 7])
    """
    if stop is None:
        return torch.tensor([], dtype=torch.long, device=device)
    plain = stop.tolist() if isinstance(stop, Tensor) else stop
    ids = list(plain) if isinstance(plain, Iterable) and not isinstance(plain, str) else [plain]
    if not ids:
        raise ValueError("stop must be a token id, or at least one of them; got none")
    for number in ids:
        check_integer("stop", number, least=0, most=vocab_size - 1)
    return torch.tensor(ids, dtype=torch.long, device=device)


def check_logits(logits: Tensor) -> None:
    """Check that each row of logits (rows, vocab) has a likeliest token.

    Raises:
        FloatingPointError: naming the row whose logits are not numbers, or infinite.
    """
    largest = logits.amax(-1)  # NaN if one of them is
    if not bool(largest.isfinite().all()):  # no list of them: inside a transform of torch.func a tensor has none
        for row, logit in enumerate(largest):
            check_largest(row, float(logit))


def check_largest(row: int, logit: float) -> None:
    """Check the largest logit of a row; see :func:`check_logits`."""
    if not math.isfinite(logit):
        raise FloatingPointError(f"logits must be finite; the largest of row {row} is {logit}")


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
