"""Events, and the state of the world after them: who is where, who has what, who feels how.

Chapter: ``book/concepts/storyworld.ipynb``.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple


class Event(NamedTuple):
    """Meaning of one sentence of a story, in no language.

    Attributes:
        kind: "be", "go", "take", "give", "get", "feel" (statements), "where", "find", "who", "how", "see"
            (questions with their answers), or "end".
        subject: person that the sentence is about.
        place: place of "be" and "go", or the answer of "where" and "find".
        object: object that is taken, given or asked about.
        other: second person: who receives ("give"), who hands over ("get"), who holds (the answer of "who" and
            "find"), or who may be with the subject ("see").
        word: mood, or "yes" or "no".
        pronoun: whether a pronoun stands for the subject, which is that of the sentence before.
    """

    kind: str
    subject: str = ""
    place: str = ""
    object: str = ""
    other: str = ""
    word: str = ""
    pronoun: bool = False


STATEMENTS = ("be", "go", "take", "give", "get", "feel")
QUESTIONS = ("where", "find", "who", "how", "see")


@dataclass
class State:
    """State of the world after the events so far; :meth:`apply` updates it.

    >>> state = State.after([Event("be", "Tom", place="park"), Event("take", "Tom", object="key")])
    >>> state.place, state.holder
    ({'Tom': 'park'}, {'key': 'Tom'})

    Attributes:
        place: person -> place, in the order of appearance.
        holder: object -> person who has it; objects that nobody has taken yet are missing.
        mood: person -> mood, where it was told.
        last: subject of the last statement.
        events: number of statements since the opening.
        questions: number of questions so far.
        ended: whether the story is over.
    """

    place: dict[str, str] = field(default_factory=dict)
    holder: dict[str, str] = field(default_factory=dict)
    mood: dict[str, str] = field(default_factory=dict)
    last: str = ""
    events: int = 0
    questions: int = 0
    ended: bool = False

    def apply(self, event: Event) -> None:
        """Update the state by ``event``; questions change nothing but their number."""
        kind, subject = event.kind, event.subject
        if kind in QUESTIONS:
            self.questions += 1
            return
        if kind == "end":
            self.ended = True
            return
        if kind in ("be", "go"):
            self.place[subject] = event.place
        elif kind in ("take", "get"):
            self.holder[event.object] = subject
        elif kind == "give":
            self.holder[event.object] = event.other
        else:
            self.mood[subject] = event.word
        self.events += kind != "be"
        self.last = subject

    @classmethod
    def after(cls, events: Iterable[Event]) -> "State":
        """State after ``events``."""
        state = cls()
        for event in events:
            state.apply(event)
        return state

    def together(self, one: str, other: str) -> bool:
        """Whether two people are in the same place."""
        return self.place[one] == self.place[other]
