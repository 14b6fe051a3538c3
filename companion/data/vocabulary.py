"""Whole words and their numbers, and rows of different lengths in one tensor.

Chapter: ``book/algorithms/bert.ipynb``.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor


class Vocabulary:
    """A list of different tokens; a token's number is its place in the list."""

    def __init__(self, tokens: Iterable[str]) -> None:
        """Keep the tokens.

        Raises:
            ValueError: when a token comes twice, naming it.
        """
        self.tokens = list(tokens)
        self._number = {token: i for i, token in enumerate(self.tokens)}
        if len(self._number) < len(self.tokens):
            twice = next(token for i, token in enumerate(self.tokens) if self._number[token] != i)
            raise ValueError(f"each token must be in the vocabulary once; {twice!r} comes twice")

    def __len__(self) -> int:
        """Return the number of tokens."""
        return len(self.tokens)

    def number(self, token: str) -> int:
        """Return a token's number.

        Raises:
            ValueError: when the vocabulary has no such token.
        """
        if token not in self._number:
            raise ValueError(f"{token!r} is none of the {len(self)} tokens of the vocabulary")
        return self._number[token]

    def encode(self, tokens: Iterable[str]) -> list[int]:
        """Return the numbers of tokens; errors as :meth:`number`."""
        return [self.number(token) for token in tokens]

    def decode(self, numbers: Iterable[int] | Tensor) -> list[str]:
        """Return the tokens of numbers."""
        return [self.tokens[int(i)] for i in numbers]


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
