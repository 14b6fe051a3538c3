"""What stands between a reader and the first paint: one style sheet with what is used, and scripts that wait."""

import re
import zlib
from pathlib import Path

import pytest
from first_paint import SHEET, in_use, slim
from small_sphinx import build, write


@pytest.mark.parametrize(
    ("style", "kept"),
    [
        (".a{x:1}.b{x:2}", ".a{x:1}"),
        (".a .b,.a>p{x:1}", ".a>p{x:1}"),
        (".a:not(.b){x:1}", ".a:not(.b){x:1}"),
        ("p:is(.b, .a){x:1}", "p:is(.b, .a){x:1}"),
        ("#b,p,[class~=b]{x:1}", "#b,p,[class~=b]{x:1}"),
        ("@media print{.b{x:1}.a{x:2}}", "@media print{.a{x:2}}"),
        ("@media print{.b{x:1}}p{y:1}", "p{y:1}"),
        ("@keyframes b{from{x:1}to{x:2}}", "@keyframes b{from{x:1}to{x:2}}"),
        ('/* .a{ */p{content:"}.b{"}', 'p{content:"}.b{"}'),
        ('@charset "UTF-8";@import "a.css";p{x:1}', '@import "a.css";\np{x:1}'),
        (".a\\+b{x:1}", ""),
    ],
)
def test_a_style_keeps_the_rules_whose_classes_are_in_use(style: str, kept: str):
    assert slim(style, {"a"}) == kept


def test_in_use_is_what_is_on_a_page_or_a_word_of_a_script(tmp_path: Path):
    (tmp_path / "_static").mkdir()
    (tmp_path / "a.html").write_text('<p class="one two-three">four</p>')
    (tmp_path / "_static" / "a.js").write_text('box.classList.add("five")')
    assert {"one", "two-three", "five"} <= in_use(tmp_path)
    assert "four" not in in_use(tmp_path)


@pytest.mark.slow
def test_a_page_has_one_sheet_and_no_script_that_it_waits_for(tmp_path: Path):
    write(tmp_path / "source", {"index.md": "# A page\n\nOf *words*.\n"}, ["sphinx_copybutton", "first_paint"], [])
    (tmp_path / "source" / "_static").mkdir()
    (tmp_path / "source" / "_static" / "own.css").write_text(".mine { color: red }")
    settings = "html_static_path = ['_static']\nhtml_css_files = ['own.css']\nhtml_theme = 'pydata_sphinx_theme'\n"
    with (tmp_path / "source" / "conf.py").open("a") as file:
        file.write(settings)
    assert build(tmp_path / "source", tmp_path) == ""
    page = (tmp_path / "html" / "index.html").read_text(encoding="utf-8")
    assert f"_static/{SHEET}" in page
    assert "own.css" not in page
    scripts = re.findall(r"<script[^>]* src=[^>]*>", page)
    assert [one for one in scripts if "clipboard" in one or "doctools" in one]
    assert not [
        one
        for one in scripts
        if "searchtools" not in one and "searchindex" not in one and "language_data" not in one and "defer" not in one
    ]
    sheet = (tmp_path / "html" / "_static" / SHEET).read_text(encoding="utf-8")
    assert ".mine { color: red }" in sheet
    assert "copybtn" in sheet  # a script sets this class
    first = f"{SHEET}?v={zlib.crc32(sheet.encode()):08x}"
    assert first in page
    (tmp_path / "source" / "_static" / "own.css").write_text(".mine { color: green }")
    (tmp_path / "source" / "more.md").write_text("# Another page\n")
    assert "more" in build(tmp_path / "source", tmp_path)  # which no page leads to
    sheet = (tmp_path / "html" / "_static" / SHEET).read_text(encoding="utf-8")
    assert "green" in sheet
    for name in ("index", "more"):
        page = (tmp_path / "html" / f"{name}.html").read_text(encoding="utf-8")
        assert f"{SHEET}?v={zlib.crc32(sheet.encode()):08x}" in page
        assert first not in page
