"""Numbers in the prose are computed by a cell or cited, and the exercises of the chapters are those of the package."""

import re
from pathlib import Path

import nbformat
import pytest
from contents import chapters

from companion.lessons import names

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = [path.relative_to(ROOT).as_posix() for path in chapters(ROOT)]

SHOWN = re.compile(r"^(`{3,})(?!\{(?:admonition|self-check|note|tip|warning))[^\n]*\n.*?^\1", re.DOTALL | re.MULTILINE)
MATHEMATICS = re.compile(r"\$\$.*?\$\$|\$[^$]+\$", re.DOTALL)
CITATION = re.compile(r"\{cite(?::\w+)?\}`[^`]*`")
ROLE = re.compile(r"\{[\w:-]+\}")
CODE = re.compile(r"`[^`\n]*`")
TARGET = re.compile(r"\]\([^)]*\)")
SENTENCE = re.compile(r"(?<=[.?!])\s+|\n\n|\n- |\n\|")
NUMBER = re.compile(r"(?<![\w.-])\d[\d,]*(?:\.\d+)?(?![\w-])")
SMALL = 10  # such numbers count things on the page; they are no measurement


def cells(chapter: str, kind: str) -> list[str]:
    return [cell.source for cell in nbformat.read(ROOT / chapter, as_version=4).cells if cell.cell_type == kind]


def sentences(markdown: str) -> list[str]:
    """The sentences of a cell, without code, mathematics and addresses; a citation becomes the word CITED."""
    text = SHOWN.sub(" ", markdown)
    text = MATHEMATICS.sub(" ", text)
    text = CITATION.sub("CITED", text)
    text = TARGET.sub("]", CODE.sub(" ", text))
    return SENTENCE.split(ROLE.sub("", text))


def numbers_of(sentence: str) -> list[str]:
    found = (number.replace(",", "") for number in NUMBER.findall(sentence))
    return [number for number in found if not (number.isdigit() and int(number) <= SMALL)]


def unsupported(prose: list[str], code: list[str]) -> list[str]:
    """The sentences with a number that no code cell has, and that cite nothing."""
    computed = set(re.findall(r"\d+(?:\.\d+)?", "\n".join(code).replace("_", "")))
    return [
        sentence.strip()
        for cell in prose
        for sentence in sentences(cell)
        if "CITED" not in sentence and set(numbers_of(sentence)) - computed
    ]


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_each_number_of_the_prose_stands_in_a_cell_or_is_cited(chapter: str):
    assert unsupported(cells(chapter, "markdown"), cells(chapter, "code")) == []


@pytest.mark.parametrize(
    ("prose", "code", "found"),
    [
        ("It is right in 87 % of cases.", "", 1),
        ("It is right in 87 % of cases.", "assert accuracy > 0.87", 1),
        ("It is right in 87 % of cases.", "assert percent == 87", 0),
        ("It has 1,024 rows.", "rows = 1_024", 0),
        ("It has 1,024 rows {cite:p}`somebody2020`.", "", 0),
        ("One said so {cite:p}`somebody2020`. It has 1,024 rows.", "", 1),
        ("See `x[1024]`, $n = 1024$ and [here](page1024.html), in 3 ways.", "", 0),
        ("```text\n1024\n```", "", 0),
        ("```{admonition} Note\n1024 things\n```", "", 1),
        ("GPT-2 and T5-11b are names.", "", 0),
    ],
)
def test_what_counts_as_a_number_that_nothing_supports(prose: str, code: str, found: int):
    assert len(unsupported([prose], [code])) == found


def exercises_of(chapter: str) -> set[str]:
    return set(re.findall(r'exercise\("([\w-]+)"\)\.check', "\n".join(cells(chapter, "code"))))


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_each_chapter_has_four_to_eight_exercises_with_a_folded_solution_each(chapter: str):
    asked = exercises_of(chapter)
    assert 4 <= len(asked) <= 8
    notebook = nbformat.read(ROOT / chapter, as_version=4).cells
    for name in asked:
        checks = [cell for cell in notebook if cell.cell_type == "code" and f'exercise("{name}").check' in cell.source]
        assert sum("hide-cell" in cell.metadata.get("tags", []) for cell in checks) == 1, name


def test_each_exercise_of_the_package_belongs_to_one_chapter():
    where = [name for chapter in CHAPTERS for name in exercises_of(chapter)]
    assert sorted(where) == sorted(names())
