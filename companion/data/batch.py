"""What a batch is made of: rows of token ids in one tensor, the mark of a missing target, and safe precision.

Chapter: ``book/algorithms/denoising.ipynb``.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

IGNORED = -100  # stands where a row has no token, and where nothing is asked


def padded(rows: Sequence[Sequence[int]], value: int = 0) -> tuple[Tensor, Tensor]:
    """Lay rows of numbers out as one tensor, filled up at the end.

    Args:
        rows: one list of numbers each, none of them empty.
        value: what stands after a row's end.

    Returns:
        numbers (rows, longest) and a boolean mask of the same shape, True = a real one.

    Raises:
        ValueError: when there is no row, or an empty one.
    """
    if not rows or not all(rows):
        raise ValueError("there must be at least one row, and none of them empty")
    lengths = torch.tensor([len(row) for row in rows])
    laid = torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=value)
    return laid, torch.arange(laid.size(1))[None] < lengths[:, None]


def fill_ignored(ids: Tensor) -> Tensor:
    """Return ids that a model can look up: token 0 in the place of padding."""
    return ids.masked_fill(ids == IGNORED, 0)


def upcast(x: Tensor) -> Tensor:
    """Bring half precision to single, in which a logarithm of a sum is safe, and leave higher precision alone."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
