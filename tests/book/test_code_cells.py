"""Code on the pages: checks fold, long cells are shortened, and nothing of a cell is lost."""

import re
from html import unescape
from pathlib import Path

import nbformat
import pytest
from code_cells import LINES, checks_begin
from fetched_cells import left_out
from plain_notebooks import WITH_OUTPUTS
from stored_outputs import is_exercise

from notebooks import ROOT, notebooks

FOLDED = {"hide-cell", "hide-input", "remove-cell"}


def folded(code: str) -> str | None:
    """What a page folds of a cell."""
    begin = checks_begin(code)
    return None if begin is None else "\n".join(code.split("\n")[begin:])


@pytest.mark.parametrize(
    ("shown", "checks"),
    [
        ("x = 1\n", "assert x == 1"),
        ("x = 1\n", "# both\nassert x == 1\nassert x < 2"),
        ("x = [1]\n", "for one in x:\n    assert one == 1"),
        ("print(1)\n", "# the text below says this of these numbers\ny = 2\nassert y == 2"),
        ("print(1)\n", "# the caption says this of them\nfor y in (1, 2):\n    z = y\n    assert z == y"),
        ("", "assert True"),
    ],
)
def test_the_checks_that_end_a_cell_are_folded(shown: str, checks: str):
    assert folded(shown + checks) == checks


@pytest.mark.parametrize(
    "code",
    [
        "x = 1\nprint(x)",
        "assert True\nprint(1)",
        "# the text below says this of these numbers\nassert True\nprint(1)",
        "for x in (1, 2):\n    print(x)\n    assert x",
        "%pip install companion",
    ],
)
def test_what_prints_draws_or_computes_is_shown(code: str):
    assert folded(code) is None


def code_of(block: str) -> str:
    """The code of a part of a page."""
    return "\n".join(unescape(re.sub(r"<[^>]+>", "", one)) for one in re.findall(r"<pre>(.*?)</pre>", block, re.DOTALL))


def code_cells_shown(path: Path) -> list[nbformat.NotebookNode]:
    """The cells of code that are on a chapter's page, left out those whose model is not in the cache."""
    notebook = nbformat.read(path, as_version=4)
    out = left_out(notebook)
    return [cell for place, cell in enumerate(notebook.cells) if cell.cell_type == "code" and place not in out]


@pytest.mark.book
@pytest.mark.parametrize("path", notebooks(ROOT), ids=lambda path: path.stem)
def test_every_line_of_a_cell_is_on_its_page(built_book: Path, path: Path):
    page = (built_book / path.relative_to(ROOT).with_suffix(".html")).read_text(encoding="utf-8")
    parts = "".join(code_of(page).split())
    for cell in code_cells_shown(path):
        if "remove-cell" not in cell.metadata.get("tags", []):
            begin = checks_begin(cell.source)
            lines = cell.source.split("\n")
            for part in (lines[:begin], lines[begin:] if begin is not None else []):
                assert "".join("".join(part).split()) in parts


@pytest.mark.book
@pytest.mark.parametrize("path", notebooks(ROOT), ids=lambda path: path.stem)
def test_a_page_shortens_its_long_cells(built_book: Path, path: Path):
    page = (built_book / path.relative_to(ROOT).with_suffix(".html")).read_text(encoding="utf-8")
    shown = [
        "\n".join(cell.source.split("\n")[: checks_begin(cell.source)]).rstrip()
        for cell in code_cells_shown(path)
        if not FOLDED & set(cell.metadata.get("tags", []))
    ]
    assert page.count('<div class="long-code"') == sum(one.count("\n") >= LINES for one in shown)


@pytest.mark.book
@pytest.mark.parametrize("path", notebooks(ROOT), ids=lambda path: path.stem)
def test_each_figure_says_what_is_seen_in_it(path: Path):
    cells = nbformat.read(path, as_version=4).cells
    shown = [cell.metadata.get("mystnb", {}) for cell in cells]
    described = [one.get("image", {}).get("alt", "") for one in shown if "figure" in one]
    assert all(len(alt) > 25 for alt in described)


@pytest.mark.book
def test_no_exercise_that_nobody_did_has_a_verdict(built_book: Path):
    made = built_book.parent / "notebooks" / WITH_OUTPUTS
    cells = [
        cell
        for path in notebooks(ROOT)
        for cell in nbformat.read(made / path.relative_to(ROOT), as_version=4).cells
        if cell.cell_type == "code" and is_exercise(cell)
    ]
    assert len(cells) > 100
    assert [cell.source for cell in cells if cell.outputs] == []
    pages = [built_book / path.relative_to(ROOT).with_suffix(".html") for path in notebooks(ROOT)]
    assert not any("✗ Your function returned None" in page.read_text(encoding="utf-8") for page in pages)
