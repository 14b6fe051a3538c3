"""Exercises of ``book/background/rise.ipynb``."""

import math
from collections.abc import Callable

from companion.lessons.exercise_check import Exercise, Mistake
from companion.training.flops import best_split, doubling_time, training_flops

TRAINING_FLOPS = Exercise(
    name="training-flops",
    task=(
        "From `parameters`, the `active` parameters of a mixture of experts (None for a dense model) and `tokens`, "
        "return the training FLOPs by the rule of thumb."
    ),
    reference=lambda parameters, active, tokens: training_flops(active or parameters, tokens),
    cases=lambda: [(175e9, None, 300e9), (671e9, 37e9, 14.8e12), (2e6, None, 4e6)],
    mistakes=(
        Mistake(
            lambda parameters, active, tokens: 2 * (active or parameters) * tokens,
            "That is the forward pass alone. The backward pass costs twice as much again.",
        ),
        Mistake(
            lambda parameters, active, tokens: 4 * (active or parameters) * tokens,
            "That is the backward pass alone. The forward pass comes before it.",
        ),
        Mistake(
            lambda parameters, active, tokens: 6 * parameters * tokens,
            "A token of a mixture of experts meets its active parameters only; count those where they are given.",
        ),
        Mistake(
            lambda parameters, active, tokens: 3 * (active or parameters) * tokens,
            "A parameter costs two operations forward, a multiplication and an addition; you count one.",
        ),
        Mistake(
            lambda parameters, active, tokens: 6.0 * (active or parameters),
            "That is the cost of one token. Training reads all of them.",
        ),
    ),
)


def _split(flops: float, ratio: float) -> tuple[float, float]:
    return best_split(flops, ratio)


SPLIT = Exercise(
    name="best-split",
    task=(
        "From a budget of `flops` and `ratio`, the best number of tokens per parameter, return two numbers: the "
        "parameters, and the tokens to train them on."
    ),
    reference=_split,
    cases=lambda: [(5.76e23, 20.0), (1e21, 20.0), (6e12, 4.0)],
    mistakes=(
        Mistake(
            lambda flops, ratio: (flops / (6 * ratio), flops / 6),
            "You left out the root: with D = r N the budget is 6 r times N squared.",
        ),
        Mistake(
            lambda flops, ratio: (math.sqrt(flops / ratio), math.sqrt(flops * ratio)),
            "You spend six times the budget: each token costs six operations per parameter, not one.",
        ),
        Mistake(
            lambda flops, ratio: _split(flops, ratio)[::-1],
            "The two numbers stand the wrong way round: parameters first, tokens second.",
        ),
        Mistake(
            lambda flops, ratio: (math.sqrt(flops / 6), math.sqrt(flops / 6)),
            "You give a token to each parameter. There should be `ratio` tokens per parameter.",
        ),
    ),
)


def _logs(base: Callable[[float], float]) -> Callable[[list[float], list[float]], float]:
    def slope_to_time(when: list[float], amounts: list[float]) -> float:
        slope = math.log(2) / doubling_time(when, amounts)  # of natural logarithms
        return math.log(2) / (slope * base(math.e))

    return slope_to_time


def _ends(when: list[float], amounts: list[float]) -> float:
    return math.log(2) * (when[-1] - when[0]) / math.log(amounts[-1] / amounts[0])


def _one_over_slope(when: list[float], amounts: list[float]) -> float:
    return doubling_time(when, amounts) / math.log(2)


def _straight(when: list[float], amounts: list[float]) -> float:
    middle, height = sum(when) / len(when), sum(amounts) / len(amounts)
    above = sum((t - middle) * (a - height) for t, a in zip(when, amounts, strict=True))
    return math.log(2) * sum((t - middle) ** 2 for t in when) / above


DOUBLING = Exercise(
    name="doubling-time",
    task=(
        "From dates in years, `when`, and the `amounts` at them, two lists of equal length, return the time in years "
        "in which the amount doubles, by the least-squares line through the natural logarithms."
    ),
    reference=doubling_time,
    cases=lambda: [
        ([2018.0, 2019.0, 2020.0, 2021.0], [1.0, 3.0, 5.0, 20.0]),
        ([0.0, 0.5, 2.0, 2.5, 4.0], [2.0, 1.0, 9.0, 30.0, 25.0]),
        ([1.0, 2.0, 4.0], [1e20, 1e21, 5e22]),
    ],
    mistakes=(
        Mistake(
            _one_over_slope,
            "That is the time in which the amount grows e times as large. Doubling takes ln 2 of it.",
        ),
        Mistake(
            _logs(math.log10),
            "You mix two logarithms: with a slope of base 10 the doubling takes log10 of 2, not ln 2.",
        ),
        Mistake(
            _ends,
            "You use the first and the last point only. The line goes through the middle of all of them.",
        ),
        Mistake(
            _straight,
            "You fit the line to the amounts. What grows by doubling is straight only in the logarithms.",
        ),
    ),
)


def _attention_fraction(parameters: float, n_layers: int, length: int, d_model: int) -> float:
    attended = 4 * n_layers * length * d_model
    return attended / (2 * parameters + attended)


ATTENTION_FRACTION = Exercise(
    name="attention-fraction",
    task=(
        "From the `parameters` in matrix products, `n_layers`, the `length` of the text and `d_model`, return which "
        "fraction of a token's forward FLOPs scores and weighted sums take."
    ),
    reference=_attention_fraction,
    cases=lambda: [(1_935_360, 6, 256, 144), (199_872, 4, 144, 64), (174e9, 96, 2048, 12_288)],
    mistakes=(
        Mistake(
            lambda parameters, n_layers, length, d_model: 4 * n_layers * length * d_model / (2 * parameters),
            "You divide by the rest. A fraction is of the whole, the attention's own operations included.",
        ),
        Mistake(
            lambda parameters, n_layers, length, d_model: _attention_fraction(parameters, 1, length, d_model),
            "You count one layer's attention. Every layer has its own.",
        ),
        Mistake(
            lambda parameters, n_layers, length, d_model: _attention_fraction(
                2 * parameters, n_layers, length, d_model
            ),
            "Attention has two products a layer, scores and weighted sums, of 2 n d each. You count one of them.",
        ),
        Mistake(
            lambda parameters, n_layers, length, d_model: _attention_fraction(
                parameters / 2, n_layers, length, d_model
            ),
            "Each parameter costs a multiplication and an addition. You count one of them.",
        ),
    ),
)


def _days(flops: float, chips: int, peak: float, utilization: float) -> float:
    return flops / (chips * peak * utilization) / 86_400


CHIP_DAYS = Exercise(
    name="chip-days",
    task=(
        "From the `flops` of a training run, the number of `chips`, the `peak` operations per second of one chip and "
        "its `utilization`, the fraction of its peak that is really used, return how many days the run takes."
    ),
    reference=_days,
    cases=lambda: [(3.14e23, 10_000, 1.25e14, 0.3), (1e21, 8, 3e14, 0.5), (5e13, 1, 2e10, 0.8)],
    mistakes=(
        Mistake(
            lambda flops, chips, peak, utilization: _days(flops, chips, peak, 1.0),
            "You assume that the chips reach their peak. Only the fraction `utilization` of it is used.",
        ),
        Mistake(
            lambda flops, chips, peak, utilization: _days(flops, chips, peak, 1.0) * utilization,
            "Chips that are used less take longer: divide by `utilization`.",
        ),
        Mistake(
            lambda flops, chips, peak, utilization: _days(flops, chips, peak, utilization) * 24,
            "Those are hours. A day has 86,400 seconds.",
        ),
        Mistake(
            lambda flops, chips, peak, utilization: _days(flops, 1, peak, utilization),
            "You use one chip. They work side by side.",
        ),
    ),
)


EXERCISES = (
    TRAINING_FLOPS,
    ATTENTION_FRACTION,
    SPLIT,
    DOUBLING,
    CHIP_DAYS,
)
