"""Chapters are run once, side by side and within limits; one that fails spoils no page but its own."""

import json
import re
from pathlib import Path

import cell_limits
import executed_chapters
import nbformat
import pytest
from cell_limits import LimitedClient, LimitExceeded
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from side_by_side import Failure, one_line
from small_sphinx import build

import outputs
from notebooks import METADATA

PASSES = "import time\n\nprint(f'moment={time.time_ns()}')"
RAISES = "raise ValueError('no <b>`such`</b> thing\\nhere')"
WAITS = "print('I wait', flush=True)\ntime.sleep(600)"
FLOODS = "while True:\n    print('again and again', flush=True)"


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """The root of a book over an empty package, without a chapter yet."""
    (tmp_path / "companion").mkdir()
    (tmp_path / "companion" / "__init__.py").write_text("")
    (tmp_path / "requirements.txt").write_text("")
    return tmp_path


def write(book: Path, **chapters: str) -> None:
    """Write chapters of a title, a cell that passes, and one more."""
    for name, code in chapters.items():
        cells = [new_markdown_cell(f"# About {name}\n\nIts text."), new_code_cell(PASSES), new_code_cell(code)]
        path = book / "book" / f"{name}.ipynb"
        path.parent.mkdir(exist_ok=True)
        nbformat.write(new_notebook(cells=cells, metadata=METADATA), path)
    names = sorted(path.stem for path in (book / "book").glob("*.ipynb"))
    listed = "".join(f"   book/{name}\n" for name in names)
    (book / "index.rst").write_text(f"Title\n=====\n\n.. toctree::\n\n{listed}")


def made(book: Path, **settings) -> str:
    """Build; return the warnings."""
    settings = {"nb_execution_mode": "off", "nb_output_stderr": "error", "exclude_patterns": ["_build"], **settings}
    extensions = ["myst_nb", "executed_chapters"]
    return build(book, book / "_build", conf=False, extensions=extensions, **settings)


def page(book: Path, name: str) -> str:
    return (book / "_build" / "html" / "book" / f"{name}.html").read_text()


def moment(book: Path, name: str) -> str:
    """The moment that a page shows; with an assertion that it shows one."""
    (found,) = re.findall(r"moment=(\d+)", page(book, name).split("cell_output")[1])
    return found


def stored(book: Path) -> set[str]:
    return {path.name.rpartition("-")[0] for path in (book / "_build" / "outputs").glob("*.ipynb")}


@pytest.mark.slow
def test_chapters_that_raise_wait_or_write_without_end_spoil_no_page_but_their_own(book: Path, monkeypatch):
    monkeypatch.setattr(cell_limits, "SILENCE", 3.0)
    monkeypatch.setattr(cell_limits, "OUTPUT", 100_000)
    write(book, passes="print('the end')", raises=RAISES, waits=WAITS, floods=FLOODS)
    warnings = made(book)
    reasons = {
        "raises": "ValueError: no <b>`such`</b> thing here",
        "waits": "LimitExceeded: cell 3 neither computed nor wrote anything for 3 s; it wrote last: I wait",
        "floods": "LimitExceeded: cell 3 wrote more than 100,000 characters; it wrote last: ",
    }
    for name, reason in reasons.items():
        assert f"{name}.ipynb: WARNING: cell 3 of 3 failed: {reason}" in warnings
        assert page(book, name).index("did not run to its end") > page(book, name).index(f"About {name}")
        assert "moment=" in page(book, name)
    assert warnings.count("WARNING") == 3
    assert "no &lt;b&gt;`such`&lt;/b&gt; thing here" in page(book, "raises")
    assert "no <b>" not in page(book, "raises")
    assert "I wait" in page(book, "waits")
    assert len(page(book, "floods")) < 100_000
    assert "the end" in page(book, "passes")
    assert "did not run" not in page(book, "passes")

    told = json.loads((book / "_build" / "failed.json").read_text())
    assert told["chapters"] == 4
    assert {(one["chapter"], one["cell"]) for one in told["failed"]} == {(f"book/{name}", 3) for name in reasons}
    assert stored(book) == {"passes"}

    shown = {name: moment(book, name) for name in ("passes", "raises")}
    write(book, raises="print('mended')", waits="1", floods="2")
    assert made(book) == ""
    assert moment(book, "passes") == shown["passes"]
    assert moment(book, "raises") > shown["raises"]
    assert "did not run" not in page(book, "raises")
    assert stored(book) == {"passes", *reasons}


@pytest.mark.slow
def test_a_page_shows_its_text_of_today_with_the_outputs_that_are_stored(book: Path):
    write(book, chapter="print('the end')")
    made(book)
    before = moment(book, "chapter")
    path = book / "book" / "chapter.ipynb"
    path.write_text(path.read_text().replace("Its text.", "Other words."))
    assert made(book) == ""
    assert "Other words." in page(book, "chapter")
    assert moment(book, "chapter") == before


@pytest.mark.slow
def test_outputs_from_elsewhere_are_shown_and_nothing_is_run(book: Path, tmp_path: Path, monkeypatch, capsys):
    write(book, chapter="print('the end')")
    made(book)
    before = moment(book, "chapter")
    packed = outputs.main(book)
    packed.rename(book / "elsewhere.zip")
    for path in (book / "_build" / "outputs").iterdir():
        path.unlink()
    with pytest.raises(SystemExit, match="1 of 1 chapters have no outputs .chapter.: run 'make book' first"):
        outputs.main(book)
    monkeypatch.setattr(executed_chapters, "run_all", lambda *_: pytest.fail("something was run"))
    monkeypatch.setenv("OUTPUTS", str(book / "elsewhere.zip"))
    assert made(book) == ""
    assert moment(book, "chapter") == before


@pytest.mark.slow
def test_a_cell_and_what_it_starts_may_take_only_so_much_processor_time(monkeypatch):
    monkeypatch.setattr(cell_limits, "PROCESSOR", 3.0)
    code = "import subprocess, sys\n\nsubprocess.run([sys.executable, '-c', 'while True: pass'])"
    notebook = new_notebook(cells=[new_code_cell("1"), new_code_cell(code)], metadata=METADATA)
    with pytest.raises(LimitExceeded, match="^cell 2 took more than 3 s of processor time; it wrote nothing$"):
        LimitedClient(notebook).execute()
    assert "seconds" not in notebook.metadata


@pytest.mark.slow
def test_a_silent_cell_that_computes_and_one_that_says_something_now_and_then_go_on(monkeypatch):
    monkeypatch.setattr(cell_limits, "SILENCE", 2.0)
    computes = "import time\n\nend = time.process_time() + 3\nwhile time.process_time() < end:\n    pass"
    says = "for second in range(4):\n    time.sleep(1)\n    print(second, flush=True)"
    notebook = new_notebook(cells=[new_code_cell(computes), new_code_cell(says)], metadata=METADATA)
    LimitedClient(notebook).execute()
    assert notebook.metadata.seconds > 7


def test_an_exception_is_told_in_one_line():
    assert one_line("\x1b[31mE\x1b[0m: a\n\n  b\tc") == "E: a b c"
    assert len(one_line("x" * 1000)) < 310


def test_the_box_of_a_failed_chapter_survives_any_exception():
    notebook = new_notebook(cells=[new_markdown_cell("# Title\n\nText.")])
    boxed = executed_chapters.with_box(Failure(1, "E: ```{raw} html````` $x$ [a](b)", ""), notebook)
    lines = boxed.cells[0].source.splitlines()
    assert lines[0] == "# Title"
    assert lines[lines.index("E: ```{raw} html````` $x$ [a](b)") - 1] == "``````text"
    assert lines[2] == "```````{admonition} This chapter did not run to its end"
    assert lines[-1] == "Text."
