"""Exercises of ``book/algorithms/scaling.ipynb``."""

from collections.abc import Sequence

from companion.lessons.exercise_check import Exercise, Mistake
from companion.training.scaling import ScalingLaw, lifetime_flops


def _needed(exact: float, k: int) -> float:
    needed: float = exact ** (1 / k)
    return needed


NEEDED = Exercise(
    name="needed-accuracy",
    task="From the fraction of answers that are to be right and k, their tokens, return the accuracy per token.",
    reference=_needed,
    cases=lambda: [(0.5, 4), (0.5, 32), (0.9, 1), (0.01, 10)],
    mistakes=(
        Mistake(lambda exact, k: exact**k, "That goes the other way: from one token to all of them."),
        Mistake(lambda exact, k: exact / k, "Probabilities of independent events multiply: divide an exponent, not p."),
        Mistake(lambda exact, k: 1 - (1 - exact) / k, "Close for high accuracies, and not exact: take the k-th root."),
    ),
)


def _optimum(a: float, alpha: float, b: float, beta: float, flops: float) -> tuple[float, float]:
    return ScalingLaw(1.0, a, alpha, b, beta).optimum(flops)


def _swapped(a: float, alpha: float, b: float, beta: float, flops: float) -> tuple[float, float]:
    g = (alpha * a / (beta * b)) ** (1 / (alpha + beta))
    parameters = g * (flops / 6) ** (alpha / (alpha + beta))
    return parameters, flops / 6 / parameters


def _without_six(a: float, alpha: float, b: float, beta: float, flops: float) -> tuple[float, float]:
    return _optimum(a, alpha, b, beta, 6 * flops)


def _equal(a: float, alpha: float, b: float, beta: float, flops: float) -> tuple[float, float]:
    return (flops / 6) ** 0.5, (flops / 6) ** 0.5


OPTIMUM = Exercise(
    name="law-optimum",
    task="From A, alpha, B, beta and a budget of operations, return the compute-optimal (parameters, tokens).",
    reference=_optimum,
    cases=lambda: [
        (482.01, 0.3478, 2085.43, 0.3658, 5.76e23),
        (406.4, 0.34, 410.7, 0.28, 5.76e23),
        (10.0, 0.5, 20.0, 0.25, 6e6),
    ],
    mistakes=(
        Mistake(
            _swapped,
            "The exponents are the wrong way round: where text pays little (small beta), the model grows slowly.",
        ),
        Mistake(_without_six, "The budget is 6 N D: divide it by 6 before it is split."),
        Mistake(_equal, "You split the budget in equal halves: A, B and the exponents say how it is to be split."),
    ),
)


def _first_miss(predicted: Sequence[float], measured: Sequence[float], deviation: float) -> int | None:
    misses = [i for i, (p, m) in enumerate(zip(predicted, measured, strict=True)) if abs(p - m) > 3 * deviation]
    return misses[0] if misses else None


def _largest_miss(predicted: Sequence[float], measured: Sequence[float], deviation: float) -> int | None:
    gaps = [abs(p - m) for p, m in zip(predicted, measured, strict=True)]
    return gaps.index(max(gaps)) if max(gaps) > 3 * deviation else None


def _only_above(predicted: Sequence[float], measured: Sequence[float], deviation: float) -> int | None:
    misses = [i for i, (p, m) in enumerate(zip(predicted, measured, strict=True)) if m - p > 3 * deviation]
    return misses[0] if misses else None


READ = Exercise(
    name="first-miss",
    task=(
        "From the predicted and the measured losses of runs, smallest first, and the standard deviation over seeds, "
        "return the number of the first run that misses its prediction by more than three of them, or None."
    ),
    reference=_first_miss,
    cases=lambda: [
        ([2.9, 2.6, 2.4, 2.3], [2.89, 2.61, 2.3, 2.1], 0.02),
        ([2.9, 2.6], [2.89, 2.61], 0.02),
        ([2.9, 2.6, 2.4], [2.9, 2.8, 2.7], 0.02),
        ([2.9, 2.6, 2.4], [2.94, 2.6, 2.2], 0.02),
    ],
    mistakes=(
        Mistake(_largest_miss, "That is the largest miss. The first one says from where on the law cannot be trusted."),
        Mistake(_only_above, "A run below its prediction misses it as well: there, too, something new has happened."),
        Mistake(
            lambda predicted, measured, deviation: _first_miss(predicted, measured, deviation / 3),
            "One standard deviation is within what another seed does.",
        ),
    ),
)


def _cheapest(sizes: Sequence[tuple[float, float]], served: float) -> int:
    costs = [lifetime_flops(parameters, tokens, served) for parameters, tokens in sizes]
    return costs.index(min(costs))


def _training_only(sizes: Sequence[tuple[float, float]], served: float) -> int:
    return _cheapest(sizes, 0.0)


def _smallest(sizes: Sequence[tuple[float, float]], served: float) -> int:
    return min(range(len(sizes)), key=lambda i: sizes[i][0])


def _as_in_training(sizes: Sequence[tuple[float, float]], served: float) -> int:
    return _cheapest(sizes, 3 * served)


COST = Exercise(
    name="lifetime-cost",
    task="From pairs (parameters, tokens) of equal loss and the tokens served, return the number of the cheapest.",
    reference=_cheapest,
    cases=lambda: [
        ([(13e9, 2.6e11), (7e9, 5.8e11), (4e9, 2.1e12)], 0.0),
        ([(13e9, 2.6e11), (7e9, 5.8e11), (4e9, 2.1e12)], 2e12),
        ([(13e9, 2.6e11), (7e9, 5.8e11), (4e9, 2.1e12)], 6e12),
        ([(13e9, 2.6e11), (7e9, 5.8e11), (4e9, 2.1e12)], 1e14),
    ],
    mistakes=(
        Mistake(_training_only, "You count the training alone. Each token that is served costs 2 N as well."),
        Mistake(_smallest, "The smallest is dear to train: it pays only when enough is served."),
        Mistake(_as_in_training, "A served token costs 2 N, not 6 N: nothing goes backward."),
    ),
)


EXERCISES = (NEEDED, OPTIMUM, READ, COST)
