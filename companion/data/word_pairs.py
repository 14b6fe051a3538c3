"""Names of territories, languages, currencies and scripts in English and in another language, from Unicode's CLDR.

They come with the package ``babel``, so nothing is fetched. Chapter: ``book/concepts/tokenization.ipynb``. Source: the
Unicode Common Locale Data Repository (Unicode License).
"""

from collections.abc import Iterable
from typing import NamedTuple

from babel import Locale, UnknownLocaleError

from companion.data.hub import Texts
from companion.data.prose import hashed

TABLES = {"territory": "territories", "language": "languages", "currency": "currencies", "script": "scripts"}
KINDS = tuple(TABLES)
VALIDATION, TEST = 0.1, 0.2


class WordPair(NamedTuple):
    """A name in two languages.

    Attributes:
        kind: of what it is the name, one of ``KINDS``.
        english: the name in English.
        other: the name in the other language.
    """

    kind: str
    english: str
    other: str


class Splits(NamedTuple):
    """Pairs that a model learns from, is chosen by, and is measured on.

    Attributes:
        train: training pairs.
        validation: pairs for early stopping and choices of hyperparameters.
        test: pairs for the one last measurement.
    """

    train: list[WordPair]
    validation: list[WordPair]
    test: list[WordPair]


def word_pairs(language: str) -> list[WordPair]:
    """The names that CLDR has in English and in another language; no name, in either, stands in two pairs.

    >>> [pair for pair in word_pairs("fr") if pair.english == "Germany"]
    [WordPair(kind='territory', english='Germany', other='Allemagne')]

    Args:
        language: code of the language, such as "fr", "de", "zh".

    Raises:
        ValueError: when CLDR has no such language.
    """
    try:
        english, other = Locale("en"), Locale.parse(language)
    except (ValueError, UnknownLocaleError) as error:
        raise ValueError(f"CLDR has no language {language!r}; a code such as 'fr' or 'zh' is needed") from error
    found: list[WordPair] = []
    seen: set[tuple[str, str]] = set()
    for kind, table in TABLES.items():
        ours, theirs = getattr(english, table), getattr(other, table)
        for code in sorted(set(ours) & set(theirs)):
            names = (ours[code].casefold(), "english"), (theirs[code].casefold(), "other")
            if code not in (ours[code], theirs[code]) and seen.isdisjoint(names):  # a code is no name
                seen.update(names)
                found.append(WordPair(kind, ours[code], theirs[code]))
    return found


def split(pairs: Iterable[WordPair]) -> Splits:
    """Pairs in three parts, by a hash of the English name: in every language the same names are held out.

    >>> parts = split(word_pairs("zh"))
    >>> len(parts.train) > len(parts.test) > len(parts.validation) > 100
    True
    """
    parts = Splits([], [], [])
    for pair in pairs:
        draw = hashed(pair.english.casefold())
        (parts.test if draw < TEST else parts.validation if draw < TEST + VALIDATION else parts.train).append(pair)
    return parts


def by_kind(pairs: Iterable[WordPair]) -> Texts:
    """The other language's names as texts, each labelled with its kind.

    >>> by_kind([WordPair("territory", "Germany", "Allemagne")]).labels
    ['territory']
    """
    listed = list(pairs)
    return Texts([pair.other for pair in listed], [pair.kind for pair in listed], KINDS)
