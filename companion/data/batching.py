"""Rows of about the same length in one batch, so that little of it is padding.

Chapter: ``book/concepts/storyworld.ipynb``.
"""

from collections.abc import Iterator, Sequence

import torch

POOL = 16  # batches that are drawn at once and sorted by length: little padding, and still mixed


def by_length(lengths: Sequence[int], batch_size: int, order: torch.Generator) -> Iterator[list[int]]:
    """Deal rows out in batches of neighbours in length, the batches in random order.

    Args:
        lengths: of the rows.
        batch_size: rows a batch; the last rows make a smaller one.
        order: draws the order of the batches.

    Yields:
        the numbers of a batch's rows; each row comes once.

    Raises:
        ValueError: when ``batch_size`` is below 1.
    """
    check_batch_size(batch_size)
    ranked = sorted(range(len(lengths)), key=lengths.__getitem__)
    batches = [ranked[i : i + batch_size] for i in range(0, len(ranked), batch_size)]
    for i in torch.randperm(len(batches), generator=order).tolist():
        yield batches[i]


def length_buckets(lengths: Sequence[int], batch_size: int, seed: int = 0) -> Iterator[list[int]]:
    """Go through rows again and again, each time in another order, in batches of about the same length.

    Args:
        lengths: of the rows, at least one.
        batch_size: rows a batch.
        seed: of the order.

    Yields:
        the numbers of a batch's rows, without end.

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
    """Raise ValueError when a batch would hold no row."""
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1; got {batch_size}")
