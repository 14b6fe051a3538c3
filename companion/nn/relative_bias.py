"""How far apart two positions are, told to attention as one number a head: T5's bias.

Chapter: ``book/algorithms/t5.ipynb``. Source: Raffel et al. 2020, "Exploring the Limits of Transfer Learning with a
Unified Text-to-Text Transformer", section 2.1.
"""

import math

import torch
from torch import Tensor, nn


def relative_bucket(distance: Tensor, *, both_ways: bool, n_buckets: int = 32, max_distance: int = 128) -> Tensor:
    """Sort distances into buckets: near ones each into its own, far ones into wider and wider ones.

    With b buckets a direction and e = b / 2, a distance d below e has bucket d; a longer one has
    ``e + floor((b - e) log(d / e) / log(max_distance / e))``, at most b - 1 (the code of T5's release).

    Args:
        distance: integers, the key's position minus the query's.
        both_ways: half of the buckets are for keys that come later; otherwise those share bucket 0 with the query.
        n_buckets: in all.
        max_distance: distances from here on share the last bucket.

    Returns:
        integers 0 to ``n_buckets`` - 1, of the same shape.

    Raises:
        ValueError: see :func:`check_buckets`.
    """
    check_buckets(n_buckets, max_distance)
    buckets = n_buckets // 2 if both_ways else n_buckets  # a direction
    exact = buckets // 2
    first = buckets * (distance > 0) if both_ways else 0
    apart = distance.abs() if both_ways else (-distance).clamp(min=0)
    share = (apart.clamp(min=1).float() / exact).log() / math.log(max_distance / exact)
    far = (exact + (share * (buckets - exact)).long()).clamp(max=buckets - 1)
    return first + torch.where(apart < exact, apart, far)


def check_buckets(n_buckets: int, max_distance: int) -> None:
    """Check that there are buckets for near and for far distances, in both directions.

    Raises:
        ValueError: when there are fewer than 4, or ``max_distance`` is one that has a bucket of its own.
    """
    if n_buckets < 4 or max_distance <= n_buckets // 2:
        raise ValueError(
            f"n_buckets must be at least 4, and max_distance above half of it; got {n_buckets} and {max_distance}"
        )


class RelativeBias(nn.Module):
    """A learned number for each bucket of distances and each head, added to the scores of attention."""

    def __init__(self, n_heads: int, n_buckets: int = 32, max_distance: int = 128, *, both_ways: bool) -> None:
        """Make the table (n_buckets, n_heads); arguments and errors are those of :func:`relative_bucket`."""
        super().__init__()
        check_buckets(n_buckets, max_distance)
        self.table = nn.Embedding(n_buckets, n_heads)
        self.max_distance = max_distance
        self.both_ways = both_ways

    def forward(self, query_length: int, key_length: int) -> Tensor:
        """Return (n_heads, query, key); the queries are the *last* ``query_length`` of the key positions."""
        place = torch.arange(key_length, device=self.table.weight.device)
        distance = place - place[key_length - query_length :, None]  # (query, key)
        return self.of(distance).permute(2, 0, 1)

    def of(self, distance: Tensor) -> Tensor:
        """Integers (…), key minus query -> the bias (…, n_heads)."""
        sizes = {"n_buckets": self.table.num_embeddings, "max_distance": self.max_distance}
        return self.table(relative_bucket(distance, both_ways=self.both_ways, **sizes))
