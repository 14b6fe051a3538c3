"""Length-bucketed batches: rows of about the same length together, so that little of a batch is padding.

Chapter: ``book/concepts/storyworld.ipynb``.
"""

from collections.abc import Iterator, Sequence

import torch

from companion.nn.checks import check_integer

POOL = 16  # batches drawn at once and sorted by length: little padding, and still mixed


def by_length(lengths: Sequence[int], batch_size: int, order: torch.Generator) -> Iterator[list[int]]:
    """Batches of rows that are neighbours in length, in random order.

    >>> sorted(by_length([9, 2, 8, 3], batch_size=2, order=torch.Generator()))
    [[1, 3], [2, 0]]

    Args:
        lengths: length of each row.
        batch_size: rows per batch; the longest rows may make a smaller one.
        order: generator that draws the order of the batches.

    Yields:
        the row indices of a batch; each row comes once.

    Raises:
        ValueError: when ``batch_size`` is below 1.
    """
    check_batch_size(batch_size)
    ranked = sorted(range(len(lengths)), key=lengths.__getitem__)
    batches = [ranked[i : i + batch_size] for i in range(0, len(ranked), batch_size)]
    for i in torch.randperm(len(batches), generator=order).tolist():
        yield batches[i]


def length_buckets(lengths: Sequence[int], batch_size: int, seed: int = 0) -> Iterator[list[int]]:
    """Batches of rows of about the same length, epoch after epoch without end, each epoch in a new order.

    >>> batches = length_buckets([9, 2, 8, 3], batch_size=2)
    >>> sorted([next(batches), next(batches)])
    [[1, 3], [2, 0]]

    Args:
        lengths: length of each row, at least one.
        batch_size: rows per batch.
        seed: seed of the order.

    Yields:
        the row indices of a batch.

    Raises:
        ValueError: when there is no row, or ``batch_size`` is below 1.
    """
    if not lengths:
        raise ValueError("there must be at least one row")
    check_batch_size(batch_size)
    order = torch.Generator().manual_seed(seed)
    while True:
        shuffled = torch.randperm(len(lengths), generator=order).tolist()
        for start in range(0, len(shuffled), POOL * batch_size):
            pool = shuffled[start : start + POOL * batch_size]
            for batch in by_length([lengths[i] for i in pool], batch_size, order):
                yield [pool[i] for i in batch]


def check_batch_size(batch_size: int) -> None:
    """Raise ValueError when a batch would hold no row, or part of one."""
    check_integer("batch_size", batch_size)
