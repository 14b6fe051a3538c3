"""Each chapter asks in four ways beside *write this function*, and says how hard each exercise is.

The kind of an exercise is the beginning of its title (`Exercise 3 · Find the bug: a lost stop *(easy)*`), or the first
words of a question that stands for one.
"""

import re
from pathlib import Path

import nbformat
import pytest
from contents import chapters

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = chapters(ROOT)
KINDS = {
    "predict": "Predict before you run",
    "debug": "Find the bug",
    "read": "Read this (?:log|plot)",
    "work": r"What would you do at work\?",
}
TITLE = re.compile(r"^(?:```\{admonition\} |\*)Exercise (?P<number>\d+) · (?P<title>.+?)(?:\* .*|\*)?$", re.MULTILINE)
LEVEL = re.compile(r" \*?\((?:easy|middling|harder)\)$")
PROJECT = "A project"

each_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=[path.stem for path in CHAPTERS])


def text_of(path: Path) -> str:
    cells = nbformat.read(path, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def kinds(text: str) -> set[str]:
    asked = "|".join((r"Exercise \d+ · ", r"\{self-check\}\n"))
    return {kind for kind, name in KINDS.items() if re.search(f"(?:{asked}){name}", text)}


@each_chapter
def test_each_chapter_has_an_exercise_of_each_kind(path: Path):
    assert sorted(set(KINDS) - kinds(text_of(path))) == []


@each_chapter
def test_exercises_are_numbered_in_order(path: Path):
    numbers = [int(found["number"]) for found in TITLE.finditer(text_of(path))]
    assert numbers == list(range(1, len(numbers) + 1))


@each_chapter
def test_each_exercise_has_a_level(path: Path):
    titles = [found["title"] for found in TITLE.finditer(text_of(path))]
    assert [title for title in titles if title != PROJECT and not LEVEL.search(title)] == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("```{admonition} Exercise 1 · Find the bug: one too far *(easy)*\n:class: exercise\n```", {"debug"}),
        ("*Exercise 2 · Read this log (middling)*", {"read"}),
        ("```{self-check}\nWhat would you do at work? You have a log.\n```", {"work"}),
        ("Now find the bug, and predict before you run.", set()),
    ],
)
def test_a_kind_is_told_by_the_title(text: str, found: set[str]):
    assert kinds(text) == found
