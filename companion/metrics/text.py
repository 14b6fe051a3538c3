"""How near a text that a model wrote is to the one that was wanted: exact match, BLEU, ROUGE.

Texts are lists of tokens, so nothing here hangs on how a text is cut into words. Chapters:
``book/algorithms/t5.ipynb``, ``book/algorithms/t5.ipynb``. Sources: Papineni et al. 2002 (BLEU), Post 2018 (how to
report it), Lin 2004 (ROUGE).
"""

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

Text = Sequence[Hashable]


@dataclass(frozen=True)
class Bleu:
    """A BLEU score and what it is made of.

    Attributes:
        score: 0 to 100.
        precisions: of 1-grams, 2-grams, …, each 0 to 1.
        brevity_penalty: 1 when the candidates are at least as long as the references.
    """

    score: float
    precisions: tuple[float, ...]
    brevity_penalty: float

    def __str__(self) -> str:
        """Return the score with one decimal, as it is reported."""
        return f"BLEU {self.score:.1f}"


def bleu(candidates: Sequence[Text], references: Sequence[Text], order: int = 4) -> Bleu:
    """Score a corpus of translations by the n-grams that they share with the references.

    ``BLEU = BP * exp(mean_n log p_n)`` with ``BP = min(1, exp(1 - r / c))`` for candidates of c tokens and references
    of r tokens (Papineni et al. 2002, section 2.3). p_n is the share of the candidates' n-grams that are in their
    reference, each counted at most as often as there. Counts are summed over the whole corpus *before* they are
    divided; the score is 0 when some p_n is.

    Args:
        candidates: one list of tokens a text.
        references: as many, in the same order.
        order: the longest n-gram.

    Raises:
        ValueError: when there is no text, the numbers of texts differ, or ``order`` is below 1.
    """
    _check(candidates, references)
    if order < 1:
        raise ValueError(f"order must be at least 1; got {order}")
    precisions = []
    for n in range(1, order + 1):
        matched = asked = 0
        for candidate, reference in zip(candidates, references, strict=True):
            found = ngrams(candidate, n)
            matched += (found & ngrams(reference, n)).total()  # & takes the smaller count: it clips
            asked += found.total()
        precisions.append(matched / asked if asked else 0.0)
    written, wanted = sum(map(len, candidates)), sum(map(len, references))
    penalty = min(1.0, math.exp(1 - wanted / written)) if written else 0.0
    mean_log = sum(map(math.log, precisions)) / order if all(precisions) else -math.inf
    return Bleu(100 * penalty * math.exp(mean_log), tuple(precisions), penalty)


def exact_match(candidates: Sequence[Text], references: Sequence[Text]) -> float:
    """Return the share of texts that equal their reference token for token.

    Raises:
        ValueError: when there is no text, or the numbers of texts differ.
    """
    _check(candidates, references)
    return sum(list(a) == list(b) for a, b in zip(candidates, references, strict=True)) / len(references)


def rouge_n(candidate: Text, reference: Text, n: int = 1) -> float:
    """Return ROUGE-n as F1, 0 to 1: the harmonic mean of precision and recall of n-grams.

    Clipped matches over the candidate's n-grams are the precision, over the reference's the recall
    (Lin 2004, section 2, where recall alone is the score).

    Raises:
        ValueError: when ``n`` is below 1.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1; got {n}")
    written, wanted = ngrams(candidate, n), ngrams(reference, n)
    return _f1((written & wanted).total(), written.total(), wanted.total())


def rouge_l(candidate: Text, reference: Text) -> float:
    """Return ROUGE-L as F1, 0 to 1: of the longest subsequence that both have, in order and with gaps.

    (Lin 2004, section 3.1, with equal weight for precision and recall.)
    """
    return _f1(longest_common_subsequence(candidate, reference), len(candidate), len(reference))


def longest_common_subsequence(a: Text, b: Text) -> int:
    """Return the length of the longest list of tokens that both texts hold in this order, gaps allowed."""
    row = [0] * (len(b) + 1)  # row[j]: of what was read of a, and the first j tokens of b
    for token in a:
        before = row
        row = [0]
        for j, other in enumerate(b):
            row.append(before[j] + 1 if token == other else max(before[j + 1], row[j]))
    return row[-1]


def ngrams(text: Text, n: int) -> Counter[tuple[Hashable, ...]]:
    """Count the runs of n tokens in a text."""
    return Counter(zip(*(text[i:] for i in range(n)), strict=False))


def _f1(matched: int, written: int, wanted: int) -> float:
    """The harmonic mean of matched / written and matched / wanted; 0 when nothing matches."""
    return 2 * matched / (written + wanted) if matched else 0.0


def _check(candidates: Sequence[Text], references: Sequence[Text]) -> None:
    if len(candidates) != len(references) or not references:
        raise ValueError(
            f"there must be as many candidates as references, at least one; got {len(candidates)} and {len(references)}"
        )
