"""One line says how far the notebooks are."""

import progress
import pytest
from progress import Progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock of one value, to be set."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_the_line_names_what_is_done_and_what_runs_at_which_cell(clock: list[float]):
    line = Progress({"concepts/language_model": 89, "algorithms/t5": 80, "gpt": 10}, {})
    line.at("gpt", 1)
    line.done("gpt")
    line.at("concepts/language_model", 40)
    line.at("algorithms/t5", 12)
    assert line.line() == "1 of 3, running: language_model (cell 40 of 89), t5 (12 of 80)"


def test_the_time_that_is_left_goes_by_the_last_runs(clock: list[float]):
    line = Progress({"short": 10, "long": 10}, {"short": 60.0, "long": 540.0})
    clock[0] = 60.0
    line.done("short")
    assert line.line() == "1 of 2, about 9 min left"


def test_without_a_last_run_it_goes_by_the_cells(clock: list[float]):
    line = Progress({"one": 30, "other": 10}, {})
    clock[0] = 30.0
    line.done("one")
    assert line.line() == "1 of 2, about 10 s left"


def test_the_heaviest_begin(clock: list[float]):
    cells = {"new": 40, "long": 10, "short": 10}
    assert Progress(cells, {"long": 90.0, "short": 10.0}).heaviest_first() == ["new", "long", "short"]
    assert Progress(cells, {}).heaviest_first()[0] == "new"
