"""Relative position bias: T5 adds to each score a learned number for the distance between query and key.

Chapter: ``book/algorithms/t5.ipynb``. Source: Raffel et al. 2020, "Exploring the Limits of Transfer Learning with a
Unified Text-to-Text Transformer", section 2.1.
"""

import math

import torch
from torch import Tensor, nn


def relative_bucket(distance: Tensor, *, both_ways: bool, n_buckets: int = 32, max_distance: int = 128) -> Tensor:
    """Return the bucket of each relative position: one per distance when near, logarithmically wider when far.

    With b buckets per direction and e = b / 2, a distance d below e has bucket d; a longer one has
    ``e + floor((b - e) log(d / e) / log(max_distance / e))``, at most b - 1 (the code of T5's release).

    Args:
        distance: integers, the key's position minus the query's.
        both_ways: whether half of the buckets are for later keys; otherwise later keys share bucket 0 with the query.
        n_buckets: number of buckets, of both directions together.
        max_distance: distance from which on all share the last bucket.

    Returns:
        integers 0 to ``n_buckets`` - 1, of the same shape.

    Raises:
        ValueError: on sizes that :func:`check_buckets` refuses.

    Example:
        >>> relative_bucket(torch.tensor([0, -1, -2, -7, -50, 3]), both_ways=False, n_buckets=8, max_distance=16)
        tensor([0, 1, 2, 5, 7, 0])
    """
    check_buckets(n_buckets, max_distance)
    buckets = n_buckets // 2 if both_ways else n_buckets  # per direction
    exact = buckets // 2
    first = buckets * (distance > 0) if both_ways else 0
    apart = distance.abs() if both_ways else (-distance).clamp(min=0)
    fraction = (apart.clamp(min=1).float() / exact).log() / math.log(max_distance / exact)
    far = (exact + (fraction * (buckets - exact)).long()).clamp(max=buckets - 1)
    return first + torch.where(apart < exact, apart, far)


def check_buckets(n_buckets: int, max_distance: int) -> None:
    """Check that there are buckets for near and for far distances, in both directions.

    Raises:
        ValueError: when there are fewer than 4, or ``max_distance`` is so near that it has a bucket of its own.
    """
    if n_buckets < 4 or max_distance <= n_buckets // 2:
        raise ValueError(
            f"n_buckets must be at least 4, and max_distance above half of it; got {n_buckets} and {max_distance}"
        )


class RelativeBias(nn.Module):
    """A learned bias for each bucket of distances and each head, added to the attention scores."""

    def __init__(self, n_heads: int, n_buckets: int = 32, max_distance: int = 128, *, both_ways: bool) -> None:
        """Make the table (n_buckets, n_heads); other arguments and errors are those of :func:`relative_bucket`."""
        super().__init__()
        check_buckets(n_buckets, max_distance)
        self.table = nn.Embedding(n_buckets, n_heads)
        self.max_distance = max_distance
        self.both_ways = both_ways

    def forward(self, query_length: int, key_length: int) -> Tensor:
        """Return (n_heads, query, key); the queries are the *last* ``query_length`` of the key positions."""
        position = torch.arange(key_length, device=self.table.weight.device)
        distance = position - position[key_length - query_length :, None]  # (query, key)
        return self.of(distance).permute(2, 0, 1)

    def of(self, distance: Tensor) -> Tensor:
        """Relative positions (…), key minus query -> the bias (…, n_heads)."""
        sizes = {"n_buckets": self.table.num_embeddings, "max_distance": self.max_distance}
        bias: Tensor = self.table(relative_bucket(distance, both_ways=self.both_ways, **sizes))
        return bias
