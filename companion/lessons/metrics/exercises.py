"""Exercises of ``book/formulas/metrics.ipynb``."""

import math
from collections.abc import Callable
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from companion.lessons.exercise_check import Exercise, Mistake
from companion.metrics.classification import report
from companion.metrics.entities import entities
from companion.metrics.text import bleu, longest_common_subsequence, rouge_l

Texts = list[list[str]]


def _f1(tp: int, fp: int, fn: int) -> float:
    return 2 * tp / (2 * tp + fp + fn) if tp else 0.0


def _counts(*rows: tuple[int, int, int]) -> list[tuple[int, int, int]]:
    return list(rows)


def _macro_micro(counts: list[tuple[int, int, int]]) -> tuple[float, float]:
    tp, fp, fn = (sum(column) for column in zip(*counts, strict=True))
    return fmean(_f1(*row) for row in counts), _f1(tp, fp, fn)


def _of_the_means(counts: list[tuple[int, int, int]]) -> tuple[float, float]:
    """F1 of mean precision and mean recall, which is another number."""
    precision = fmean(tp / (tp + fp) if tp else 0.0 for tp, fp, _ in counts)
    recall = fmean(tp / (tp + fn) if tp else 0.0 for tp, _, fn in counts)
    return 2 * precision * recall / (precision + recall), _macro_micro(counts)[1]


def _weighted(counts: list[tuple[int, int, int]]) -> tuple[float, float]:
    support = sum(tp + fn for tp, _, fn in counts)
    return sum((row[0] + row[2]) * _f1(*row) for row in counts) / support, _macro_micro(counts)[1]


MACRO_MICRO = Exercise(
    name="macro-and-micro",
    task="From counts, a list of (tp, fp, fn), one a label, return the macro F1 and the micro F1.",
    reference=_macro_micro,
    cases=lambda: [
        (_counts((6, 2, 0), (2, 0, 1), (0, 0, 1)),),
        (_counts((50, 5, 1), (3, 4, 6)),),
        (_counts((9, 1, 3), (1, 3, 1), (4, 2, 2)),),
    ],
    mistakes=(
        Mistake(
            lambda counts: tuple(reversed(_macro_micro(counts))),
            "You exchanged the two: macro is the mean over labels, micro adds the counts of all labels first.",
        ),
        Mistake(_of_the_means, "Your macro F1 is the F1 of the mean precision and recall. Take the mean of the F1s."),
        Mistake(_weighted, "You weigh each label with how often it occurs. For macro F1 all labels count alike."),
    ),
)


def _majority(labels: Tensor, n_labels: int) -> tuple[float, float]:
    counts = torch.bincount(labels, minlength=n_labels)
    best = counts.argmax()
    found = report(best.expand(len(labels)), labels, [str(k) for k in range(n_labels)])
    return counts.max().item() / len(labels), found.macro.f1


def _majority_but(macro: Callable[[float, float, int], float]) -> Callable[..., Any]:
    def attempt(labels: Tensor, n_labels: int) -> tuple[float, float]:
        accuracy, right = _majority(labels, n_labels)
        return accuracy, macro(accuracy, right, n_labels)

    return attempt


BASELINE = Exercise(
    name="accuracy-to-beat",
    task=(
        "From `labels` (n,), whole numbers of which each of 0 to n_labels - 1 occurs, and `n_labels`, return the "
        "accuracy and the macro F1 of the classifier that always answers with the most frequent label."
    ),
    reference=_majority,
    cases=lambda: [
        (torch.tensor([0] * 19 + [1]), 2),
        (torch.tensor([2, 1, 1, 0, 1, 2]), 3),
        (torch.tensor([3, 3, 0, 1, 2, 3, 3, 0]), 4),
    ],
    mistakes=(
        Mistake(
            _majority_but(lambda accuracy, right, k: right * k),
            "Your F1 is that of the one label that is ever answered. The others have F1 = 0, and the mean counts them.",
        ),
        Mistake(
            _majority_but(lambda accuracy, right, k: accuracy),
            "Your second number is the accuracy once more, which is the micro F1.",
        ),
        Mistake(
            _majority_but(lambda accuracy, right, k: accuracy / k),
            "Your F1 of the frequent label is its precision. Its recall is 1; take the harmonic mean of both.",
        ),
        Mistake(
            lambda labels, n_labels: (1 / n_labels, _majority(labels, n_labels)[1]),
            "One in n_labels is what guessing gives. The most frequent label is right more often than that.",
        ),
    ),
)


def _found(tags: list[str]) -> list[tuple[str, int, int]]:
    return [(one.kind, one.begin, one.end) for one in entities(tags)]


def _joined(tags: list[str]) -> list[tuple[str, int, int]]:
    """Read tags as if B were I: neighbours of one kind grow together."""
    return _found([tag.replace("B-", "I-") for tag in tags])


ENTITIES = Exercise(
    name="read-entities",
    task=(
        "From a sentence's `tags` in BIO, return a list of (kind, begin, end), in order: the words begin to end - 1 "
        "are one entity. Each entity begins with its B tag."
    ),
    reference=_found,
    cases=lambda: [
        (["B-PER", "I-PER", "O", "B-LOC"],),
        (["O", "B-PER", "B-PER", "I-PER", "B-LOC", "O"],),
        (["O", "O"],),
    ],
    mistakes=(
        Mistake(_joined, "Two entities side by side grew together. A B tag always begins a new one."),
        Mistake(
            lambda tags: [(kind, begin, end - 1) for kind, begin, end in _found(tags)],
            "Your end is the last word. It should be the word after it, as in Python's slices.",
        ),
        Mistake(
            lambda tags: _found([*tags, "O"])[:-1] if tags[-1] != "O" else _found(tags),
            "An entity that reaches the last word is lost. The end of the sentence closes it.",
        ),
        Mistake(
            lambda tags: [(tag[2:], place, place + 1) for place, tag in enumerate(tags) if tag != "O"],
            "Each word became an entity of its own. An I tag goes on with the one before it.",
        ),
    ),
)


def _split(*texts: str) -> Texts:
    return [text.split() for text in texts]


def _lengths(candidates: Texts, references: Texts) -> tuple[int, int]:
    return sum(map(len, candidates)), sum(map(len, references))


BREVITY = Exercise(
    name="brevity-penalty",
    task="From candidates and references, lists of texts, each a list of words, return BLEU's brevity penalty.",
    reference=lambda candidates, references: bleu(candidates, references).brevity_penalty,
    cases=lambda: [
        (_split("the cat"), _split("the cat is on the mat")),
        (_split("Anna took the ball to the park today", "no"), _split("Anna took the ball", "no not at all")),
        (_split("a b c", "d e"), _split("a b c d", "d e f g")),
    ],
    mistakes=(
        Mistake(
            lambda candidates, references: fmean(
                min(1.0, math.exp(1 - len(r) / len(c))) for c, r in zip(candidates, references, strict=True)
            ),
            "You punish each text by itself. Add up all lengths first: the penalty is one number for the corpus.",
        ),
        Mistake(
            lambda candidates, references: math.exp(
                1 - _lengths(candidates, references)[1] / _lengths(candidates, references)[0]
            ),
            "Your penalty exceeds 1 when the candidates are longer, which rewards chatter. It stops at 1.",
        ),
        Mistake(
            lambda candidates, references: min(
                1.0, _lengths(candidates, references)[0] / _lengths(candidates, references)[1]
            ),
            "This is the ratio of the lengths. The penalty is exponential: exp(1 - r / c).",
        ),
        Mistake(
            lambda candidates, references: min(
                1.0, math.exp(1 - _lengths(candidates, references)[0] / _lengths(candidates, references)[1])
            ),
            "You punish long candidates. In 1 - r / c, r belongs to the references and c to the candidates.",
        ),
    ),
)


def _longest_run(a: list[str], b: list[str]) -> int:
    runs = {tuple(a[i:j]) for i in range(len(a)) for j in range(i + 1, len(a) + 1)}
    return max((j - i for i in range(len(b)) for j in range(i + 1, len(b) + 1) if tuple(b[i:j]) in runs), default=0)


ROUGE_L = Exercise(
    name="rouge-l",
    task="From candidate and reference, lists of words, return ROUGE-L as F1, 0 to 1.",
    reference=rouge_l,
    cases=lambda: [
        tuple(_split("police kill the gunman", "police killed the gunman")),
        tuple(_split("the gunman kill police", "police killed the gunman")),
        tuple(_split("the cat sat on the mat all day", "on the mat the cat is")),
    ],
    mistakes=(
        Mistake(
            lambda a, b: 2 * _longest_run(a, b) / (len(a) + len(b)),
            "You look for the longest run without gaps. A subsequence keeps the order and may leave words out.",
        ),
        Mistake(
            lambda a, b: 2 * len(set(a) & set(b)) / (len(a) + len(b)),
            "You count words that both have. For ROUGE-L they must come in the same order.",
        ),
        Mistake(
            lambda a, b: longest_common_subsequence(a, b) / len(b),
            "This is the recall alone: a candidate may be as long as it likes. Take the harmonic mean with precision.",
        ),
    ),
)


EXERCISES = (
    MACRO_MICRO,
    BASELINE,
    ENTITIES,
    BREVITY,
    ROUGE_L,
)
