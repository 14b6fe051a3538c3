"""What is around the text of a page, and how it keeps what a cell prints."""

from pathlib import Path

import pytest
from page_frame import tabular
from small_sphinx import build, write


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        ("model   loss   steps\nGPT     1.25     100\nBERT    2.50     100", True),
        ("a | 1\nb | 2", True),
        ("Tom is in the park. Anna is there.\nWho has the key?", False),
        ("7 of 10: 0.12 0.30 0.41\n8 of 10: 0.15 0.33 0.52", True),
        ("a  1\nb  2\n" + "a line of prose that is long " * 4, False),
        ("one  line", False),
        ("", False),
        ("\n".join(["a  " + "long " * 50] * 3), False),
    ],
)
def test_what_a_cell_prints_is_a_table_where_most_lines_have_columns(printed: str, expected: bool):
    assert tabular(printed) == expected


@pytest.mark.slow
def test_the_empty_corner_of_a_table_is_no_heading(tmp_path: Path):
    table = "# A page\n\n| | steps |\n| --- | --- |\n| GPT | 100 |\n"
    write(tmp_path / "source", {"index.md": table}, ["myst_nb", "page_frame"], [])
    with (tmp_path / "source" / "conf.py").open("a") as settings:
        settings.write("extensions.remove('myst_parser')\n")
    assert build(tmp_path / "source", tmp_path) == ""
    page = (tmp_path / "html" / "index.html").read_text(encoding="utf-8")
    assert page.count("<th ") == 1
    assert '<td class="head"></td>' in page.replace("<p></p>", "")
