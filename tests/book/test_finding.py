"""What the search finds first: sections that teach a term, in every build of a book, whole or in part."""

import json
from pathlib import Path

import pytest
from finding import entries
from glossary_terms import load
from small_sphinx import build, write

TERMS = """\
- {term: key, chinese: 键, pinyin: jiàn, also: [lookup key], chapter: one#deep, definition: A vector.}
- {term: value, chinese: 值, pinyin: zhí, chapter: two, definition: Another.}
- {term: query, chinese: 查询, pinyin: chá xún, definition: No chapter has it yet.}
"""
PAGES = {
    "index.md": "# A book\n\n```{toctree}\nbook/one\nbook/two\n```\n",
    "book/one.md": "# One\n\nText.\n\n(deep)=\n## Deep\n\nText.\n",
    "book/two.md": "# Two\n\nText.\n",
    "book/appendix/terms.yml": TERMS,
}


def index_of(folder: Path) -> dict:
    """The search index of a built book."""
    text = (folder / "html" / "searchindex.js").read_text(encoding="utf-8")
    index: dict = json.loads(text[text.index("(") + 1 : text.rindex(")")])
    return index


def places(index: dict, name: str) -> list[tuple[str, str]]:
    """The page and the anchor of each main entry of a name."""
    found = index["indexentries"].get(name, [])
    return [(index["docnames"][page], anchor) for page, anchor, is_main in found if is_main]


def test_each_name_of_a_taught_term_is_an_entry_of_its_chapter(tmp_path: Path):
    (tmp_path / "terms.yml").write_text(TERMS, encoding="utf-8")
    found = entries(load(tmp_path / "terms.yml"))
    assert {page: [(name, anchor) for _, name, anchor, *_ in of] for page, of in found.items()} == {
        "book/one": [("key", "deep"), ("键", "deep"), ("lookup key", "deep")],
        "book/two": [("value", ""), ("值", "")],
    }


@pytest.mark.slow
def test_a_build_of_one_page_forgets_neither_entries_nor_headings_of_the_others(tmp_path: Path):
    source = tmp_path / "source"
    write(source, PAGES, ["finding"], [])
    assert build(source, tmp_path) == ""
    whole = index_of(tmp_path)
    assert places(whole, "键") == [("book/one", "deep")]
    assert places(whole, "value") == [("book/two", "")]
    (source / "book" / "two.md").write_text("# Two\n\nOther text.\n")
    assert build(source, tmp_path) == ""
    in_part = index_of(tmp_path)
    assert in_part["indexentries"] == whole["indexentries"]
    assert in_part["alltitles"] == whole["alltitles"]


@pytest.mark.slow
def test_a_term_that_moves_to_another_chapter_moves_in_the_search(tmp_path: Path):
    source = tmp_path / "source"
    write(source, PAGES, ["finding"], [])
    assert build(source, tmp_path) == ""
    moved = TERMS.replace("chapter: two", "chapter: one")
    (source / "book" / "appendix" / "terms.yml").write_text(moved, encoding="utf-8")
    assert build(source, tmp_path) == ""
    assert places(index_of(tmp_path), "value") == [("book/one", "")]
