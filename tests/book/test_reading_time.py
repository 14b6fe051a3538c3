"""How long chapters take to read is counted from their text."""

import re
from pathlib import Path

import nbformat
import pytest
from reading_time import WORDS_PER_MINUTE, count_words, spoken
from small_sphinx import build, write

LONG = "# Long\n\n" + "word " * (150 * WORDS_PER_MINUTE)


def page(folder: Path, text: str) -> tuple[str, str]:
    """The text of a page that is built beside a long one, and the warnings."""
    write(
        folder / "source",
        {"index.md": f"# A page\n\n{text}\n", "book/long.md": f"---\norphan: true\n---\n{LONG}"},
        ["reading_time"],
        [],
    )
    warnings = build(folder / "source", folder, "text")
    return (folder / "text" / "index.txt").read_text(encoding="utf-8"), warnings


def test_the_text_of_a_notebook_counts_and_its_code_does_not(tmp_path: Path):
    cells = [nbformat.v4.new_markdown_cell("# Two words"), nbformat.v4.new_code_cell("a = 1")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "a.ipynb")
    assert count_words(tmp_path / "a.ipynb") == 3


@pytest.mark.parametrize(
    ("minutes", "said"),
    [
        (2, "about 10 minutes"),
        (44, "about 40 minutes"),
        (88, "about 90 minutes"),
        (100, "about 1½ hours"),
        (250, "about 4 hours"),
    ],
)
def test_a_time_is_rounded(minutes: float, said: str):
    assert spoken(minutes) == said


@pytest.mark.slow
def test_a_page_says_the_time_of_those_it_names(tmp_path: Path):
    text, warnings = page(tmp_path, "It takes {reading-time}`long long`.")
    assert "It takes about 5 hours." in text
    assert warnings == ""


@pytest.mark.slow
def test_a_page_that_is_not_there_is_a_warning(tmp_path: Path):
    _, warnings = page(tmp_path, "{reading-time}`other`")
    assert "reading-time: there is no page 'other'" in warnings


def test_each_way_through_the_book_has_the_time_of_the_chapters_that_it_names(root: Path):
    text = (root / "book" / "index.md").read_text(encoding="utf-8")
    ways = re.findall(r"^- \*\*.+?(?=\n- |\n\n)", text, re.MULTILINE | re.DOTALL)
    timed = [(way, re.search(r"\{reading-time\}`([^`]+)`", way)) for way in ways]
    counted = [(re.split(r"\{reading-time\}", way)[0], time[1].split()) for way, time in timed if time]
    assert len(counted) == 3
    for before, pages in counted:
        assert re.findall(r"\]\((\S+)\.ipynb\)", before) == pages
