"""Metrics of generated texts against references: exact match, BLEU, ROUGE.

Texts are lists of tokens, so nothing here depends on a tokenizer. Chapter: ``book/algorithms/t5.ipynb``. Sources:
Papineni et al. 2002 (BLEU), Post 2018 (how to report it), Lin 2004 (ROUGE).
"""

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from torch import Tensor

from companion.nn.checks import check_integer

Text = Sequence[Hashable]


@dataclass(frozen=True)
class Bleu:
    """A BLEU score with its components.

    Attributes:
        score: BLEU, 0 to 100.
        precisions: clipped n-gram precisions of 1-grams, 2-grams, …, each 0 to 1.
        brevity_penalty: 1 when the candidates are at least as long as the references, else below 1.
    """

    score: float
    precisions: tuple[float, ...]
    brevity_penalty: float

    def __str__(self) -> str:
        """Score with one decimal, as it is usually reported."""
        return f"BLEU {self.score:.1f}"


def bleu(candidates: Sequence[Text], references: Sequence[Text], order: int = 4) -> Bleu:
    """Corpus BLEU of generated texts, with one reference each.

    ``BLEU = BP * exp(mean_n log p_n)`` with ``BP = min(1, exp(1 - r / c))`` for candidates of c tokens and references
    of r tokens (Papineni et al. 2002, section 2.3). p_n is the fraction of the candidates' n-grams that are in their
    reference, clipped: each counts at most as often as there. Counts are summed over the whole corpus *before* they
    are divided; the score is 0 when some p_n is.

    >>> print(bleu(["the cat sat on a mat".split()], ["the cat sat on the mat".split()]))
    BLEU 53.7

    Args:
        candidates: tokens of each generated text.
        references: tokens of each reference, in the same order.
        order: length of the longest n-grams.

    Raises:
        ValueError: when there is no text, the numbers of texts differ, one is a string, or ``order`` is not 1 to 100.
    """
    _check(candidates, references)
    if not 1 <= order <= 100:
        raise ValueError(f"order must be 1 to 100; got {order}")
    precisions = []
    for n in range(1, order + 1):
        matched = total = 0
        for candidate, reference in zip(candidates, references, strict=True):
            found = ngrams(candidate, n)
            matched += (found & ngrams(reference, n)).total()  # & takes the smaller count: it clips
            total += found.total()
        precisions.append(matched / total if total else 0.0)
    c, r = sum(map(len, candidates)), sum(map(len, references))
    penalty = min(1.0, math.exp(1 - r / c)) if c else 0.0
    mean_log = sum(map(math.log, precisions)) / order if all(precisions) else -math.inf
    return Bleu(100 * penalty * math.exp(mean_log), tuple(precisions), penalty)


def exact_match(candidates: Sequence[Text], references: Sequence[Text]) -> float:
    """Exact match: the fraction of texts that equal their reference token for token.

    >>> exact_match([["a", "b"], ["a"]], [["a", "b"], ["b"]])
    0.5

    Raises:
        ValueError: when there is no text, the numbers of texts differ, or one is a string.
    """
    _check(candidates, references)
    return sum(list(a) == list(b) for a, b in zip(candidates, references, strict=True)) / len(references)


def rouge_n(candidate: Text, reference: Text, n: int = 1) -> float:
    """ROUGE-n as F1, 0 to 1: the harmonic mean of precision and recall of n-grams.

    Precision is the fraction of the candidate's n-grams that match, clipped, recall that of the reference's
    (Lin 2004, section 2, where recall alone is the score).

    >>> rouge_n("the cat sat".split(), "the cat".split())  # precision 2/3, recall 1
    0.8

    Raises:
        ValueError: when ``n`` is below 1, or a text is a string.
    """
    check_integer("n", n)
    check_tokens(candidate, reference)
    ours, theirs = ngrams(candidate, n), ngrams(reference, n)
    return _f1((ours & theirs).total(), ours.total(), theirs.total())


def rouge_l(candidate: Text, reference: Text) -> float:
    """ROUGE-L as F1, 0 to 1, from the longest common subsequence.

    (Lin 2004, section 3.1, with equal weight for precision and recall.)

    >>> rouge_l("the black cat sat".split(), "the cat sat here".split())
    0.75

    Raises:
        ValueError: when a text is a string.
    """
    check_tokens(candidate, reference)
    return _f1(longest_common_subsequence(candidate, reference), len(candidate), len(reference))


def longest_common_subsequence(a: Text, b: Text) -> int:
    """Length of the longest common subsequence of two texts.

    >>> longest_common_subsequence("the black cat sat".split(), "the cat sat here".split())
    3
    """
    check_tokens(a, b)
    row = [0] * (len(b) + 1)  # row[j]: length for the tokens of a so far, and the first j tokens of b
    for token in a:
        before = row
        row = [0]
        for j, other in enumerate(b):
            row.append(before[j] + 1 if token == other else max(before[j + 1], row[j]))
    return row[-1]


def ngrams(text: Text, n: int) -> Counter[tuple[Hashable, ...]]:
    """Counts of the n-grams of a text.

    >>> ngrams(["a", "b", "a", "b"], 2)
    Counter({('a', 'b'): 2, ('b', 'a'): 1})
    """
    check_tokens(text)
    return Counter(zip(*(text[i:] for i in range(n)), strict=False))


def _f1(matched: int, ours: int, theirs: int) -> float:
    """Harmonic mean of precision, matched / ours, and recall, matched / theirs; 0 when nothing matches."""
    return 2 * matched / (ours + theirs) if matched else 0.0


def check_tokens(*texts: Text) -> None:
    """Check that texts are lists of tokens: a string would be taken for the list of its characters.

    Numbers of a tensor are no tokens: two of them are never the same key, whatever their values.

    Raises:
        ValueError: on a string, which it names, and on a tensor.
    """
    for text in texts:
        if isinstance(text, str | bytes):
            raise ValueError(f"a text must be a list of tokens, not a string: split {text[:40]!r} first")
        if isinstance(text, Tensor):
            raise ValueError(f"a text must be a list of tokens, not a tensor {tuple(text.shape)}: call tolist() first")


def _check(candidates: Sequence[Text], references: Sequence[Text]) -> None:
    if len(candidates) != len(references) or not references:
        raise ValueError(
            f"there must be as many candidates as references, at least one; got {len(candidates)} and {len(references)}"
        )
    check_tokens(candidates, references, *candidates, *references)
