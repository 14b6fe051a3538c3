"""One line that says how far the notebooks are: which are done, which run, at which cell, and how long it may take."""

import threading
import time
from collections.abc import Mapping

SURE = 10.0  # seconds before an estimate is said


class Progress:
    """What is known of a run of several notebooks; a thread for each may tell it.

    A notebook weighs the seconds of its last run or, if it has none, its cells at the pace of the others.
    """

    def __init__(self, cells: Mapping[str, int], seconds: Mapping[str, float]) -> None:
        """Begin with the number of cells of each notebook by its name, and the seconds of those that ran before."""
        known = {name: seconds[name] for name in cells if seconds.get(name)}
        pace = sum(known.values()) / sum(cells[name] for name in known) if known else 1.0
        self.cells = dict(cells)
        self.weights = {name: known.get(name, pace * count) for name, count in cells.items()}
        self._at: dict[str, int] = {}  # cells begun, of the notebooks that run
        self._done: set[str] = set()
        self._start = time.monotonic()
        self._lock = threading.Lock()

    def heaviest_first(self) -> list[str]:
        """Return the names of the notebooks in the order in which they should start."""
        return sorted(self.cells, key=lambda name: -self.weights[name])

    def at(self, name: str, cell: int) -> None:
        """Note that a notebook begins a cell, counted from 1."""
        with self._lock:
            self._at[name] = cell

    def done(self, name: str) -> None:
        """Note that a notebook has ended."""
        with self._lock:
            self._at.pop(name, None)
            self._done.add(name)

    def line(self) -> str:
        """Return for example ``14 of 26, running: gpt (cell 40 of 89), t5 (12 of 80), about 4 min left``."""
        with self._lock:
            done, at = set(self._done), dict(self._at)
        running = [f"{name.rpartition('/')[2]} ({cell} of {self.cells[name]})" for name, cell in at.items()]
        parts = [f"{len(done)} of {len(self.cells)}"]
        if running:
            parts.append("running: " + ", ".join(running).replace("(", "(cell ", 1))
        made = sum(self.weights[name] for name in done)
        made += sum(self.weights[name] * (cell - 1) / self.cells[name] for name, cell in at.items())
        elapsed = time.monotonic() - self._start
        if made and elapsed > SURE:
            parts.append(f"about {spoken(elapsed * (sum(self.weights.values()) - made) / made)} left")
        return ", ".join(parts)


def spoken(seconds: float) -> str:
    """Return a duration in whole minutes, or below two minutes in tens of seconds."""
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{max(10, round(seconds, -1)):.0f} s"
