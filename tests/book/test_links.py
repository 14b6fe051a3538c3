"""Every link of the built pages that stays in the book leads to a page that is there, and to a part that it has."""

from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest


class Anchors(HTMLParser):
    """Collects what a page links to, and the names of its parts."""

    def __init__(self, page: Path):
        super().__init__()
        self.links: list[str] = []
        self.names = {"", "top"}  # which lead to the top of any page
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if tag in ("a", "area") and found.get("href") is not None:
            self.links.append(found["href"])
        self.names |= {found.get("id"), found.get("name") if tag == "a" else None} - {None}


anchors = cache(Anchors)


def broken(page: Path) -> Iterator[str]:
    """The links of a page that stay in the book and lead nowhere, each with what is missing."""
    for link in anchors(page).links:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
        if not target.is_file():
            yield f"{link}: no such file"
        elif target.suffix == ".html" and unquote(parts.fragment) not in anchors(target).names:
            yield f"{link}: no such part"


def write(folder: Path, name: str, body: str) -> Path:
    page = folder / name
    page.write_text(body, encoding="utf-8")
    return page


@pytest.mark.book
def test_every_link_within_the_book_leads_somewhere(built_book: Path):
    pages = [page.resolve() for page in built_book.rglob("*.html") if "_static" not in page.parts]
    assert {page.name: found for page in pages if (found := list(broken(page)))} == {}
    assert sum(len(anchors(page).links) for page in pages) > 1000


def test_a_link_to_a_page_that_is_not_there_is_found(tmp_path: Path):
    page = write(tmp_path, "a.html", '<a href="b.html">b</a>')
    assert list(broken(page)) == ["b.html: no such file"]


def test_a_link_to_a_part_that_a_page_does_not_have_is_found(tmp_path: Path):
    write(tmp_path, "b.html", '<h1 id="title">B</h1>')
    page = write(tmp_path, "a.html", '<a href="b.html#title">one</a> <a href="b.html#tilte">two</a> <a href="#x">x</a>')
    assert list(broken(page)) == ["b.html#tilte: no such part", "#x: no such part"]


def test_an_encoded_link_is_read_as_a_browser_reads_it(tmp_path: Path):
    write(tmp_path, "a b.html", '<p id="größe">…</p>')
    page = write(tmp_path, "a.html", '<a href="a%20b.html#gr%C3%B6%C3%9Fe">…</a>')
    assert list(broken(page)) == []
