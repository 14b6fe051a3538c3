"""Whole words and their numbers, and rows of different lengths in one tensor.

Chapter: ``book/algorithms/bert.ipynb``.
"""

from collections.abc import Iterable

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
