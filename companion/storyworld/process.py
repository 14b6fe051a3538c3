"""The stochastic process that tells stories: a tree of weighted choices over what can happen next.

Each choice is a list of pairs (weight, branch); a branch is an :class:`Event`, the next choice, or a function that
returns it. A weight is a number, or a tuple of one number per genre. One tree serves two walks:
:meth:`Process.sample` follows one branch, :meth:`Process.outcomes` lists all of them. Chapter:
``book/concepts/storyworld.ipynb``.
"""

import random
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from companion.storyworld.lexicon import MOODS, OBJECTS, PEOPLE, PLACES, Size
from companion.storyworld.state import QUESTIONS, Event, State

Weight = float | tuple[float, ...]
Branch: TypeAlias = "Event | Choice | Callable[[], Choice]"
Choice = list[tuple[Weight, Branch]]

FAVOUR = 8.0  # weight of a genre's own places and objects; that of others is 1
COMPANY = 3.0  # factor of the weight of a place where somebody else is already
THIRD = 0.5  # probability of one more person at the opening
STOP_EVENTS = 1 / 7  # probability, before each event, that the events are over
STOP_QUESTIONS = 1 / 8  # the same before each question
PRONOUN = 0.5  # weight of a pronoun for the last subject; its name has the rest of 1
VERBS = {"go": 3.0, "take": 2.0, "give": 3.0, "get": 3.0, "feel": 2.0}


class Process:
    """Tree of choices of a world of one size."""

    def __init__(self, size: Size) -> None:
        """Take the names of this size, and each genre's weights for them."""
        self.size = size
        self.people = list(PEOPLE)[: size.people]
        self.places = list(PLACES)[: size.places]
        self.objects = list(OBJECTS)[: size.objects]
        self.moods = list(MOODS)[: size.moods]
        self.place_weights = _favoured(self.places, size.genres)
        self._made: dict[tuple[str, str, bool], list[Event]] = {}
        self.company_weights = {
            place: tuple(w * COMPANY for w in weights) for place, weights in self.place_weights.items()
        }
        self.object_weights = _favoured(self.objects, size.genres)

    def sample(self, state: State, genre: int, draw: random.Random) -> Event:
        """Draw the next event, given the hidden genre."""
        choice = self._next(state)
        while True:
            branch = choice[0][1] if len(choice) == 1 else _drawn(choice, genre, draw)
            if isinstance(branch, Event):
                return branch
            choice = branch if isinstance(branch, list) else branch()

    def outcomes(self, state: State) -> tuple[list[Event], np.ndarray]:
        """All possible next events, and their probabilities under each genre: (outcomes, genres)."""
        events: list[Event] = []
        probabilities: list[np.ndarray] = []

        def walk(choice: Choice, before: np.ndarray) -> None:
            weights: list[Any] = [weight for weight, _ in choice]  # numbers, or tuples, which numpy divides
            total = sum(weights) if isinstance(weights[0], float) else np.sum(weights, axis=0)
            after: dict[Weight, np.ndarray] = {}  # most branches of a choice have the same weight
            for weight, (_, branch) in zip(weights, choice, strict=True):
                if weight not in after:
                    after[weight] = before * (weight / total)
                if isinstance(branch, Event):
                    events.append(branch)
                    probabilities.append(after[weight])
                else:
                    walk(branch if isinstance(branch, list) else branch(), after[weight])

        walk(self._next(state), np.ones(self.size.genres))
        return events, np.array(probabilities)

    def _next(self, s: State) -> Choice:
        if len(s.place) < 2:
            return self._newcomers(s)
        if s.questions:
            return self._questions(s)
        going_on: Choice = []
        if s.events < self.size.events:
            going_on = [(1 - STOP_EVENTS, partial(self._subjects, s))]
        going_on.append((STOP_EVENTS if going_on else 1.0, partial(self._questions, s)))
        if s.events == 0 and len(s.place) < self.size.cast:
            return [(THIRD, partial(self._newcomers, s)), (1 - THIRD, going_on)]
        return going_on

    def _newcomers(self, s: State) -> Choice:
        new = [person for person in self.people if person not in s.place]
        return [(1.0, partial(self._where, s, person, "be", False)) for person in new]

    def _subjects(self, s: State) -> Choice:
        choice: Choice = []
        for person in s.place:
            if person == s.last and s.events:
                choice.append((PRONOUN, partial(self._verbs, s, person, True)))
                choice.append((1 - PRONOUN, partial(self._verbs, s, person, False)))
            else:
                choice.append((1.0, partial(self._verbs, s, person, False)))
        return choice

    def _verbs(self, s: State, person: str, pronoun: bool) -> Choice:
        near = [other for other, place in s.place.items() if place == s.place[person] and other != person]
        held = [thing for thing, holder in s.holder.items() if holder == person]
        offered = [(thing, holder) for thing, holder in s.holder.items() if holder in near]
        choice: Choice = [(VERBS["go"], partial(self._where, s, person, "go", pronoun))]
        if len(s.holder) < len(self.objects):
            choice.append((VERBS["take"], partial(self._take, s, person, pronoun)))
        if held and near:
            gifts = [(thing, other) for thing in held for other in near]
            choice.append((VERBS["give"], partial(self._hand_over, gifts, person, "give", pronoun)))
        if offered:
            choice.append((VERBS["get"], partial(self._hand_over, offered, person, "get", pronoun)))
        choice.append((VERBS["feel"], partial(self._feel, s, person, pronoun)))
        return choice

    def _hand_over(self, pairs: list[tuple[str, str]], person: str, kind: str, pronoun: bool) -> Choice:
        return [(1.0, Event(kind, person, object=o, other=p, pronoun=pronoun)) for o, p in pairs]

    def _feel(self, s: State, person: str, pronoun: bool) -> Choice:
        moods = [m for m in self.moods if s.mood.get(person) != m]
        return [(1.0, Event("feel", person, word=m, pronoun=pronoun)) for m in moods]

    def _where(self, s: State, person: str, kind: str, pronoun: bool) -> Choice:
        here = s.place.get(person)
        company = set(s.place.values())
        choice: Choice = []
        for event in self._arrivals(person, kind, pronoun):
            if event.place != here:
                weights = self.company_weights if event.place in company else self.place_weights
                choice.append((weights[event.place], event))
        return choice

    def _arrivals(self, person: str, kind: str, pronoun: bool) -> list[Event]:
        """A person's arrival at each place; made once, since no other events are listed as often."""
        key = (person, kind, pronoun)
        if key not in self._made:
            self._made[key] = [Event(kind, person, place=place, pronoun=pronoun) for place in self.places]
        return self._made[key]

    def _take(self, s: State, person: str, pronoun: bool) -> Choice:
        free = [(o, w) for o, w in self.object_weights.items() if o not in s.holder]
        return [(w, Event("take", person, object=o, pronoun=pronoun)) for o, w in free]

    def _questions(self, s: State) -> Choice:
        if s.questions >= self.size.questions:
            return [(1.0, Event("end"))]
        asked_of = {"where": s.place, "find": s.holder, "who": s.holder, "how": s.mood, "see": s.place}
        kinds: Choice = [(1.0, partial(self._asked, s, kind)) for kind in QUESTIONS if asked_of[kind]]
        return [(STOP_QUESTIONS, Event("end")), (1 - STOP_QUESTIONS, kinds)]

    def _asked(self, s: State, kind: str) -> Choice:
        return [(1.0, event) for event in self.questions_of(s, kind)]

    def questions_of(self, s: State, kind: str) -> list[Event]:
        """All possible questions of one kind, with their answers; they are equally likely."""
        if kind == "where":
            return [Event(kind, p, place=place) for p, place in s.place.items()]
        if kind == "find":
            return [Event(kind, object=o, other=p, place=s.place[p]) for o, p in s.holder.items()]
        if kind == "who":
            return [Event(kind, object=o, other=p) for o, p in s.holder.items()]
        if kind == "how":
            return [Event(kind, p, word=mood) for p, mood in s.mood.items()]
        pairs = [(a, b) for a in s.place for b in s.place if a != b]
        return [Event(kind, a, other=b, word="yes" if s.together(a, b) else "no") for a, b in pairs]


def _drawn(choice: Choice, genre: int, draw: random.Random) -> Branch:
    """A branch drawn in proportion to the weights."""
    weights = [w if isinstance(w, float) else w[genre] for w, _ in choice]
    left = draw.random() * sum(weights)
    for i, weight in enumerate(weights):
        left -= weight
        if left < 0:
            return choice[i][1]
    return choice[-1][1]  # rounding may leave a little


def _favoured(words: list[str], genres: int) -> dict[str, tuple[float, ...]]:
    """Weight of each word in each genre; pairs of neighbours belong to one genre."""
    return {word: tuple(FAVOUR if i // 2 % genres == g else 1.0 for g in range(genres)) for i, word in enumerate(words)}
