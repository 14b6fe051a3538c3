"""Pairs of English nouns with the similarity that people gave them: what the vectors of words are compared with.

WordSim-353 asks how *related* two words are, so that *coffee, cup* score high, and opposites do; SimLex-999 and RG-65
ask how *similar* they are. They only measure: nothing learns from them, so there are no splits. Of WordSim-353 and
SimLex-999 the pairs of nouns are here. :mod:`companion.data.fetched` fetches them. Chapter:
``book/algorithms/bert.ipynb``. Sources: Finkelstein et al. 2002 (WordSim-353); Hill et al. 2015 (SimLex-999);
Rubenstein & Goodenough 1965 (RG-65).
"""

from pathlib import Path
from typing import NamedTuple

from companion.data.fetched import folder

NAME = "word-similarity"
SETS = ("wordsim-353", "simlex-999", "rg-65")


class Rated(NamedTuple):
    """Two words and what people said of them.

    Attributes:
        first: one word.
        second: the other.
        score: mean of the ratings; from 0 to 10, in RG-65 to 4.
    """

    first: str
    second: str
    score: float


def word_similarity(name: str, place: str | Path | None = None) -> list[Rated]:
    """The pairs of a set, in the order in which they were published.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place:  # without a place: that of the package registry
    ...     _ = Path(place, "rg-65.txt").write_text("gem\\tjewel\\t3.94\\n")
    ...     word_similarity("rg-65", place)
    [Rated(first='gem', second='jewel', score=3.94)]

    Args:
        name: "wordsim-353", "simlex-999" or "rg-65".
        place: folder with a file of each set; when not given, the cache, which fetches them.

    Raises:
        ValueError: on another name.
        companion.data.fetched.NotFetchedError: when they are not in the cache and cannot be downloaded.
    """
    if name not in SETS:
        raise ValueError(f"no set of rated words is called {name!r}; there is {', '.join(SETS)}")
    path = (folder(NAME) if place is None else Path(place)) / f"{name}.txt"
    rows = (line.split() for line in path.read_text(encoding="utf-8").splitlines())
    return [Rated(first, second, float(score)) for first, second, score in rows]
