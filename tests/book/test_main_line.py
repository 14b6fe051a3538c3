"""A chapter's main line can be read in one sitting."""

from pathlib import Path

import main_line
import nbformat
import pytest

from notebooks import ROOT, notebooks

CHAPTERS = notebooks(ROOT)


def chapter(folder: Path, *texts: str) -> Path:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text) for text in texts])
    nbformat.write(notebook, folder / "a.ipynb")
    return folder / "a.ipynb"


@pytest.mark.parametrize("path", CHAPTERS, ids=[path.stem for path in CHAPTERS])
def test_no_main_line_is_over_the_limit(path: Path):
    assert main_line.words(path) <= main_line.MOST, f"see `python tools/main_line.py {path.stem}`"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Three words here.", 3),
        ("## A title\n\nTwo words.", 2),
        ("$$\na = b\n$$ (eq-a)\n\nOne.", 1),
        ("| a | b |\n| --- | --- |", 0),
        ("```{admonition} The question\n:class: question\nWhy so?\n```", 2),
        ("One.\n\n```{margin} A name\nIt has one.\n```", 1),
        ("```{admonition} More\n:class: note dropdown\nWhy so?\n```", 0),
        ("````{admonition} More\n:class: dropdown\n```{note}\nWhy so?\n```\n````", 0),
        ("```{self-check}\nWhy?\n\n- [x] So.\n```", 0),
        ("```{figure} a.svg\n:name: fig-a\n\nWhat it shows.\n```", 0),
        ("## Further: more\n\nWhy so?\n\n### A part\n\nSo.\n\n## Next\n\nOne.", 1),
        ("## Further: more\n\nWhy so?\n\n## For later: still more\n\nSo.", 0),
        ("## Try it yourself\n\nEach checks itself.", 0),
    ],
    ids=[
        "prose",
        "heading",
        "formula",
        "table",
        "box",
        "margin",
        "closed",
        "nested",
        "question",
        "figure",
        "part",
        "two",
        "apart",
    ],
)
def test_what_counts_as_a_word_of_the_main_line(tmp_path: Path, text: str, expected: int):
    assert main_line.words(chapter(tmp_path, text)) == expected


def test_a_section_goes_on_in_the_next_cell(tmp_path: Path):
    assert main_line.words(chapter(tmp_path, "## Further: more", "Why so?", "## Next", "One.")) == 1
