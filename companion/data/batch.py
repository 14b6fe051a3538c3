"""Rows of token ids in one tensor, the mark of a missing target, and single precision where it matters.

Chapter: ``book/algorithms/denoising.ipynb``.
"""

import functools
from collections.abc import Sequence

import torch
from torch import Tensor

IGNORED = -100  # the id at positions without a token, and the target at positions without a prediction


def padded(rows: Sequence[Sequence[int]], value: int = 0) -> tuple[Tensor, Tensor]:
    """One tensor of rows of numbers, padded at the end to the longest row, and its mask.

    >>> ids, mask = padded([[5, 6, 7], [8]])
    >>> ids.tolist(), mask.tolist()
    ([[5, 6, 7], [8, 0, 0]], [[True, True, True], [True, False, False]])

    Args:
        rows: lists of numbers, none of them empty.
        value: number that pads a row.

    Returns:
        numbers (rows, longest) and a boolean mask of the same shape, True = a real one.

    Raises:
        ValueError: when there is no row, or an empty one.
    """
    if not len(rows) or not all(len(row) for row in rows):
        raise ValueError("there must be at least one row, and none of them empty")
    lengths = torch.tensor([len(row) for row in rows])
    numbers = [torch.as_tensor(row) for row in rows]
    widest = functools.reduce(torch.promote_types, (row.dtype for row in numbers))  # or fractions would be cut off
    laid = torch.nn.utils.rnn.pad_sequence([row.to(widest) for row in numbers], batch_first=True, padding_value=value)
    return laid, torch.arange(laid.size(1))[None] < lengths[:, None]


def fill_ignored(ids: Tensor) -> Tensor:
    """Ids with token 0 in place of ``IGNORED``, so that an embedding table can look them up.

    >>> fill_ignored(torch.tensor([7, IGNORED])).tolist()
    [7, 0]
    """
    return ids.masked_fill(ids == IGNORED, 0)


def upcast(x: Tensor) -> Tensor:
    """Half precision upcast to single, in which a log-sum-exp is safe; higher precision unchanged.

    >>> upcast(torch.ones(1, dtype=torch.bfloat16)).dtype, upcast(torch.ones(1, dtype=torch.float64)).dtype
    (torch.float32, torch.float64)
    """
    return x.to(torch.promote_types(x.dtype, torch.float32))
