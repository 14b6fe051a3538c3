"""The book shows the run that passed under nbmake, and nothing of one that did not."""

import subprocess
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from stored_outputs import FOLDER, MEASURED, read, save

from notebooks import METADATA
from run_notebooks import run


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """The root of a book over a package of one line, in a folder with an odd name, without a notebook yet."""
    root = tmp_path / "a b[c]%20"
    (root / "companion").mkdir(parents=True)
    (root / "companion" / "__init__.py").write_text("")
    (root / "requirements.txt").write_text("")
    (root / "pytest.ini").write_text("[pytest]\n")
    return root


def chapter(book: Path, name: str, code: str) -> Path:
    path = book / "book" / f"{name}.ipynb"
    path.parent.mkdir(exist_ok=True)
    cell = new_code_cell(code, metadata={"tags": ["hide-cell"]})
    nbformat.write(new_notebook(cells=[cell], metadata=METADATA), path)
    return path


def outputs(book: Path, path: Path) -> list[str] | None:
    """What the book would show below the only cell; None when it would run it."""
    found = read(book, path)
    assert found is not None
    stored = book / "_build" / FOLDER / found.name
    return [one.text for one in nbformat.read(stored, as_version=4).cells[0].outputs] if stored.exists() else None


@pytest.mark.slow
def test_the_outputs_of_what_passed_are_kept_and_what_failed_or_met_a_limit_is_run_again(book: Path, capfd):
    passes = chapter(book, "passes", "import time\n\nprint(time.time_ns())")
    floods = chapter(book, "floods", "while True:\n    print('again and again' * 1000)")
    raises = chapter(book, "raises", "1 / 0")
    before = passes.read_bytes()
    assert run(book, [passes, floods, raises], ["-q"]) != 0
    assert "cell 1 wrote more than 10,000,000 characters" in capfd.readouterr().out
    assert (outputs(book, floods), outputs(book, raises)) == (None, None)
    shown = outputs(book, passes)
    assert shown is not None
    assert passes.read_bytes() == before

    mended = [chapter(book, name, "print(6 * 7)") for name in ("floods", "raises")]
    assert run(book, [passes, *mended], ["-q"]) == 0
    assert (outputs(book, floods), outputs(book, raises), outputs(book, passes)) == (["42\n"], ["42\n"], shown)


def test_the_longest_are_begun_first_as_they_lasted_here_or_were_measured(book: Path, monkeypatch):
    notebooks = [chapter(book, name, "print(1)") for name in ("short", "long", "longer here", "unknown")]
    measured = book / MEASURED
    measured.parent.mkdir(parents=True)
    measured.write_text('{"notebook_seconds": {"short": 1.0, "long": 30.0, "longer here": 2.0}}')
    ran = new_notebook(metadata={"seconds": 40.0})
    save(book / "_build" / FOLDER, f"longer here-{'0' * 16}.ipynb", ran)
    commands: list[list[str]] = []
    monkeypatch.setattr(subprocess, "call", lambda command, **_: commands.append(command) or 1)
    run(book, notebooks, [])
    begun = [Path(word).stem for word in commands[0] if word.endswith(".ipynb")]
    assert begun == ["longer here", "long", "short", "unknown"]
