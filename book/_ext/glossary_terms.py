"""The terms of the glossary as its source has them, and their two orders; part of ``glossary``.

The source is a list in YAML, ``book/appendix/terms.yml``, which says what its fields are.
"""

import re
import unicodedata
from dataclasses import MISSING, dataclass, fields
from itertools import groupby
from pathlib import Path

import yaml
from docutils.nodes import make_id

HAN = re.compile(r"[\u4e00-\u9fff]")


@dataclass(frozen=True)
class Term:
    """A term of art: its names in both languages, what it means, and the chapter (and section) that teaches it."""

    term: str
    chinese: str
    pinyin: str
    definition: str
    also: tuple[str, ...] = ()
    chapter: str | None = None

    @property
    def anchor(self) -> str:
        """Where the term stands on its page."""
        return f"term-{make_id(self.term)}"

    @property
    def letter(self) -> str:
        """The letter under which it stands in English."""
        return toneless(self.term)[0].upper()

    @property
    def chinese_letter(self) -> str:
        """The letter under which its Chinese name stands."""
        return self.reading[0][0].upper()

    @property
    def reading(self) -> tuple[str, ...]:
        """The syllables of the Chinese name without tones, what is not Chinese in it as it is: by this it is sorted."""
        syllables = iter(self.pinyin.split())
        read = (
            next(syllables) if HAN.match(part) else part for part in re.findall(f"{HAN.pattern}|[^\\W_]+", zh(self))
        )
        return tuple(toneless(part).lower() for part in read)


def zh(term: Term) -> str:
    """Return a Chinese name with its Latin parts set off from the characters."""
    return re.sub(f"(?<={HAN.pattern})|(?={HAN.pattern})", " ", term.chinese)


def toneless(text: str) -> str:
    """Return a text without the marks over its letters."""
    return "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))


def load(path: Path) -> tuple[Term, ...]:
    """Read the terms of a source.

    Raises:
        ValueError: an entry lacks a field, or has one that does not exist.
    """
    known = {field.name for field in fields(Term)}
    needed = {field.name for field in fields(Term) if field.default is MISSING}
    found = []
    for entry in yaml.safe_load(path.read_text(encoding="utf-8")):
        name = entry.get("term", entry)
        if missing := sorted(needed - set(entry)):
            raise ValueError(f"{path.name}: the term {name!r} lacks {', '.join(missing)}")
        if unknown := sorted(set(entry) - known):
            raise ValueError(f"{path.name}: the term {name!r} has {', '.join(unknown)}; choose from {sorted(known)}")
        found.append(Term(**{**entry, "also": tuple(entry.get("also", ()))}))
    return tuple(found)


def by_letter(terms: tuple[Term, ...]) -> list[tuple[str, list[Term]]]:
    """Return the terms in the order of their English names, by first letter."""
    ordered = sorted(terms, key=lambda term: toneless(term.term).lower())
    return [(letter, list(group)) for letter, group in groupby(ordered, key=lambda term: term.letter)]


def by_pinyin(terms: tuple[Term, ...]) -> list[tuple[str, list[Term]]]:
    """Return the terms in the order of their Chinese names' pinyin, by first letter."""
    ordered = sorted(terms, key=lambda term: (term.reading, term.pinyin))
    return [(letter, list(group)) for letter, group in groupby(ordered, key=lambda term: term.chinese_letter)]
