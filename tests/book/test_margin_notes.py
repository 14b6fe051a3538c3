"""Notes in the margin: below what they are a note to, short, and in the notebooks too."""

import re
from pathlib import Path

import nbformat
import pytest
from small_sphinx import build, write

from notebooks import ROOT, notebooks

NOTE = re.compile(r"^```\{margin\}(?P<title>.*)\n(?P<text>[^`]*(?:`[^`]+`[^`]*)*)^```$", re.MULTILINE)
WORDS = 40  # of the longest note
MARGIN = "```{margin} A name\nIt has *one*.\n```"


def built(folder: Path, text: str) -> tuple[str, str]:
    """The page of a text, and the warnings of its build."""
    write(
        folder / "source", {"index.md": f"# A page\n\n{text}\n"}, ["sphinx_book_theme", "margin_notes"], ["dollarmath"]
    )
    warnings = build(folder / "source", folder)
    return (folder / "html" / "index.html").read_text(encoding="utf-8"), warnings


@pytest.mark.slow
def test_a_note_stands_with_the_paragraph_above_it(tmp_path: Path):
    page, warnings = built(tmp_path, f"One.\n\nTwo.\n\n{MARGIN}\n\nThree.")
    assert warnings == ""
    found = re.search(
        r'<p>One\.</p>\n<div class="noted">\n<p>Two\.</p>\n<div class="margin-note[^>]*>(.*?)</div>', page, re.S
    )
    assert found is not None
    assert re.sub(r"\s+", " ", re.sub("<[^>]+>", "", found[1])).strip() == "A name It has one."


@pytest.mark.slow
@pytest.mark.parametrize("text", [MARGIN, f"It is:\n\n{MARGIN}\n\n$$\na\n$$", f"One.\n\n{MARGIN}\n\n{MARGIN}"])
def test_a_note_that_has_nothing_whole_above_it_is_refused(tmp_path: Path, text: str):
    assert "stands below the whole of what it is a note to" in built(tmp_path, text)[1]


@pytest.mark.parametrize("path", notebooks(ROOT), ids=lambda path: path.stem)
def test_a_note_is_an_aside_with_a_title_and_few_words(path: Path):
    cells = nbformat.read(path, as_version=4).cells
    sources = [cell.source for cell in cells if cell.cell_type == "markdown"]
    notes = [note for source in sources for note in NOTE.finditer(source)]
    assert len(notes) == sum(source.count("{margin}") for source in sources)
    long = [note[0] for note in notes if not note["title"].strip() or len(note["text"].split()) > WORDS]
    assert long == []


def test_the_first_two_parts_have_notes():
    found = [path.stem for path in notebooks(ROOT) if "{margin}" in path.read_text(encoding="utf-8")]
    assert len(found) >= 6
