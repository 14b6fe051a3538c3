"""The paged KV cache: keys and values in blocks of equal size, found by a table per text, shared where texts agree.

Chapter: ``book/algorithms/inference.ipynb``. Source: Kwon et al. 2023, "PagedAttention", section 4.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from companion.nn.checks import check_integer


class BlockPool:
    """Blocks of a KV cache, for all layers of a model and all texts that it reads.

    Block b holds the keys and values of ``block_size`` positions, in every layer. A block that is full may be published
    under the tokens of its text up to its end; a text that begins with the same tokens uses it too.

    Example:
        >>> pool = BlockPool(n_blocks=3, block_size=2, n_layers=1)
        >>> text = pool.text([5, 6, 7])
        >>> _ = text.layers[0].append(torch.ones(1, 2, 3, 4), torch.ones(1, 2, 3, 4))
        >>> text.blocks, pool.n_free
        ([0, 1], 1)
    """

    def __init__(self, n_blocks: int, block_size: int, n_layers: int) -> None:
        """Make a pool of empty blocks; memory is taken when the first keys come.

        Raises:
            ValueError: when a size is below 1.
        """
        for name, size in (("n_blocks", n_blocks), ("block_size", block_size), ("n_layers", n_layers)):
            check_integer(name, size)
        self.n_blocks, self.block_size, self.n_layers = n_blocks, block_size, n_layers
        self._free = list(range(n_blocks))
        self._users = [0] * n_blocks
        self._published: dict[tuple[int, ...], int] = {}  # tokens up to a block's end -> the block
        self._memory: list[tuple[Tensor, Tensor] | None] = [None] * n_layers

    @property
    def n_free(self) -> int:
        """Number of blocks that no text uses, published ones included."""
        return self._users.count(0)

    def text(self, ids: Sequence[int]) -> "PagedText":
        """Return a text whose first blocks are those published for its beginning.

        The last token is never taken from there: its logits have yet to be computed.

        Args:
            ids: tokens of the text, at least one.

        Raises:
            ValueError: on an empty text.
        """
        if not ids:
            raise ValueError("a text must have at least one token; got none")
        text = PagedText(self)
        for end in range(self.block_size, len(ids), self.block_size):
            block = self._published.get(tuple(ids[:end]))
            if block is None:
                break
            self._users[block] += 1
            text.blocks.append(block)
        for layer in text.layers:
            layer.length = len(text.blocks) * self.block_size
        return text

    def take(self) -> int:
        """Return a block for new positions: one never used or given up, or else the longest published that none uses.

        Raises:
            MemoryError: when all blocks are in use.
        """
        if not self._free:
            self._forget()
        block = self._free.pop(0)
        self._users[block] = 1
        return block

    def publish(self, ids: Sequence[int], blocks: Sequence[int]) -> None:
        """Let later texts that begin with ``ids`` use those of these blocks that the ids fill."""
        for number in range(len(ids) // self.block_size):
            self._published.setdefault(tuple(ids[: (number + 1) * self.block_size]), blocks[number])

    def release(self, blocks: Sequence[int]) -> None:
        """Take blocks back from a text; those published stay readable until their place is needed."""
        known = set(self._published.values())
        for block in blocks:
            self._users[block] -= 1
            if not self._users[block] and block not in known:
                self._free.append(block)

    def memory(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values of a layer, each (blocks, heads, block_size, d_head)."""
        held = self._memory[layer]
        if held is None:
            sizes = (self.n_blocks, key.size(1), self.block_size)
            held = self._memory[layer] = key.new_zeros(*sizes, key.size(-1)), value.new_zeros(*sizes, value.size(-1))
        return held

    def _forget(self) -> None:
        idle = [ids for ids, block in self._published.items() if not self._users[block]]
        if not idle:
            raise MemoryError(f"all {self.n_blocks} blocks of {self.block_size} positions are in use")
        self._free.append(self._published.pop(max(idle, key=len)))  # what it continues stays readable


class PagedText:
    """One text's cache: the table of its blocks, and for each layer what a model's attention appends to.

    Attributes:
        blocks: its blocks in the order of the text.
        layers: to be passed to a decoder-only model as its ``cache``.
    """

    def __init__(self, pool: BlockPool) -> None:
        """Make a text without blocks; see :meth:`BlockPool.text`."""
        self.pool = pool
        self.blocks: list[int] = []
        self.layers = [PagedLayer(self, layer) for layer in range(pool.n_layers)]

    @property
    def length(self) -> int:
        """Number of positions whose keys and values are there."""
        return self.layers[0].length

    def publish(self, ids: Sequence[int]) -> None:
        """Publish the blocks that are full; ``ids`` are the tokens that the text has read.

        Raises:
            ValueError: when their number is not :attr:`length`.
        """
        if len(ids) != self.length:
            raise ValueError(f"the cache holds {self.length} positions; got {len(ids)} tokens")
        self.pool.publish(ids, self.blocks)

    def release(self) -> None:
        """Give all blocks back to the pool."""
        self.pool.release(self.blocks)
        self.blocks = []


class PagedLayer:
    """One layer of a text's cache; in the place of a :class:`companion.nn.kv_cache.KVCache` of one row.

    Attributes:
        length: number of positions held.
    """

    def __init__(self, text: PagedText, layer: int) -> None:
        """Make the layer's view of a text's blocks."""
        self.text, self.layer, self.length = text, layer, 0

    def append(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Write keys and values of new positions, both (1, heads, new, d_head), into blocks, and return all so far.

        Raises:
            ValueError: on more than one row.
            MemoryError: when the pool has no block left.
        """
        if key.size(0) != 1:
            raise ValueError(f"a paged text is one row; got {key.size(0)}")
        pool, blocks = self.text.pool, self.text.blocks
        end = self.length + key.size(2)
        while len(blocks) * pool.block_size < end:  # the first layer takes it, the others find it there
            blocks.append(pool.take())
        positions = torch.arange(self.length, end)
        table = torch.tensor(blocks)
        block, place = table[positions // pool.block_size], positions % pool.block_size
        memory = pool.memory(self.layer, key, value)
        for held, new in zip(memory, (key, value), strict=True):
            held[block, :, place] = new[0].transpose(0, 1)  # (new, heads, d_head)
        self.length = end
        keys, values = (held[table].transpose(0, 1).flatten(1, 2)[None, :, :end] for held in memory)
        return keys, values
