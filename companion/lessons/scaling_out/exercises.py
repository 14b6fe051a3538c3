"""Exercises of ``book/practice/scaling_out.ipynb``."""

import math
from collections import Counter
from collections.abc import Sequence

from companion.lessons.exercise_check import Exercise, Mistake


def _bytes(n: float, w: int, stage: int) -> float:
    divided = [w if stage >= least else 1 for least in (3, 2, 1)]
    return sum(size * n / by for size, by in zip((2, 2, 12), divided, strict=True))


ZERO = Exercise(
    name="zero-bytes",
    task=(
        "Return the bytes per process for `n` parameters (2 for a weight, 2 for its gradient, 12 for its optimizer "
        "states), `w` processes and ZeRO stage `stage`, 0 to 3."
    ),
    reference=_bytes,
    cases=lambda: [(1e9, 4, 0), (1e9, 4, 1), (1e9, 4, 2), (70e9, 64, 3)],
    mistakes=(
        Mistake(lambda n, w, stage: 16 * n / w, "You divide everything at every stage. Stage 0 divides nothing."),
        Mistake(
            lambda n, w, stage: _bytes(n, w, 0) if stage == 0 else _bytes(n, w, 4 - stage),
            "Your stages run backward: the optimizer states are sharded first, the weights last.",
        ),
        Mistake(
            lambda n, w, stage: _bytes(n, w, stage) - (8 * n / w if stage else 8 * n),
            "You forget Adam's two moments, or the master copy: 12 bytes, not 4.",
        ),
    ),
)


def _seconds(n: float, w: int, speed: float, delay: float) -> float:
    return 2 * (w - 1) * (2 * n / w / speed + delay)


RING = Exercise(
    name="ring-seconds",
    task=(
        "In a ring `w` processes sum `n` gradients of 2 bytes; a link carries `speed` bytes per second, and each "
        "message costs `delay` seconds more. Return the seconds."
    ),
    reference=_seconds,
    cases=lambda: [(1e9, 8, 50e9, 1e-5), (1e6, 64, 1e9, 1e-3), (100.0, 2, 1e3, 0.5)],
    mistakes=(
        Mistake(
            lambda n, w, speed, delay: _seconds(n, w, speed, delay) / 2,
            "That is one way round. Sums are collected, and then handed round.",
        ),
        Mistake(lambda n, w, speed, delay: _seconds(n / 2, w, speed, delay), "A gradient has 2 bytes."),
        Mistake(
            lambda n, w, speed, delay: 2 * (w - 1) * 2 * n / w / speed + delay,
            "Each message has its delay, not only the first: there are 2 (w - 1) of them, one after the other.",
        ),
        Mistake(
            lambda n, w, speed, delay: 2 * (w - 1) * (2 * n / speed + delay),
            "A message is a piece of the vector, one of `w`.",
        ),
    ),
)


def _mean_of_all(means: Sequence[float], counts: Sequence[int]) -> float:
    return sum(mean * count for mean, count in zip(means, counts, strict=True)) / sum(counts)


MEAN = Exercise(
    name="mean-of-all",
    task="From the mean loss of each process and its number of targets, return the mean loss over all targets.",
    reference=_mean_of_all,
    cases=lambda: [([2.0, 4.0], [30, 10]), ([1.0, 1.0, 4.0], [1, 1, 2]), ([3.0], [7])],
    mistakes=(
        Mistake(
            lambda means, counts: sum(means) / len(means),
            "Every process counts the same. A target of a process with few of them then counts more.",
        ),
        Mistake(
            lambda means, counts: sum(m * c for m, c in zip(means, counts, strict=True)) / len(means),
            "You weight by the number of targets, and must divide by all of them.",
        ),
        Mistake(
            lambda means, counts: _mean_of_all(means, [sum(counts) - c + 1 for c in counts]),
            "Your weights are the wrong way round: more targets, more weight.",
        ),
    ),
)


def _straggler(seconds: Sequence[Sequence[float]]) -> tuple[int, float]:
    slowest = Counter(list(row).index(max(row)) for row in seconds)
    spent = sum(len(row) * max(row) for row in seconds)
    return slowest.most_common(1)[0][0], (spent - sum(map(sum, seconds))) / spent


def _slowest_sum(seconds: Sequence[Sequence[float]]) -> int:
    totals = [sum(column) for column in zip(*seconds, strict=True)]
    return totals.index(max(totals))


ROWS = [[1.0, 1.0, 1.5, 1.0], [1.0, 1.1, 1.6, 1.0], [9.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.4, 1.2]]
STRAGGLER = Exercise(
    name="straggler",
    task=(
        "Row i of `seconds` has the seconds that each process computed in step i; all wait for the slowest. Return the "
        "number of the process that was slowest most often, and the fraction of all processes' time spent waiting."
    ),
    reference=_straggler,
    cases=lambda: [(ROWS,), (ROWS[:2],), ([[2.0, 1.0], [1.0, 1.0], [3.0, 1.0]],)],
    mistakes=(
        Mistake(
            lambda seconds: (_slowest_sum(seconds), _straggler(seconds)[1]),
            "That is the slowest in all. One bad step can make it so; who is slow most often?",
        ),
        Mistake(
            lambda seconds: (_straggler(seconds)[0], _straggler(seconds)[1] / (1 - _straggler(seconds)[1])),
            "You divide the waiting by the computing. Divide it by all the time that was spent.",
        ),
        Mistake(
            lambda seconds: (_straggler(seconds)[0], 1 - _straggler(seconds)[1]),
            "That is the fraction spent computing.",
        ),
    ),
)


def _fewest(n: float, memory: float, room: float) -> int:
    return math.ceil(round(16 * n / (memory * (1 - room)), 9))


GPUS = Exercise(
    name="fewest-gpus",
    task=(
        "Return the least number of GPUs of `memory` bytes that hold weights, gradients and optimizer states of `n` "
        "parameters fully sharded, 16 bytes each, when the fraction `room` of every GPU is kept for activations."
    ),
    reference=_fewest,
    cases=lambda: [(70e9, 80e9, 0.0), (70e9, 80e9, 0.3), (1e9, 80e9, 0.5), (5e9, 80e9, 0.0)],
    mistakes=(
        Mistake(
            lambda n, memory, room: _fewest(n, memory, 0.0),
            "The room for activations is missing.",
        ),
        Mistake(
            lambda n, memory, room: int(16 * n / (memory * (1 - room))),
            "You round down: then it does not fit, and none at all can hold nothing.",
        ),
        Mistake(
            lambda n, memory, room: _fewest(n / 8, memory, room),
            "That is enough for the weights alone.",
        ),
    ),
)

EXERCISES = (ZERO, RING, MEAN, STRAGGLER, GPUS)
