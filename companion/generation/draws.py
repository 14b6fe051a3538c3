"""Draws: one choice by its probabilities, or each possible choice in turn, which gives an exact distribution.

A program that draws is a function of ``draw``; run with :func:`seeded_draw` it samples, run by :func:`outcomes` it is
followed along every branch. Chapter: ``book/algorithms/inference.ipynb``.
"""

from collections.abc import Callable, Hashable
from typing import TypeVar

import torch
from torch import Tensor

Draw = Callable[[Tensor], int]  # probabilities (choices,) -> index of one of them
Outcome = TypeVar("Outcome", bound=Hashable)


def seeded_draw(seed: int) -> Draw:
    """Draws from a random generator of its own.

    >>> draw = seeded_draw(0)
    >>> draw(torch.tensor([0.0, 1.0]))
    1
    """
    generator = torch.Generator().manual_seed(seed)
    return lambda probabilities: int(torch.multinomial(probabilities, 1, generator=generator))


def outcomes(program: Callable[[Draw], Outcome]) -> dict[Outcome, float]:
    """Exact distribution of what a program returns, which is run once for each sequence of choices it can make.

    >>> coin = torch.tensor([0.5, 0.5], dtype=torch.float64)
    >>> outcomes(lambda draw: draw(coin) + draw(coin))
    {0: 0.25, 1: 0.5, 2: 0.25}

    Args:
        program: deterministic but for its draws; it must end on every branch.
    """
    found: dict[Outcome, float] = {}
    pending: list[list[int]] = [[]]  # beginnings of branches that are still to be followed
    while pending:
        branch = _Branch(pending.pop(0))
        outcome = program(branch.draw)
        found[outcome] = found.get(outcome, 0.0) + branch.probability
        pending += branch.others
    return found


class _Branch:
    """Draws that follow a given beginning, then always the first choice; the others are noted."""

    def __init__(self, beginning: list[int]) -> None:
        self.beginning, self.taken = beginning, list[int]()
        self.others: list[list[int]] = []
        self.probability = 1.0

    def draw(self, probabilities: Tensor) -> int:
        """Make the branch's next choice."""
        place = len(self.taken)
        if place < len(self.beginning):
            choice = self.beginning[place]
        else:
            choice, *others = probabilities.nonzero().flatten().tolist()
            self.others += [[*self.taken, other] for other in others]
        self.taken.append(choice)
        self.probability *= probabilities[choice].item()
        return int(choice)
