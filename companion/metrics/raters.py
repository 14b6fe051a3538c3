"""Agreement of people who rate the same texts: what one of them reaches against the others.

Chapter: ``book/concepts/transfer.ipynb``.
"""

from collections.abc import Sequence
from typing import NamedTuple


class OneRater(NamedTuple):
    """One rater against the mean of the others, over all raters and texts.

    Attributes:
        accuracy: fraction of the ratings whose sign is that of the others' mean; a neutral one counts a half, as a
            guess does.
        decided: the same fraction among the ratings that are not neutral.
        neutral: fraction of the ratings that are neutral.
    """

    accuracy: float
    decided: float
    neutral: float


def one_rater(ratings: Sequence[Sequence[int]]) -> OneRater:
    """How often one person's judgement, negative or positive, is that of all others.

    It is the human yardstick for a classifier that is measured by the mean rating. It is no upper bound: a mean is
    steadier than any one who contributes to it. Ratings of texts about which the others are exactly undecided are left
    out.

    >>> one_rater([(3, 2, 4, -1), (-2, -1, -3, 0)])
    OneRater(accuracy=0.8125, decided=0.8571428571428571, neutral=0.125)

    Args:
        ratings: for each text the ratings that it was given, 0 = neutral.

    Raises:
        ValueError: when a text has fewer than two ratings, or none can be judged.
    """
    right = neutral = judged = 0
    for given in ratings:
        if len(given) < 2:
            raise ValueError(f"each text needs at least 2 ratings; got {list(given)}")
        total = sum(given)
        for one in given:
            others = total - one
            judged += others != 0
            neutral += others != 0 and one == 0
            right += one * others > 0
    if judged in (0, neutral):
        raise ValueError("no rating can be judged: all are neutral, or the others are undecided")
    return OneRater((right + neutral / 2) / judged, right / (judged - neutral), neutral / judged)
