"""The naive Bayes classifier of texts, on bags of words.

Chapter: ``book/concepts/storyworld.ipynb``. Source: McCallum & Nigam 1998, "A Comparison of Event Models for Naive
Bayes Text Classification", section 2.2 (the multinomial model).
"""

import math
from collections import Counter
from collections.abc import Sequence

from companion.data.checks import check_list


class NaiveBayes:
    """The label of the highest posterior probability, as if each word were drawn independently given the label.

    ``p(label | words)`` is proportional to ``p(label) * product of p(word | label)``, with one added to each count.

    Example:
        >>> model = NaiveBayes([["good", "film"], ["bad", "film"]], ["positive", "negative"])
        >>> model.predict(["a", "good", "book"])
        'positive'
    """

    def __init__(self, texts: Sequence[Sequence[str]], labels: Sequence[str]) -> None:
        """Count the words of each label.

        Args:
            texts: words of each text.
            labels: label of each text.

        Raises:
            ValueError: when there is no text, not one label for each, or a string in the place of a list of words.
        """
        check_list("texts", texts, *texts)
        check_list("labels", labels)
        if not texts or len(texts) != len(labels):
            raise ValueError(f"there must be one label a text and at least one; got {len(texts)} and {len(labels)}")
        words = {word for text in texts for word in text}
        self._prior = {label: math.log(count / len(labels)) for label, count in sorted(Counter(labels).items())}
        self._log_probs: dict[str, dict[str, float]] = {}
        for label in self._prior:
            counts = Counter(word for text, of in zip(texts, labels, strict=True) if of == label for word in text)
            total = counts.total() + len(words)
            self._log_probs[label] = {word: math.log((counts[word] + 1) / total) for word in sorted(words)}

    def predict(self, text: Sequence[str]) -> str:
        """Return the likeliest label; words that were never counted are ignored, and a string is refused."""
        check_list("text", text)
        scores = {
            label: prior + math.fsum(self._log_probs[label].get(word, 0.0) for word in text)
            for label, prior in self._prior.items()
        }
        return max(scores, key=scores.__getitem__)

    def accuracy(self, texts: Sequence[Sequence[str]], labels: Sequence[str]) -> float:
        """Return the accuracy: the fraction of texts whose label is predicted.

        Raises:
            ValueError: when there is no text, not one label for each, or a string in the place of a list of words.
        """
        check_list("texts", texts, *texts)
        check_list("labels", labels)
        if not texts or len(texts) != len(labels):
            raise ValueError(f"there must be one label a text and at least one; got {len(texts)} and {len(labels)}")
        return sum(self.predict(text) == label for text, label in zip(texts, labels, strict=True)) / len(labels)
