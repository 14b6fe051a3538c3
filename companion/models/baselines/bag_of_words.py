"""Lexical retrieval by bags of words: tf-idf and BM25, and a counted dictionary for queries in other words.

Chapter: ``book/algorithms/retrieval.ipynb``. Sources: Robertson & Zaragoza 2009, "The Probabilistic Relevance
Framework: BM25 and Beyond", section 3; Smadja et al. 1996, "Translating Collocations for Bilingual Lexicons: A
Statistical Approach" (the Dice coefficient).
"""

import itertools
from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

from companion.data.checks import check_list
from companion.losses.contrastive import similarity


class BagOfWords:
    """Documents as counts of words, weighted by inverse document frequency.

    A word that df of N documents contain has the weight ``idf = log(1 + (N - df + 1/2) / (df + 1/2))``. The 1 in the
    logarithm is no part of the paper's weight; search engines add it, so that no weight is below 0.

    Example:
        >>> documents = BagOfWords([["a", "cat"], ["a", "dog", "barks"]])
        >>> scores = documents.bm25([["dog"]])
        >>> scores.argmax(1).tolist(), float(scores[0, 0])
        ([1], 0.0)
    """

    def __init__(self, documents: Sequence[Sequence[str]]) -> None:
        """Count the words of each document.

        Raises:
            ValueError: when there is no document, an empty one, or a string in the place of a list of words.
        """
        check_list("words of a document", documents, *documents)
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
        The factor ``k1 + 1`` is the same for all and changes no ranking. A word that the query has twice counts twice.

        Args:
            queries: words of each query; those that no document contains are ignored.
            k1: saturation; the smaller, the less further occurrences of a word count.
            b: strength of the length normalisation, 0 to 1.
        """
        n = self._counts.sum(1, keepdim=True)  # (documents, 1)
        saturated = self._counts * (k1 + 1) / (self._counts + k1 * (1 - b + b * n / n.mean()))
        return self._count(queries) @ (saturated * self._weight).T

    def _count(self, texts: Sequence[Sequence[str]]) -> Tensor:
        check_list("words of a text", texts, *texts)
        counts = torch.zeros(len(texts), len(self._number))
        for row, text in zip(counts, texts, strict=True):
            for word in text:
                if word in self._number:
                    row[self._number[word]] += 1
        return counts


def dice_dictionary(pairs: Sequence[tuple[Sequence[str], Sequence[str]]]) -> dict[str, str]:
    """Translation dictionary of parallel texts: to each source word the target word of the highest Dice coefficient.

    ``dice(a, b) = 2 n(a, b) / (n(a) + n(b))``, with n the number of pairs in which the word occurs, or both do.

    Args:
        pairs: source text and target text of each pair, as words.

    Raises:
        ValueError: when there is no pair, or a string in the place of a list of words.

    Example:
        >>> dice_dictionary([(["a", "key"], ["一把", "钥匙"]), (["a", "ball"], ["一把", "球"])])["key"]
        '钥匙'
    """
    check_list("words of a text", *(text for pair in pairs for text in pair))
    if not pairs:
        raise ValueError("at least one pair of texts is needed; got none")
    sources, targets, together = Counter[str](), Counter[str](), Counter[tuple[str, str]]()
    for one, other in pairs:
        source, target = set(one), set(other)
        sources.update(source)
        targets.update(target)
        together.update(itertools.product(source, target))
    best: dict[str, tuple[float, str]] = {}
    for (source_word, target_word), both in together.items():
        dice = 2 * both / (sources[source_word] + targets[target_word])
        best[source_word] = max(best.get(source_word, (0.0, "")), (dice, target_word))
    return {word: translation for word, (_, translation) in best.items()}
