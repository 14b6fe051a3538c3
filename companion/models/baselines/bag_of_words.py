"""Lexical retrieval by bags of words: tf-idf and BM25.

Chapter: ``book/algorithms/denoising.ipynb``. Source: Robertson & Zaragoza 2009, "The Probabilistic Relevance Framework:
BM25 and Beyond", section 3.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from companion.losses.contrastive import similarity


class BagOfWords:
    """Documents as counts of words, weighted by inverse document frequency.

    A word that df of N documents contain has the weight ``idf = log(1 + (N - df + 1/2) / (df + 1/2))``.

    Example:
        >>> documents = BagOfWords([["a", "cat"], ["a", "dog", "barks"]])
        >>> scores = documents.bm25([["dog"]])
        >>> scores.argmax(1).tolist(), float(scores[0, 0])
        ([1], 0.0)
    """

    def __init__(self, documents: Sequence[Sequence[str]]) -> None:
        """Count the words of each document.

        Raises:
            ValueError: when there is no document, or an empty one.
        """
        if not documents or not all(documents):
            raise ValueError("there must be at least one document, and none of them empty")
        words = sorted({word for document in documents for word in document})
        self._number = {word: i for i, word in enumerate(words)}
        self._counts = self._count(documents)  # (documents, words)
        found = (self._counts > 0).sum(0)
        self._weight = (1 + (len(documents) - found + 0.5) / (found + 0.5)).log()  # (words,)

    def cosine(self, queries: Sequence[Sequence[str]]) -> Tensor:
        """Return the cosine similarity of tf-idf vectors, of each query and document: (queries, documents)."""
        return similarity(self._count(queries) * self._weight, self._counts * self._weight)

    def bm25(self, queries: Sequence[Sequence[str]], k1: float = 1.2, b: float = 0.75) -> Tensor:
        """Return the BM25 score of each query and document: (queries, documents).

        ``sum over words w of the query of idf(w) f (k1 + 1) / (f + k1 (1 - b + b n / mean n))``, f being how often the
        document has the word and n its length: the second time counts less than the first, and long documents less.

        Args:
            queries: words of each query; those that no document contains are ignored.
            k1: saturation; the smaller, the less further occurrences of a word count.
            b: strength of the length normalisation, 0 to 1.
        """
        n = self._counts.sum(1, keepdim=True)  # (documents, 1)
        saturated = self._counts * (k1 + 1) / (self._counts + k1 * (1 - b + b * n / n.mean()))
        return self._count(queries) @ (saturated * self._weight).T

    def _count(self, texts: Sequence[Sequence[str]]) -> Tensor:
        counts = torch.zeros(len(texts), len(self._number))
        for row, text in zip(counts, texts, strict=True):
            for word in text:
                if word in self._number:
                    row[self._number[word]] += 1
        return counts
