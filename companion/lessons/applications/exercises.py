"""Exercises of ``book/practice/applications.ipynb``."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from companion.lessons.exercise_check import Exercise, Mistake
from companion.metrics.confidence import interval

Triple = tuple[str, str, str]

KEY = [("Tom", "is in", "park"), ("Tom", "has", "key"), ("Anna", "is in", "cellar"), ("Anna", "has", "map")]


def _scores(extracted: Sequence[Triple], true: Sequence[Triple]) -> tuple[float, float]:
    both = len(set(extracted) & set(true))
    return both / len(set(extracted)) if extracted else 0.0, both / len(set(true))


TRIPLES = Exercise(
    name="triple-scores",
    task="From the lists `extracted` and `true` of triples, return precision and recall; precision of no triple is 0.",
    reference=_scores,
    cases=lambda: [
        (KEY[:2], KEY),
        ([*KEY, ("Anna", "feels", "sad")], KEY),
        ([KEY[0], KEY[0], ("Tom", "has", "map")], KEY[:2]),
        ([], KEY),
    ],
    mistakes=(
        Mistake(lambda extracted, true: _scores(true, extracted) if extracted else (0.0, 0.0), "You swapped the two."),
        Mistake(
            lambda extracted, true: (
                sum(one in true for one in extracted) / max(len(extracted), 1),
                sum(one in true for one in extracted) / len(true),
            ),
            "A triple that was extracted twice counts twice. A graph has it once: take sets.",
        ),
        Mistake(
            lambda extracted, true: (
                _scores(extracted, true)[0],
                len({one[0] for one in extracted} & {one[0] for one in true}) / len({one[0] for one in true}),
            ),
            "You compare subjects. A triple is right only if all three parts are.",
        ),
    ),
)


def _where(facts: Sequence[Triple], thing: str) -> str | None:
    holder, place = dict[str, str](), dict[str, str]()
    for subject, relation, value in facts:
        if relation == "has":
            holder[value] = subject
        if relation == "is in":
            place[subject] = value
    return place.get(holder.get(thing, ""))


def _first(facts: Sequence[Triple], thing: str) -> str | None:
    return _where(list(reversed(facts)), thing)


def _place_at_the_time(facts: Sequence[Triple], thing: str) -> str | None:
    place, found = dict[str, str](), None
    for subject, relation, value in facts:
        if relation == "is in":
            place[subject] = value
        if relation == "has" and value == thing:
            found = place.get(subject)
    return found


def _any_holder(facts: Sequence[Triple], thing: str) -> str | None:
    return next((p for s, r, p in reversed(facts) if r == "is in" and (s, "has", thing) in facts), None)


WHERE = Exercise(
    name="two-steps",
    task=(
        "Given `facts`, triples in the order in which they were told, with the relations 'is in' and 'has', return the "
        "place where `thing` is at the end, by who has it last and where that person is last; None when it is not told."
    ),
    reference=_where,
    cases=lambda: [
        (KEY, "key"),
        ([*KEY, ("Anna", "has", "key")], "key"),
        ([*KEY, ("Tom", "is in", "school")], "key"),
        ([*KEY, ("Anna", "has", "key"), ("Anna", "is in", "river"), ("Tom", "is in", "school")], "key"),
        (KEY, "lamp"),
        ([("Tom", "has", "key")], "key"),
    ],
    mistakes=(
        Mistake(_first, "You take what was told first. The thing changes hands, and people move: the last counts."),
        Mistake(_place_at_the_time, "That is where it was taken. Whoever has it carries it along."),
        Mistake(_any_holder, "You take anyone who ever had it. Only the last one has it now."),
    ),
)


def _log(lines: Sequence[str]) -> tuple[float, float]:
    rows = [line.split() for line in lines]
    found = [row[2] == "right" for row in rows if row[1] == "found"]
    return sum(row[1] == "missed" for row in rows) / len(rows), found.count(False) / len(rows)


def _count(lines: Sequence[str], condition: Callable[[list[str]], bool]) -> int:
    return sum(condition(line.split()) for line in lines)


LINES = ["q1 found right", "q2 missed wrong", "q3 found wrong", "q4 missed right", "q5 found right", "q6 missed wrong"]
LOG = Exercise(
    name="which-stage",
    task=(
        "Each of `lines` is like 'q7 found wrong': question, whether the search found the text, whether the answer is "
        "right. Return two fractions of all questions: those in which the search missed, and those in which the text "
        "was found and the answer is wrong all the same."
    ),
    reference=_log,
    cases=lambda: [(LINES,), (LINES[:3],), (["a found wrong", "b found wrong", "c missed right"],)],
    mistakes=(
        Mistake(
            lambda lines: (
                _log(lines)[0],
                _count(lines, lambda row: row[2] == "wrong") / len(lines),
            ),
            "The second counts every wrong answer. Where the search missed, the reader had no chance.",
        ),
        Mistake(
            lambda lines: (
                _count(lines, lambda row: row[1:] == ["missed", "wrong"]) / len(lines),
                _log(lines)[1],
            ),
            "A search that missed has missed, also where the model was right by luck or from memory.",
        ),
        Mistake(
            lambda lines: (
                _log(lines)[0],
                _log(lines)[1] * len(lines) / max(1, _count(lines, lambda row: row[1] == "found")),
            ),
            "The second is a fraction of the questions whose text was found. Both are asked of all questions.",
        ),
    ),
)


def _difference(ours: Sequence[float], baseline: Sequence[float]) -> float:
    return interval([a - b for a, b in zip(ours, baseline, strict=True)]).low


def _unpaired(ours: Sequence[float], baseline: Sequence[float]) -> float:
    return interval(ours).low - interval(baseline).high


def _normal(ours: Sequence[float], baseline: Sequence[float]) -> float:
    d = [a - b for a, b in zip(ours, baseline, strict=True)]
    mean = sum(d) / len(d)
    return mean - 1.96 * math.sqrt(sum((x - mean) ** 2 for x in d)) / len(d)


BUG = Exercise(
    name="paired-low",
    task=(
        "Given `ours` and `baseline`, which say of the same items, in one order, whether each was right (1) or not "
        "(0), return the lower end of the 95 % interval of the mean difference, by `companion.metrics.confidence`."
    ),
    reference=_difference,
    cases=lambda: [
        ([1, 1, 1, 0, 1, 1], [1, 0, 1, 0, 0, 1]),
        ([1, 1, 0, 0, 1, 1, 1, 0], [0, 0, 0, 1, 1, 0, 0, 0]),
        ([0, 1, 0, 1], [1, 1, 0, 0]),
    ],
    mistakes=(
        Mistake(
            _unpaired,
            "You make an interval of each and compare their ends. That forgets that the items are the same.",
        ),
        Mistake(_normal, "Nearly: with few items use Student's t and n - 1, as `interval` does."),
        Mistake(lambda ours, baseline: -_difference(baseline, ours), "That is the upper end."),
    ),
)


def _choose(gains: dict[str, Sequence[float]], cost: dict[str, float]) -> str:
    useful = [name for name, gain in gains.items() if interval(gain).low > 0]
    return min(useful, key=cost.__getitem__) if useful else "baseline"


def _cases() -> list[tuple[Any, ...]]:
    cost = {"rules": 1.0, "small model": 10.0, "large model": 500.0}
    sure, luck, none = [1.0, 1.0, 0.0, 1.0, 1.0, 1.0], [1.0, 0.0, 0.0, 0.0, 1.0, -1.0], [0.0] * 6
    return [
        ({"rules": none, "small model": sure, "large model": [1.0] * 6}, cost),
        ({"rules": luck, "small model": luck, "large model": sure}, cost),
        ({"rules": luck, "small model": none, "large model": luck}, cost),
    ]


CHOOSE = Exercise(
    name="cheapest-that-helps",
    task=(
        "Given `gains`, each method's difference to the baseline on each item, and `cost`, return the name of the "
        "cheapest method whose 95 % interval of the mean gain lies above 0, or 'baseline' when there is none."
    ),
    reference=_choose,
    cases=_cases,
    mistakes=(
        Mistake(
            lambda gains, cost: max(gains, key=lambda name: sum(gains[name])),
            "You take the largest gain, whatever it costs and however uncertain it is.",
        ),
        Mistake(
            lambda gains, cost: min((n for n in gains if sum(gains[n]) > 0), key=cost.__getitem__, default="baseline"),
            "A mean above 0 can be luck. Ask for the lower end of the interval.",
        ),
        Mistake(
            lambda gains, cost: min(cost, key=cost.__getitem__),
            "The cheapest of all may gain nothing.",
        ),
    ),
)

EXERCISES = (TRIPLES, WHERE, LOG, BUG, CHOOSE)
