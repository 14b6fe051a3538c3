"""Exercises of ``book/algorithms/in_context_learning.ipynb``."""

from collections.abc import Sequence

import torch
from torch import Tensor

from companion.generation.in_context_learning import Pair, contextual_calibration, task_posterior
from companion.lessons.exercise_check import Exercise, Mistake

SLIP = 0.04


def _posterior(prior: Tensor, likelihoods: Tensor) -> Tensor:
    return task_posterior(prior.log(), likelihoods.log())[-1].exp()


POSTERIOR = Exercise(
    name="task-posterior",
    task=(
        "From prior (tasks,) and likelihoods (demonstrations, tasks), return the posterior (tasks,) after all "
        "demonstrations."
    ),
    reference=_posterior,
    cases=lambda: [
        (torch.tensor([0.5, 0.3, 0.2]), torch.tensor([[0.9, 0.9, 0.9]])),
        (torch.tensor([0.5, 0.3, 0.2]), torch.tensor([[0.9, 0.9, 0.9], [SLIP, SLIP, 0.9]])),
        (torch.tensor([0.1, 0.9]), torch.tensor([[0.8, 0.1], [0.7, 0.2], [0.9, 0.4]])),
    ],
    mistakes=(
        Mistake(
            lambda prior, likelihoods: prior * likelihoods.prod(0),
            "Yours does not sum to 1: divide by the sum over the tasks.",
        ),
        Mistake(
            lambda prior, likelihoods: likelihoods.prod(0) / likelihoods.prod(0).sum(),
            "You left the prior out: all tasks begin alike.",
        ),
        Mistake(
            lambda prior, likelihoods: (prior * likelihoods.sum(0)) / (prior * likelihoods.sum(0)).sum(),
            "You add the likelihoods. Demonstrations that are independent multiply.",
        ),
        Mistake(
            lambda prior, likelihoods: (prior * likelihoods[-1]) / (prior * likelihoods[-1]).sum(),
            "You use the last demonstration alone.",
        ),
    ),
)


def _disjoint(pool: Sequence[Pair], asked: Sequence[Pair], k: int) -> list[Pair]:
    words = {word for pair in asked for word in pair}
    return [pair for pair in pool if not words & set(pair)][:k]


def _same_pairs(pool: Sequence[Pair], asked: Sequence[Pair], k: int) -> list[Pair]:
    return [pair for pair in pool if pair not in asked][:k]


def _inputs_only(pool: Sequence[Pair], asked: Sequence[Pair], k: int) -> list[Pair]:
    inputs = {given for given, _ in asked}
    return [pair for pair in pool if pair[0] not in inputs][:k]


def _cut_first(pool: Sequence[Pair], asked: Sequence[Pair], k: int) -> list[Pair]:
    return _disjoint(pool[:k], asked, k)


DISJOINT = Exercise(
    name="disjoint-demonstrations",
    task="From a pool of pairs, the pairs asked, and k, return the first k pairs of the pool that give nothing away.",
    reference=_disjoint,
    cases=lambda: [
        ([("hot", "cold"), ("up", "down"), ("big", "small")], [("wet", "dry")], 2),
        ([("cold", "hot"), ("up", "down"), ("big", "small")], [("hot", "cold")], 2),
        ([("hot", "cold"), ("rich", "poor"), ("needy", "poor"), ("big", "small")], [("broke", "poor")], 2),
        ([("hot", "warm"), ("up", "down"), ("old", "new")], [("hot", "cold"), ("new", "old")], 2),
    ],
    mistakes=(
        Mistake(
            _same_pairs,
            "A pair the other way round is still there: 'cold -> hot' gives 'hot -> ?' away.",
        ),
        Mistake(_inputs_only, "You compare inputs alone. An output that is asked for must not be shown either."),
        Mistake(_cut_first, "You take k pairs first and throw some away after: fewer than k are left."),
    ),
)


def _labels(log_probs: Tensor, content_free: Tensor) -> Tensor:
    return contextual_calibration(log_probs, content_free).argmax(-1)


CALIBRATED = Exercise(
    name="calibrated-labels",
    task=(
        "From log_probs (queries, labels) and content_free (labels,), both log-probabilities, return the number of the "
        "label that is likeliest after calibration, (queries,)."
    ),
    reference=_labels,
    cases=lambda: [
        (torch.tensor([[0.8, 0.2], [0.6, 0.4], [0.75, 0.25]]).log(), torch.tensor([0.7, 0.3]).log()),
        (torch.tensor([[0.2, 0.5, 0.3], [0.5, 0.4, 0.1]]).log(), torch.tensor([0.1, 0.6, 0.3]).log()),
        (torch.tensor([[0.5, 0.1, 0.4]]).log(), torch.tensor([0.4, 0.05, 0.55]).log()),
    ],
    mistakes=(
        Mistake(
            lambda log_probs, content_free: log_probs.argmax(-1),
            "That is the raw answer: what the prompt prefers anyway has not been taken out.",
        ),
        Mistake(
            lambda log_probs, content_free: (log_probs + content_free).argmax(-1),
            "You add the preference once more. It is divided out: logarithms are subtracted.",
        ),
        Mistake(
            lambda log_probs, content_free: (log_probs.exp() - content_free.exp()).argmax(-1),
            "You subtract probabilities. The formula divides them, so subtract their logarithms.",
        ),
    ),
)


def _first_above(accuracy: Tensor, baseline: float) -> int | None:
    above = (accuracy > baseline).all(0)  # in every draw
    return int(above.nonzero()[0]) if above.any() else None


def _mean_above(accuracy: Tensor, baseline: float) -> int | None:
    above = accuracy.mean(0) > baseline
    return int(above.nonzero()[0]) if above.any() else None


def _some_above(accuracy: Tensor, baseline: float) -> int | None:
    above = (accuracy > baseline).any(0)
    return int(above.nonzero()[0]) if above.any() else None


READ = Exercise(
    name="above-baseline",
    task=(
        "From accuracy (draws, columns) and a baseline, return the number of the first column in which every draw is "
        "above the baseline, or None."
    ),
    reference=_first_above,
    cases=lambda: [
        (torch.tensor([[0.4, 0.9, 0.9], [0.1, 0.45, 0.8], [0.2, 0.8, 0.7]]), 0.5),
        (torch.tensor([[0.4, 0.6], [0.1, 0.3]]), 0.5),
        (torch.tensor([[0.5, 0.6], [0.7, 0.8]]), 0.5),
    ],
    mistakes=(
        Mistake(_mean_above, "You compare the mean. A user has one prompt, and it may be the unlucky draw."),
        Mistake(_some_above, "One lucky draw is enough for you. All of them have to be above."),
        Mistake(
            lambda accuracy, baseline: (
                int((accuracy >= baseline).all(0).nonzero()[0]) if (accuracy >= baseline).all(0).any() else None
            ),
            "You count a tie with the baseline. To be above it takes more.",
        ),
    ),
)


def _tokens(shots: int, demonstration: int, query: int, queries: int) -> tuple[int, int]:
    return queries * (shots * demonstration + query), shots * demonstration + queries * query


COST = Exercise(
    name="prompt-tokens",
    task=(
        "From shots, the tokens of a demonstration, the tokens of a query and the number of queries, return how many "
        "positions are computed: (without a shared cache, with one)."
    ),
    reference=_tokens,
    cases=lambda: [(8, 40, 30, 10_000), (0, 40, 30, 5), (1, 7, 3, 1)],
    mistakes=(
        Mistake(
            lambda shots, demonstration, query, queries: (
                shots * demonstration + queries * query,
                queries * (shots * demonstration + query),
            ),
            "You have the two the other way round.",
        ),
        Mistake(
            lambda shots, demonstration, query, queries: (queries * (shots * demonstration + query), queries * query),
            "With a cache the demonstrations are computed once, not never.",
        ),
        Mistake(
            lambda shots, demonstration, query, queries: (
                queries * shots * (demonstration + query),
                shots * demonstration + queries * query,
            ),
            "A query comes once after its demonstrations, not once for each.",
        ),
    ),
)


EXERCISES = (POSTERIOR, DISJOINT, CALIBRATED, READ, COST)
