"""Exact next-token probabilities of a story, read token by token.

After each sentence, all possible next sentences are listed with their probabilities. Tokens narrow the list down; a
token's probability is the mass of what is left over the mass before it. The hidden genre is marginalised: the reader
keeps its posterior, ``p(genre | sentences so far)``. Chapter:
``book/concepts/storyworld.ipynb``.
"""

import math

import numpy as np

from companion.storyworld.language import say
from companion.storyworld.process import Process
from companion.storyworld.state import STATEMENTS, Event, State


class Reader:
    """Exact inference over a story that is read token by token.

    >>> from companion.storyworld import World
    >>> reader = World("tiny").reader()
    >>> reader.next_probabilities()
    {'Tom': 0.5, 'Anna': 0.5}
    >>> round(math.exp(reader.read("Tom")), 2), reader.next_probabilities()
    (0.5, {'is': 1.0})

    Attributes:
        state: state of the world after the last whole sentence.
        events: events so far.
        genres: posterior of the genres, given the whole sentences so far: (genres,), sums to 1.
    """

    def __init__(self, process: Process, language: str) -> None:
        """Start before the first token."""
        self.process, self.language = process, language
        self.state = State()
        self.events: list[Event] = []
        self.genres = np.full(process.size.genres, 1 / process.size.genres)
        self._left: list[int] = []
        self._said: list[tuple[str, ...]] = []
        self._total = 1.0
        self._begin()

    def next_probabilities(self) -> dict[str, float]:
        """Probability of every token that can follow; empty after the end of the story."""
        masses: dict[str, float] = {}
        for k in self._left:
            token = self._said[k][self._place]
            masses[token] = masses.get(token, 0.0) + self._mass[k]
        return {token: mass / self._total for token, mass in masses.items()}

    def sentences(self) -> dict[tuple[str, ...], float]:
        """Probability of every sentence that can follow the last whole one."""
        return dict(zip(self._said, self._joint.sum(axis=1).tolist(), strict=True))

    def going_on(self) -> float:
        """Probability that the next sentence tells of an event after the opening."""
        masses = (m for e, m in zip(self._events, self._mass, strict=True) if e.kind in STATEMENTS and e.kind != "be")
        return math.fsum(masses)

    def read(self, token: str) -> float:
        """Log-probability of the next token, in nats; the reader moves past it.

        Raises:
            ValueError: when no story goes on like this; the reader stays where it was.
        """
        left = [k for k in self._left if self._said[k][self._place] == token]
        if not left:
            allowed = ", ".join(self.next_probabilities()) or "nothing: the story is over"
            raise ValueError(f"{token!r} cannot follow here; what can: {allowed}")
        total = math.fsum(self._mass[k] for k in left)
        log_prob = math.log(total / self._total)
        self._left, self._total = left, total
        self._place += 1
        if self._place == len(self._said[left[0]]):  # no sentence is the beginning of another: one is left
            self._finish(left[0])
        return log_prob

    def _finish(self, chosen: int) -> None:
        self.genres = self._joint[chosen] / self._joint[chosen].sum()
        event = self._events[chosen]
        self.state.apply(event)
        self.events.append(event)
        self._begin()

    def _begin(self) -> None:
        """List what can follow; ``_joint`` is (outcomes, genres)."""
        self._place, self._total = 0, 1.0
        if self.state.ended:
            self._left = []
            return
        self._events, probabilities = self.process.outcomes(self.state)
        self._joint = probabilities * self.genres
        self._mass: list[float] = self._joint.sum(axis=1).tolist()
        self._said = [say(event, self.language) for event in self._events]
        self._left = list(range(len(self._events)))
