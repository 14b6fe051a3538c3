"""Ratios of the processor time of programs that do the same work, measured in turn in one process.

What slows the machine down slows all of them, so that a ratio of two neighbours says more than either time.
"""

import gc
import importlib.metadata
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Work = Callable[[], object]
OURS = "companion"


class MissingPeerError(Exception):
    """A peer that is not installed; the message says how it would be."""


def peer(distribution: str) -> str:
    """The version of an installed peer.

    Raises:
        MissingPeerError: when it is not installed.
    """
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError as error:
        raise MissingPeerError(f"not installed: pip install {distribution}") from error


def compared(makers: Mapping[str, Callable[[], Work]], rounds: int) -> dict[str, Any]:
    """Seconds of each program, and how many times as long as ours each peer took.

    Args:
        makers: name -> a function that makes the program, of which one is ``OURS``; it is run once before the clock.
        rounds: times that each is measured, one after the other in each round.

    Returns:
        "seconds" and, for the peers, "ratios", each with median, lowest and highest over the rounds; "left_out" names
        the peers that are not installed, and says how they would be.
    """
    works: dict[str, Work] = {}
    left_out = {}
    for name, make in makers.items():
        try:
            works[name] = make()
        except MissingPeerError as error:
            left_out[name] = str(error)
    for work in works.values():
        work()
    found: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            gc.collect()
            started = time.process_time()
            work()
            found[name].append(time.process_time() - started)
    return {
        "rounds": rounds,
        "seconds": {name: spread(seconds) for name, seconds in found.items()},
        "ratios": ratios(found),
        "left_out": left_out,
    }


def ratios(found: Mapping[str, Sequence[float]]) -> dict[str, dict[str, float]]:
    """How many times as much as ours each peer takes, round by round: median, lowest and highest."""
    return {
        name: spread([theirs / ours for theirs, ours in zip(values, found[OURS], strict=True)])
        for name, values in found.items()
        if name != OURS
    }


def spread(values: list[float]) -> dict[str, float]:
    """Median, lowest and highest of some values, to four digits."""
    parts = {"median": statistics.median(values), "lowest": min(values), "highest": max(values)}
    return {name: float(f"{value:.4g}") for name, value in parts.items()}
