"""Exercises of ``book/algorithms/denoising.ipynb``."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from companion.lessons.exercise_check import Exercise, Mistake

MASK = "[MASK]"
Spans = Sequence[tuple[int, int]]


def _infill(words: list[str], spans: Spans) -> list[str]:
    spoiled, place = [], 0
    for start, length in spans:
        spoiled += [*words[place:start], MASK]
        place = start + length
    return spoiled + words[place:]


def _one_each(words: list[str], spans: Spans) -> list[str]:
    hidden = {i for start, length in spans for i in range(start, start + length)}
    return [MASK if i in hidden else word for i, word in enumerate(words)]


def _deleted(words: list[str], spans: Spans) -> list[str]:
    hidden = {i for start, length in spans for i in range(start, start + length)}
    return [word for i, word in enumerate(words) if i not in hidden]


def _in_place(words: list[str], spans: Spans) -> list[str]:
    words = list(words)
    for start, length in spans:  # every later span has moved by now
        words[start : start + length] = [MASK]
    return words


INFILLING = Exercise(
    name="text-infilling",
    task=(
        'From words (a list) and spans, pairs (start, length) from left to right, return the words with one "[MASK]" '
        "in the place of each span; a span of length 0 puts a mask in before the word at its start."
    ),
    reference=_infill,
    cases=lambda: [
        (["Tom", "is", "in", "the", "garden", ".", "He", "takes", "the", "ball", "."], [(1, 3), (7, 2)]),
        (["Anna", "goes", "to", "the", "park", "."], [(2, 0), (4, 1)]),
        (["Lily", "feels", "calm", "."], [(0, 2), (2, 0), (3, 1)]),
    ],
    mistakes=(
        Mistake(
            _one_each, "You hide each word for itself, as BERT does. Infilling hides a whole span behind one mask."
        ),
        Mistake(_deleted, "You delete the spans. A mask shall show that something may be missing here."),
        Mistake(
            _in_place,
            "After the first span the words have moved, and your later spans hide the wrong ones. Go from right to "
            "left, or build a new list.",
        ),
        Mistake(
            lambda words, spans: _infill(words, [span for span in spans if span[1]]),
            "A span of length 0 counts too: it is a mask where nothing is missing.",
        ),
    ),
)

LENGTHS = {"masking": 12, "deletion": 8, "infilling": 11, "permutation": 12, "rotation": 12}


def _written(**lengths: int) -> Mapping[str, int]:
    return LENGTHS | lengths


PREDICTED_LENGTHS = Exercise(
    name="predicted-lengths",
    task=(
        "For a text of 12 words, return how many tokens the encoder reads after each noise: masking and deletion of 4 "
        "words, infilling of spans of 1, 0 and 3 words, permutation, rotation."
    ),
    reference=lambda noise: LENGTHS[noise],
    cases=lambda: [(noise,) for noise in LENGTHS],
    mistakes=(
        Mistake(
            lambda noise: _written(masking=8)[noise],
            "Masking replaces each word by a mask, and takes none away.",
        ),
        Mistake(
            lambda noise: _written(deletion=12)[noise],
            "Deletion leaves no mark: what is deleted is gone from the count.",
        ),
        Mistake(
            lambda noise: _written(infilling=10)[noise],
            "The span of length 0 puts in a mask as well, although it hides nothing.",
        ),
        Mistake(
            lambda noise: _written(infilling=12)[noise],
            "Infilling has one mask for each span, and not one for each word.",
        ),
    ),
)


def _sentences(words: Sequence[str]) -> list[list[str]]:
    found: list[list[str]] = [[]]
    for word in words:
        found[-1].append(word)
        if word == ".":
            found.append([])
    return found[:-1]


def _permuted(words: Sequence[str], order: Sequence[int]) -> list[str]:
    parts = _sentences(words)
    return [word for number in order for word in parts[number]]


LOST_STOPS = Exercise(
    name="lost-stops",
    task=(
        'Repair the shuffling: from words, sentences that each end with ".", and order, the numbers of the sentences '
        "in their new order, return all the words, the stops among them."
    ),
    reference=_permuted,
    cases=lambda: [
        (["Tom", "is", "here", ".", "He", "waits", "."], [1, 0]),
        (["Anna", "is", "away", ".", "Tom", "is", "at", "home", ".", "She", "has", "a", "key", "."], [2, 0, 1]),
        (["Lily", "sleeps", "."], [0]),
    ],
    mistakes=(
        Mistake(
            lambda words, order: [word for word in _permuted(words, order) if word != "."],
            "This is the function as it was: the stops are lost, and with them where a sentence ends.",
        ),
        Mistake(
            lambda words, order: [*(word for word in _permuted(words, order) if word != "."), "."],
            "One stop at the end of the text is not enough: each sentence has its own.",
        ),
        Mistake(
            lambda words, order: _permuted(words, [order.index(number) for number in range(len(order))]),
            "The number order[0] is that of the sentence that comes first, not the place to which the first one goes.",
        ),
    ),
)


def _bound(log_probs: Sequence[Sequence[float]], fraction: float, weight: float = 1.0) -> float:
    total = -sum(map(sum, log_probs)) + weight * len(log_probs) * math.log(fraction)
    return total / sum(map(len, log_probs))


BOUND = Exercise(
    name="bound-without-reading",
    task=(
        "From log_probs, for each story a list of the world's log-probabilities of its words, and fraction, the "
        "fraction of all stories that are of this selection, return the bound in nats per word."
    ),
    reference=_bound,
    cases=lambda: [
        ([[-1.0, -2.0], [-0.5, -0.5, -1.0]], 0.5),
        ([[-2.0] * 4], 0.25),
        ([[-1.5, -0.5], [-1.0], [-3.0, -1.0]], 1.0),
    ],
    mistakes=(
        Mistake(
            lambda log_probs, fraction: _bound(log_probs, fraction, 0.0),
            "That is the world's own surprisal. Who knows the selection is less surprised, by log(1 / fraction) a "
            "story.",
        ),
        Mistake(
            lambda log_probs, fraction: _bound(log_probs, fraction, -1.0),
            "You add log(1 / fraction). Knowing the selection makes its stories *less* surprising.",
        ),
        Mistake(
            lambda log_probs, fraction: _bound(log_probs, fraction) * sum(map(len, log_probs)) / len(log_probs),
            "These are nats per story. Divide by the number of words.",
        ),
    ),
)


def _readings() -> list[tuple[Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [(torch.randn(words, length, generator=generator) - 2,) for words, length in ((4, 3), (6, 5), (3, 8))]


FILL_BY_BAYES = Exercise(
    name="fill-by-bayes",
    task=(
        "From log_p (words, length), the log-probability of each token of a text that has word v in its gap, for each "
        "word v, return the probability of each word in the gap (words,)."
    ),
    reference=lambda log_p: log_p.sum(1).softmax(0),
    cases=_readings,
    mistakes=(
        Mistake(
            lambda log_p: log_p.mean(1).softmax(0),
            "The logarithm of a text's probability is the sum over its tokens, not their mean.",
        ),
        Mistake(
            lambda log_p: log_p.sum(1).exp(),
            "These are the probabilities of the texts. Divide by their sum: one of the words stands in the gap.",
        ),
        Mistake(
            lambda log_p: log_p.softmax(0).prod(1),
            "You compare the words at each token by itself. Multiply along the text first, then compare.",
        ),
        Mistake(lambda log_p: log_p.sum(1), "These are logarithms, and not yet probabilities."),
    ),
)

EXERCISES = (INFILLING, PREDICTED_LENGTHS, LOST_STOPS, BOUND, FILL_BY_BAYES)
