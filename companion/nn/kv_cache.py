"""The KV cache: keys and values of past positions, kept so that no position is computed twice.

Chapters: ``book/concepts/attention.ipynb``, ``book/algorithms/gpt.ipynb``, "Generate".
"""

from torch import Tensor

from companion.nn.checks import check_integer


class KVCache:
    """The keys and values of one layer's past positions.

    Memory grows with the text, doubled each time it runs out, up to ``capacity`` positions: a model of a long context
    takes no more for a short text.

    Example:
        >>> import torch
        >>> cache = KVCache(capacity=8)
        >>> key, value = cache.append(torch.ones(1, 2, 3, 4), torch.ones(1, 2, 3, 4))
        >>> key, value = cache.append(torch.zeros(1, 2, 1, 4), torch.zeros(1, 2, 1, 4))
        >>> key.shape, cache.length
        (torch.Size([1, 2, 4, 4]), 4)
    """

    def __init__(self, capacity: int) -> None:
        """Make an empty cache that can hold ``capacity`` positions."""
        self.capacity = capacity
        self.length = 0
        self._key: Tensor | None = None
        self._value: Tensor | None = None

    def append(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Append the keys and values of new positions, both (batch, heads, new, d_head), and return all so far.

        Raises:
            ValueError: when the capacity would be exceeded, or the sizes are not those of the earlier positions.
        """
        end = self.length + key.size(-2)
        if end > self.capacity:
            raise ValueError(f"the cache holds {self.capacity} positions; {end} were asked for")
        if self._key is None or self._value is None:
            self._key, self._value = key[:, :, :0], value[:, :, :0]
        if key.shape[:2] != self._key.shape[:2]:  # one row would silently be copied to all
            expected = tuple(self._key.shape[:2])
            raise ValueError(f"the cache holds (batch, heads) = {expected}; got {tuple(key.shape[:2])}")
        if end > self._key.size(2):
            room = min(self.capacity, max(64, 2 * end))
            self._key, self._value = (_widened(kept, room, self.length) for kept in (self._key, self._value))
        self._key[:, :, self.length : end] = key
        self._value[:, :, self.length : end] = value
        self.length = end
        return self.filled()

    def filled(self) -> tuple[Tensor, Tensor]:
        """Return the keys and the values so far, both (batch, heads, length, d_head).

        Raises:
            ValueError: when nothing was appended yet.
        """
        if self._key is None or self._value is None:
            raise ValueError("the cache is empty; append keys and values first")
        return self._key[:, :, : self.length], self._value[:, :, : self.length]

    def truncate(self, length: int) -> None:
        """Forget all positions but the first ``length``, as when proposed tokens are rejected.

        Raises:
            ValueError: when it holds fewer.
        """
        check_integer("length", length, least=0, most=self.length)
        self.length = length

    def reorder(self, rows: Tensor) -> None:
        """Replace row i by row ``rows[i]``, as a beam search does; rows may be repeated or left out.

        Args:
            rows: (new batch,) indices of rows.
        """
        if self._key is not None and self._value is not None:
            self._key, self._value = self._key[rows], self._value[rows]


def _widened(kept: Tensor, room: int, length: int) -> Tensor:
    """The first ``length`` positions of ``kept`` (batch, heads, …, d_head), with room for ``room``."""
    wider = kept.new_empty(*kept.shape[:2], room, kept.size(-1))
    wider[:, :, :length] = kept[:, :, :length]
    return wider


class DecoderCache:
    """The caches of one decoder block: of its self-attention, and of its cross-attention to the encoder's output."""

    def __init__(self, capacity: int, memory_length: int) -> None:
        """Make empty caches for ``capacity`` positions of the decoder and ``memory_length`` of the encoder."""
        self.own = KVCache(capacity)
        self.memory = KVCache(memory_length)

    @property
    def length(self) -> int:
        """Number of positions that the decoder has processed."""
        return self.own.length

    def reorder(self, rows: Tensor) -> None:
        """Replace row i of both caches by row ``rows[i]``; see :meth:`KVCache.reorder`."""
        self.own.reorder(rows)
        self.memory.reorder(rows)
