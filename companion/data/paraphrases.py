"""Plain English sentences, each with two queries that ask for it: in its own content words, and in none of them.

Chapter: ``book/algorithms/retrieval.ipynb``. They were written for this book and have its licence,
and lie in ``companion/data/paraphrases/sentences.tsv``.
"""

import re
from importlib import resources
from typing import NamedTuple


class Paraphrase(NamedTuple):
    """A sentence and two queries for it.

    Attributes:
        sentence: the text to be found.
        same_words: query with all of its content words, in other order or with other function words.
        other_words: query about the same with none of its content words.
    """

    sentence: str
    same_words: str
    other_words: str


def paraphrases() -> list[Paraphrase]:
    """The sentences with their queries, in a fixed order; five about each of twelve subjects.

    >>> print(paraphrases()[6].sentence, paraphrases()[6].other_words)
    It has not rained here since April. The drought in this valley has lasted for months.
    """
    text = (resources.files("companion.data") / "paraphrases" / "sentences.tsv").read_text(encoding="utf8")
    return [Paraphrase(*line.split("\t")) for line in text.splitlines()[1:]]


def words(text: str) -> list[str]:
    """Lower-case words of an English text, without punctuation.

    >>> words("It's late, isn't it?")
    ['it', 's', 'late', 'isn', 't', 'it']
    """
    return re.findall("[a-z]+", text.lower())


FUNCTION_WORDS = frozenset(
    words(
        "a about across after again all an and another any anyone are as at be because been before between but by can "
        "did do does down each every for from had has have he her here him his how i if in is it its itself may me "
        "must my no nobody not of off on one only or our out over she since so some something than that the their "
        "them then there these they this through to too under until up us was we were what when whenever where "
        "whether which while who whoever will with within would you your"
    )
)


def content_words(text: str) -> set[str]:
    """Words of an English text that are no function words.

    >>> sorted(content_words("The dog is on the sofa."))
    ['dog', 'sofa']
    """
    return set(words(text)) - FUNCTION_WORDS
