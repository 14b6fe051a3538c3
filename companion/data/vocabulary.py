"""A vocabulary of whole words: tokens and their ids.

Chapter: ``book/algorithms/bert.ipynb``.
"""

import operator
from collections.abc import Iterable
from typing import SupportsIndex

from torch import Tensor


class Vocabulary:
    """A list of distinct tokens; a token's id is its index in the list.

    >>> words = Vocabulary(["the", "cat", "sat"])
    >>> words.encode(["cat", "sat"]), words.decode([0, 1])
    ([1, 2], ['the', 'cat'])
    """

    def __init__(self, tokens: Iterable[str]) -> None:
        """Number the tokens in their order.

        Raises:
            ValueError: when a token comes twice, naming it.
        """
        self.tokens = list(tokens)
        self._number = {token: i for i, token in enumerate(self.tokens)}
        if len(self._number) < len(self.tokens):
            twice = next(token for i, token in enumerate(self.tokens) if self._number[token] != i)
            raise ValueError(f"each token must be in the vocabulary once; {twice!r} comes twice")

    def __len__(self) -> int:
        """Size of the vocabulary."""
        return len(self.tokens)

    def number(self, token: str) -> int:
        """Id of a token.

        Raises:
            ValueError: when the vocabulary has no such token.
        """
        if token not in self._number:
            raise ValueError(f"{token!r} is none of the {len(self)} tokens of the vocabulary")
        return self._number[token]

    def encode(self, tokens: Iterable[str]) -> list[int]:
        """Ids of tokens; errors as :meth:`number`."""
        return [self.number(token) for token in tokens]

    def decode(self, numbers: Iterable[SupportsIndex] | Tensor) -> list[str]:
        """Tokens of ids.

        Raises:
            ValueError: on what is no integer, or out of range.
        """
        ids = numbers.tolist() if isinstance(numbers, Tensor) else list(numbers)
        return [self.tokens[self._place(i)] for i in ids]

    def _place(self, number: SupportsIndex) -> int:
        try:
            place = operator.index(number)
        except TypeError as error:
            raise ValueError(f"an id must be an integer; got {number!r:.80}") from error
        if not 0 <= place < len(self.tokens):  # a negative one would count from the end
            raise ValueError(f"an id must be 0 to {len(self.tokens) - 1}; got {place}")
        return place
