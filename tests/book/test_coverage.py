"""What the book says that it covers is there: each chapter, section, equation, module and test by its name."""

import importlib.util
import re
from functools import cache
from pathlib import Path

import nbformat
import pytest
import yaml
from package_map import LABEL

ROOT = Path(__file__).resolve().parents[2]
PROMISES = [
    pytest.param(promise, id=f"{row['row']}-{number}")
    for row in yaml.safe_load((ROOT / "book" / "appendix" / "coverage.yml").read_text(encoding="utf-8"))
    for number, promise in enumerate(row["promises"], 1)
]
FIELDS = {"says", "where", "equations", "code", "tests", "misreading", "missing"}
# the rows of each part of the curriculum: its number, its first row, its last
PARTS = {
    "Background": (1, 1, 3),
    "Concepts": (2, 0, 6),
    "Algorithms": (3, 1, 14),
    "Formulas": (4, 1, 8),
    "Practice": (5, 1, 5),
}


@cache
def rows() -> list[dict]:
    return yaml.safe_load((ROOT / "book" / "appendix" / "coverage.yml").read_text(encoding="utf-8"))


@cache
def chapters() -> set[str]:
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    return {c["file"].removeprefix("book/") for part in toc["parts"] for c in part["chapters"]}


@cache
def text(chapter: str) -> str:
    notebook = ROOT / "book" / f"{chapter}.ipynb"
    if not notebook.exists():
        return (ROOT / "book" / f"{chapter}.md").read_text(encoding="utf-8")
    cells = nbformat.read(notebook, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def test_every_row_of_the_curriculum_is_there_once_and_in_its_part():
    expected = [(f"{part}", f"{n}.{k}") for part, (n, first, last) in PARTS.items() for k in range(first, last + 1)]
    assert [(row["part"], row["row"]) for row in rows()] == [*expected, ("Appendix", "A")]


@pytest.mark.parametrize("promise", PROMISES)
def test_a_promise_is_kept_somewhere_or_says_what_is_missing(promise: dict):
    assert set(promise) <= FIELDS
    assert ("missing" in promise) != ("where" in promise)


@pytest.mark.parametrize("promise", PROMISES)
def test_each_place_is_a_section_of_a_chapter_of_the_contents(promise: dict):
    for place in promise.get("where", []):
        chapter, _, section = place.partition(" § ")
        assert chapter in chapters()
        assert not section or re.search(rf"^##+ {re.escape(section)}$", text(chapter), re.MULTILINE), place


@pytest.mark.parametrize("promise", PROMISES)
def test_each_equation_is_in_the_book(promise: dict):
    assert [label for label in promise.get("equations", []) if label not in labels()] == []


@pytest.mark.parametrize("promise", PROMISES)
def test_each_module_and_each_test_file_exists(promise: dict):
    assert [name for name in promise.get("code", []) if importlib.util.find_spec(name) is None] == []
    assert [name for name in promise.get("tests", []) if not (ROOT / "tests" / f"{name}.py").exists()] == []


def test_every_numbered_equation_stands_in_some_row():
    covered = {label for promise in PROMISES for label in promise.values[0].get("equations", [])}
    assert labels() - covered == set()


@cache
def labels() -> set[str]:
    return {label for chapter in chapters() for label in LABEL.findall(text(chapter))}
