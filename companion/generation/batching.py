"""Batching: in which step of a server which text is extended, in fixed batches or with places refilled at once.

Chapter: ``book/algorithms/inference.ipynb``. Source: Yu et al. 2022, "Orca", section 3 (iteration-level scheduling).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from companion.nn.checks import check_integer


@dataclass(frozen=True)
class Turn:
    """A text's stay in a place of the batch.

    Attributes:
        text: number of the text.
        place: row of the batch.
        start: first step in which it is extended.
        end: step after the last.
    """

    text: int
    place: int
    start: int
    end: int


def static_batches(lengths: Sequence[int], places: int) -> list[Turn]:
    """Turns when a batch is filled, and filled again only when its longest text has ended.

    >>> [turn.start for turn in static_batches([3, 1, 1], places=2)]
    [0, 0, 3]

    Args:
        lengths: number of steps of each text, in the order of arrival; all wait from the start.
        places: rows of the batch.

    Raises:
        ValueError: when a number is below 1.
    """
    _check(lengths, places)
    turns, start = list[Turn](), 0
    for first in range(0, len(lengths), places):
        batch = lengths[first : first + places]
        turns += [Turn(first + row, row, start, start + length) for row, length in enumerate(batch)]
        start += max(batch)
    return turns


def continuous_batches(lengths: Sequence[int], places: int) -> list[Turn]:
    """Turns when the next text takes a place as soon as one is free.

    >>> [turn.start for turn in continuous_batches([3, 1, 1], places=2)]
    [0, 0, 1]

    Args:
        lengths: as for :func:`static_batches`.
        places: rows of the batch.

    Raises:
        ValueError: when a number is below 1.
    """
    _check(lengths, places)
    turns, free = list[Turn](), [0] * places  # step from which each place is free
    for text, length in enumerate(lengths):
        place = min(range(places), key=free.__getitem__)
        turns.append(Turn(text, place, free[place], free[place] + length))
        free[place] += length
    return turns


def n_steps(turns: Sequence[Turn]) -> int:
    """Number of steps until all texts have ended.

    >>> n_steps(continuous_batches([3, 1, 1], places=2))
    3
    """
    return max(turn.end for turn in turns)


def occupancy(turns: Sequence[Turn], places: int) -> float:
    """Fraction of places times steps in which a text is extended.

    >>> occupancy(continuous_batches([3, 1, 1], places=2), places=2)
    0.8333333333333334
    """
    return sum(turn.end - turn.start for turn in turns) / (places * n_steps(turns))


def _check(lengths: Sequence[int], places: int) -> None:
    check_integer("places", places)
    if not lengths:
        raise ValueError("lengths must name at least one text; got none")
    for length in lengths:
        check_integer("lengths", length)
