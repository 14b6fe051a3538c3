"""What is true in a story: who is where, who has what, how each one feels.

Chapter: ``book/concepts/storyworld.ipynb``.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple


class Event(NamedTuple):
    """One sentence of a story, in no language.

    Attributes:
        kind: "be", "go", "take", "give", "get", "feel" (statements), "where", "find", "who", "how", "see"
            (questions with their answers), or "end".
        subject: the person that the sentence is about, or the object that is asked about.
        place: of "be" and "go", or the answer of "where" and "find".
        object: what is taken, given or asked about.
        other: the second person: who receives ("give"), who hands over ("get"), who holds (the answer of "who" and
            "find"), or who is with the subject ("see").
        word: a mood, or "yes" or "no".
        pronoun: the subject is not named, because it is the subject of the sentence before.
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
    """The world after the events so far; :meth:`apply` moves it on.

    Attributes:
        place: person -> where they are, in the order of appearance.
        holder: object -> who has it; objects that nobody has taken yet are missing.
        mood: person -> how they feel, for those of whom it was said.
        last: the subject of the last statement.
        events: statements since the opening.
        questions: asked so far.
        ended: the story is over.
    """

    place: dict[str, str] = field(default_factory=dict)
    holder: dict[str, str] = field(default_factory=dict)
    mood: dict[str, str] = field(default_factory=dict)
    last: str = ""
    events: int = 0
    questions: int = 0
    ended: bool = False

    def apply(self, event: Event) -> None:
        """Make ``event`` true; questions change nothing but their number."""
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
        """Return what is true after ``events``."""
        state = cls()
        for event in events:
            state.apply(event)
        return state

    def together(self, one: str, other: str) -> bool:
        """Whether two people are in the same place."""
        return self.place[one] == self.place[other]
