"""FlashAttention's idea: exact attention tile by tile, by a running maximum and a running sum of exponentials.

Chapter: ``book/algorithms/inference.ipynb``. Sources: Milakov & Gimelshein 2018 (the running softmax); Dao et al. 2022,
"FlashAttention", algorithm 1; Dao 2023, "FlashAttention-2", algorithm 1, whose order of loops this is.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from companion.nn.checks import check_attention, check_integer


@dataclass(frozen=True)
class Tiled:
    """Result of attention tile by tile.

    Attributes:
        output: (…, n, d_v).
        log_sum: logarithm of each query's sum of exponentials (…, n), -inf where it may attend to nothing; two results
            over different keys are merged by it.
        largest: number of scores held at once.
        moved: numbers read from and written to the slow memory where queries, keys, values and output lie.
    """

    output: Tensor
    log_sum: Tensor
    largest: int
    moved: int


def tiled_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    *,
    query_tile: int = 64,
    key_tile: int = 64,
) -> Tiled:
    """Scaled dot-product attention that never holds more than one tile of scores.

    It computes what :func:`companion.nn.attention.scaled_dot_product_attention` does, in another order.

    Args:
        query: (…, n, d_k).
        key: (…, m, d_k).
        value: (…, m, d_v).
        mask: boolean, broadcastable to (…, n, m); True = may attend. A row that may attend to nothing gets zeros.
        query_tile: number of queries per tile.
        key_tile: number of keys per tile.

    Raises:
        ValueError: on sizes that do not fit, or a tile below 1.
        TypeError: on a mask that is not boolean.

    >>> query, key = torch.zeros(1, 2), torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> tiled_attention(query, key, torch.tensor([[10.0], [20.0]]), key_tile=1).output
    tensor([[15.]])
    """
    check_attention(query, key, value, mask)
    check_integer("query_tile", query_tile)
    check_integer("key_tile", key_tile)
    n, m = query.size(-2), key.size(-2)
    leading = torch.broadcast_shapes(query.shape[:-2], key.shape[:-2], value.shape[:-2])
    allowed = None if mask is None else mask.expand(*leading, n, m)
    tiles, largest, moved = [], 0, 0
    for top in range(0, n, query_tile):
        q = query[..., top : top + query_tile, :] / math.sqrt(query.size(-1))
        tile = _Rows.empty(leading, q.size(-2), value)
        moved += q.numel() + tile.output.numel()  # read once, written once
        for left in range(0, m, key_tile):
            k, v = key[..., left : left + key_tile, :], value[..., left : left + key_tile, :]
            scores = q @ k.transpose(-2, -1)  # (…, query_tile, key_tile)
            if allowed is not None:
                scores = scores.masked_fill(~allowed[..., top : top + query_tile, left : left + key_tile], -math.inf)
            tile = tile.with_keys(scores, v)
            largest, moved = max(largest, scores.numel()), moved + k.numel() + v.numel()
        tiles.append(tile)
    output = torch.cat([tile.divided() for tile in tiles], dim=-2)
    log_sum = torch.cat([tile.maximum + tile.total.log() for tile in tiles], dim=-1)
    return Tiled(output, log_sum, largest, moved)


@dataclass(frozen=True)
class _Rows:
    """What is kept of a tile's queries: maximum and sum (…, rows), and output before the division (…, rows, d_v)."""

    maximum: Tensor
    total: Tensor
    output: Tensor

    @classmethod
    def empty(cls, leading: torch.Size, rows: int, value: Tensor) -> "_Rows":
        """Rows that have seen no key."""
        total = value.new_zeros(*leading, rows)
        return cls(total - math.inf, total, value.new_zeros(*leading, rows, value.size(-1)))

    def with_keys(self, scores: Tensor, value: Tensor) -> "_Rows":
        """These rows after more keys: what was summed below a smaller maximum is scaled down to the new one."""
        maximum = torch.maximum(self.maximum, scores.amax(-1))
        finite = maximum.masked_fill(maximum == -math.inf, 0.0)  # of a row that has seen masked keys only
        weights = (scores - finite[..., None]).exp()
        shrink = (self.maximum - finite).exp()
        total = shrink * self.total + weights.sum(-1)
        return _Rows(maximum, total, shrink[..., None] * self.output + weights @ value)

    def divided(self) -> Tensor:
        """The output; zeros where a row has seen no key."""
        return self.output / self.total.masked_fill(self.total == 0, 1.0)[..., None]


def plain_moved(n: int, m: int, d_k: int, d_v: int) -> int:
    """Numbers that attention in three steps moves to and from slow memory: scores and weights are written and read.

    ``n d_k + m (d_k + d_v) + n d_v + 4 n m`` for one head (Dao et al. 2022, algorithm 0).

    Args:
        n: number of queries.
        m: number of keys.
        d_k: size of a query.
        d_v: size of a value.

    >>> plain_moved(2, 3, 4, 4)
    64
    """
    return n * d_k + m * (d_k + d_v) + n * d_v + 4 * n * m


def tiled_moved(n: int, m: int, d_k: int, d_v: int, query_tile: int) -> int:
    """Numbers that :func:`tiled_attention` moves for one head: keys and values once for each tile of queries.

    ``n (d_k + d_v) + ceil(n / query_tile) m (d_k + d_v)``.

    >>> tiled_moved(2, 3, 4, 4, query_tile=2)
    40
    """
    return (n + -(-n // query_tile) * m) * (d_k + d_v)
