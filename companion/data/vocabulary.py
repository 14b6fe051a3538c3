"""A vocabulary of whole words: tokens and their ids.

Chapter: ``book/algorithms/bert.ipynb``.
"""

from collections.abc import Iterable

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

    def decode(self, numbers: Iterable[int] | Tensor) -> list[str]:
        """Tokens of ids."""
        return [self.tokens[int(i)] for i in numbers]
