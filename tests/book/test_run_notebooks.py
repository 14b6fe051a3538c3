"""The book shows the run that passed under nbmake, and nothing of one that did not."""

from pathlib import Path

import nbformat
import pytest
from execution_cache import cache_folder
from jupyter_cache import get_cache
from nbformat.v4 import new_code_cell, new_notebook

from notebooks import METADATA
from run_notebooks import run


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """The root of a book over a package of one line, without a notebook yet."""
    (tmp_path / "companion").mkdir()
    (tmp_path / "companion" / "__init__.py").write_text("")
    (tmp_path / "requirements.txt").write_text("")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    return tmp_path


def chapter(book: Path, code: str) -> Path:
    path = book / "book" / "chapter.ipynb"
    path.parent.mkdir()
    cell = new_code_cell(code, metadata={"tags": ["hide-cell"]})
    nbformat.write(new_notebook(cells=[cell], metadata=METADATA), path)
    return path


@pytest.mark.slow
def test_the_outputs_of_a_run_that_passed_are_found_under_the_source(book: Path):
    path = chapter(book, "print(6 * 7)")
    before = path.read_bytes()
    assert run(book, [path], ["-q"]) == 0
    cache = get_cache(cache_folder(book, book / "_build"))
    record = cache.match_cache_notebook(nbformat.read(path, as_version=4))
    (cell,) = cache.get_cache_bundle(record.pk).nb.cells
    assert [output.text for output in cell.outputs] == ["42\n"]
    assert path.read_bytes() == before


@pytest.mark.slow
def test_a_run_that_failed_leaves_nothing_to_show(book: Path):
    path = chapter(book, "1 / 0")
    assert run(book, [path], ["-q"]) != 0
    assert not (book / "_build").exists()
