"""Questions about paragraphs of the book's primer, each in two wordings, and questions that the primer leaves open.

Chapter: ``book/algorithms/retrieval.ipynb``. They were written for this book and have its licence, and lie in
``companion/data/primer_questions``. The primer is that of :mod:`companion.data.prose`.
"""

from importlib import resources
from typing import NamedTuple

from companion.data.prose import documents


class Question(NamedTuple):
    """A question that one paragraph of the primer answers.

    Attributes:
        paragraph: index of that paragraph in :func:`paragraphs`.
        evidence: words of the paragraph that hold the answer; they stand nowhere else in the primer.
        answers: short answers of which each is right, in lower case.
        same_words: the question in the words of the paragraph.
        other_words: the question in none of its content words.
        invented: whether the paragraph tells a story, so that nobody can know the answer without it.
    """

    paragraph: int
    evidence: str
    answers: tuple[str, ...]
    same_words: str
    other_words: str
    invented: bool


INVENTED = 20  # the first questions are about stories, the others about facts


def paragraphs() -> list[str]:
    """Paragraphs of the primer, the collection in which the questions search.

    >>> len(paragraphs())
    472
    """
    return documents(["primer"])


def questions() -> list[Question]:
    """Forty questions with their paragraph: twenty about invented stories, then twenty about facts.

    >>> one = questions()[20]
    >>> one.same_words, one.answers
    ('What is the place called where a river meets the sea?', ('mouth',))
    """
    collection = paragraphs()
    found = []
    for number, line in enumerate(_lines("answered.tsv")[1:]):
        evidence, answers, same_words, other_words = line.split("\t")
        at = next(i for i, text in enumerate(collection) if evidence in text)
        right = tuple(answers.split(";"))
        found.append(Question(at, evidence, right, same_words, other_words, number < INVENTED))
    return found


def open_questions() -> list[str]:
    """Twenty questions about the same subjects to which the primer has no answer.

    >>> open_questions()[0]
    "What was the name of Old Tom's neighbor, who set his clock right?"
    """
    return _lines("unanswered.txt")


def follow_ups() -> list[tuple[str, tuple[str, ...]]]:
    """What is asked next about each of the invented stories, with pronouns for what was asked first, and its answers.

    >>> follow_ups()[0]
    ('And how late did his letter come?', ('a day', 'one day'))
    """
    rows = (line.split("\t") for line in _lines("follow_ups.tsv")[1:])
    return [(question, tuple(answers.split(";"))) for question, answers in rows]


def people() -> list[set[str]]:
    """Names of the people in the paragraph of each invented story, without titles.

    >>> sorted(people()[11])
    ['Kim', 'Ruth']
    """
    return [{name for name in line.split(";") if name} for line in _lines("people.txt")]


def _lines(name: str) -> list[str]:
    return (resources.files("companion.data") / "primer_questions" / name).read_text(encoding="utf8").splitlines()
