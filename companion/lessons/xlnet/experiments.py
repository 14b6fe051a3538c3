"""Experiments of the chapter on XLNet: stories in random orders, and how far a head looks.

Chapter: ``book/algorithms/xlnet.ipynb``. ``benchmarks/xlnet.py`` repeats it with five seeds.
"""

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from companion.data.batch import IGNORED, fill_ignored
from companion.losses.permutation import Permuted, permute


def permuted(batches: Iterable[Tensor], seed: int, fraction: float = 1 / 3) -> Iterator[Permuted]:
    """Batches of story rows, each row with a random factorisation order whose last tokens are predicted.

    >>> (batch,) = permuted([torch.tensor([[4, 5, 6], [7, 8, IGNORED]])], seed=0)
    >>> batch.targets.shape
    torch.Size([2, 1])

    Args:
        batches: token ids (batch, length), ``IGNORED`` after the end of a row.
        seed: seed of the orders.
        fraction: expected fraction of the tokens that are predicted.
    """
    draw = torch.Generator().manual_seed(seed)
    for told in batches:
        yield permute(fill_ignored(told), told != IGNORED, fraction=fraction, generator=draw)


def attention_by_distance(weights: Tensor, at: Tensor, real: Tensor, reach: Sequence[int]) -> Tensor:
    """Mean attention of each head to the tokens at each distance, over the real queries: (heads, distances).

    >>> attention_by_distance(torch.eye(2)[None, None], torch.tensor([[0, 1]]), torch.ones(1, 2), [0, 1])
    tensor([[1., 0.]])

    Args:
        weights: (batch, heads, queries, keys).
        at: position of each query (batch, queries).
        real: True or 1 where a query is real, (batch, queries).
        reach: distances, position of the query less that of the key.
    """
    distance = at[..., None] - torch.arange(weights.size(-1), device=weights.device)  # (batch, queries, keys)
    weights = weights * real[:, None, :, None]
    near = [(weights * (distance == far)[:, None]).sum((0, 2, 3)) for far in reach]
    return torch.stack(near, 1).cpu() / real.sum().item()
