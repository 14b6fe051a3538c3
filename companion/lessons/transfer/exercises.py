"""Exercises of ``book/concepts/transfer.ipynb``."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from companion.lessons.exercise_check import Exercise, Mistake

REDUCTION = Exercise(
    name="relative-error-reduction",
    task="From a model's `score` and its `baseline`'s, both at most 1, return the relative error reduction.",
    reference=lambda score, baseline: 1 - (1 - score) / (1 - baseline),
    cases=lambda: [(0.95, 0.8), (0.9, 0.5), (0.6, 0.7)],
    mistakes=(
        Mistake(
            lambda score, baseline: score - baseline,
            "That is the gain in points. Divide it by the error that there was to lose, 1 - baseline.",
        ),
        Mistake(
            lambda score, baseline: (score - baseline) / baseline,
            "You divide the gain by the baseline's score. What can be cut is its error, 1 - baseline.",
        ),
        Mistake(
            lambda score, baseline: (1 - score) / (1 - baseline),
            "That is the fraction of the error that is left. You are asked for the fraction that is gone.",
        ),
        Mistake(
            lambda score, baseline: 1 - (1 - baseline) / (1 - score),
            "You took the model for the baseline. The baseline's error is the whole that a part of is gone.",
        ),
    ),
)


def _runs() -> list[tuple[Tensor, float]]:
    return [
        (torch.tensor([0.81, 0.84, 0.78, 0.86, 0.80]), 2.776),
        (torch.tensor([0.5, 0.7, 0.6]), 4.303),
        (torch.tensor([0.93, 0.95]), 12.706),
    ]


def _ends(scores: Tensor, half: Tensor) -> tuple[float, float]:
    return (scores.mean() - half).item(), (scores.mean() + half).item()


def _interval(scores: Tensor, t: float) -> tuple[float, float]:
    return _ends(scores, t * scores.std() / len(scores) ** 0.5)


INTERVAL = Exercise(
    name="t-interval",
    task="From `scores` (seeds,) and the quantile `t`, return the two ends of the mean's interval, as two numbers.",
    reference=_interval,
    cases=_runs,
    mistakes=(
        Mistake(
            lambda scores, t: _ends(scores, t * scores.std(correction=0) / len(scores) ** 0.5),
            "Your standard deviation divides by S. Divide by S - 1, for the mean was taken from the same scores.",
        ),
        Mistake(
            lambda scores, t: _ends(scores, t * scores.std()),
            "That is where one more seed may fall. The mean is surer than a single seed: divide by the root of S.",
        ),
        Mistake(
            lambda scores, t: _ends(scores, t * scores.std() / len(scores)),
            "You divide by S. The mean's spread falls with the root of S.",
        ),
        Mistake(
            lambda scores, t: _ends(scores, scores.std() / len(scores) ** 0.5),
            "That is one standard error to each side. The interval is t of them wide on each side.",
        ),
    ),
)


def _stories() -> list[tuple[list[int], int]]:
    return [([7, 7, 3, 3, 9, 9, 1, 1], 2), ([4, 4, 2, 2, 4, 8, 8], 1), ([5, 1, 5, 1, 6], 2)]


def _first(stories: Sequence[int], n: int, order: Callable[[Sequence[int]], list[int]] | None = None) -> list[int]:
    different = list(dict.fromkeys(stories)) if order is None else order(stories)
    return [row for row, story in enumerate(stories) if story in different[:n]]


SPLIT = Exercise(
    name="split-by-story",
    task=(
        "The list `stories` says which story each example is from. Return the rows of all examples of the first n "
        "different stories, in order: the training set, which shares no story with the rest."
    ),
    reference=_first,
    cases=_stories,
    mistakes=(
        Mistake(
            lambda stories, n: list(range(n)),
            "You took the first n examples. A story has several, and the rest of them would be tested on.",
        ),
        Mistake(
            lambda stories, n: _first(stories, n, lambda s: sorted(set(s))),
            "You took the stories with the smallest numbers. The first ones, in the order of the list, are wanted.",
        ),
        Mistake(
            lambda stories, n: [stories.index(story) for story in list(dict.fromkeys(stories))[:n]],
            "You kept one example of each story. All of its examples belong to the training set.",
        ),
        Mistake(
            lambda stories, n: [row for row in range(len(stories)) if row not in _first(stories, n)],
            "Those are the rows of the test set. You are asked for the training set.",
        ),
    ),
)


def _hidden() -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    cases = []
    for lengths in ((3, 5), (4, 1, 6), (2, 2)):
        mask = torch.arange(max(lengths) + 1)[None] < torch.tensor(lengths)[:, None]
        cases.append((torch.randn(*mask.shape, 4, generator=generator), mask))
    return cases


def _mean(hidden: Tensor, mask: Tensor) -> Tensor:
    return (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)


FEATURES = Exercise(
    name="mean-features",
    task=(
        "From the body's vectors `hidden` (batch, length, d) and a boolean `mask` (batch, length), True = a real "
        "token, return the mean vector of each text's real tokens, (batch, d)."
    ),
    reference=_mean,
    cases=_hidden,
    mistakes=(
        Mistake(
            lambda hidden, mask: hidden.mean(1),
            "The vectors at padding are in your mean. They stand for nothing; leave them out.",
        ),
        Mistake(
            lambda hidden, mask: (hidden * mask[..., None]).mean(1),
            "You leave padding out of the sum and count it all the same. Divide by the number of real tokens.",
        ),
        Mistake(
            lambda hidden, mask: hidden[:, 0],
            "That is the vector of [CLS]. Here the mean over all real tokens is wanted.",
        ),
        Mistake(
            lambda hidden, mask: _mean(hidden, mask).mean(0),
            "You took the mean over the texts as well. Each text has a vector of its own.",
        ),
    ),
)


def _head() -> list[tuple[Tensor, Tensor, Tensor, float]]:
    generator = torch.Generator().manual_seed(1)
    cases = []
    for n, labels in ((3, 2), (5, 3), (8, 4)):
        vectors, weight = (torch.randn(rows, 4, generator=generator) for rows in (n, labels))
        cases.append((vectors, torch.randint(labels, (n,), generator=generator), weight, 0.3))
    return cases


def _step(vectors: Tensor, labels: Tensor, weight: Tensor, rate: float, wrong: str = "") -> Tensor:
    p = (vectors @ weight.T).softmax(-1)  # (n, labels)
    if wrong != "no labels":
        p = p - F.one_hot(labels, len(weight))
    if wrong != "sum":
        p = p / len(vectors)
    gradient = p.T @ vectors
    return weight + rate * gradient if wrong == "up" else weight - rate * gradient


FROZEN = Exercise(
    name="frozen-step",
    task=(
        "The body is frozen: `vectors` (n, d) are given once. From them, `labels` (n,), the head's `weight` "
        "(labels, d), no bias, and `rate`, return the weight after one step of gradient descent on the mean loss."
    ),
    reference=_step,
    cases=_head,
    mistakes=(
        Mistake(
            partial(_step, wrong="up"),
            "You went up the slope. The gradient is subtracted.",
        ),
        Mistake(
            partial(_step, wrong="sum"),
            "You took the gradient of the sum of the losses. Divide by the number of texts.",
        ),
        Mistake(
            partial(_step, wrong="no labels"),
            "You left the labels out. The gradient by the logits is the softmax minus 1 at the right label.",
        ),
    ),
)


def _curves() -> list[tuple[list[int], list[float], float]]:
    return [
        ([10, 25, 50, 100], [0.55, 0.7, 0.84, 0.93], 0.8),
        ([10, 100, 1000], [0.5, 0.52, 0.75], 0.9),
        ([5, 20, 80], [0.6, 0.9, 0.97], 0.9),
    ]


def _needed(labels: Sequence[int], scores: Sequence[float], target: float) -> int | None:
    return next((n for n, score in zip(labels, scores, strict=True) if score >= target), None)


def _last_below(labels: Sequence[int], scores: Sequence[float], target: float) -> Any:
    below = [n for n, score in zip(labels, scores, strict=True) if score < target]
    return below[-1] if below else None


NEEDED = Exercise(
    name="labels-needed",
    task=(
        "From rising numbers of `labels`, the `scores` at each, and a `target`, return the first number of labels "
        "whose score is at least the target; None if there is none."
    ),
    reference=_needed,
    cases=_curves,
    mistakes=(
        Mistake(
            lambda labels, scores, target: next((n for n, a in zip(labels, scores, strict=True) if a > target), None),
            "A score that equals the target reaches it.",
        ),
        Mistake(
            lambda labels, scores, target: _needed(labels, scores, target) or labels[-1],
            "If no score reaches the target, more labels are needed than were measured: return None.",
        ),
        Mistake(
            lambda labels, scores, target: max(zip(scores, labels, strict=True))[1],
            "You chose the best score. The fewest labels are asked for, not the highest score.",
        ),
        Mistake(
            _last_below,
            "That is the last number of labels that does not reach the target. The next one does.",
        ),
    ),
)


EXERCISES = (
    SPLIT,
    FEATURES,
    FROZEN,
    INTERVAL,
    REDUCTION,
    NEEDED,
)
