"""The built pages stand alone, and a build that should fail does so every time."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from local_assets import FAMILIES, ICONS, LAYOUT

from build_book import build, verdict
from step import StepError

# Attributes that make a browser fetch something by itself; a reader follows the href of an <a> on purpose.
FETCHED = {"src", "srcset", "poster", "data", "action", "background"}
CSS_ADDRESS = re.compile(r"""url\(\s*["']?([^"')]+)|@import\s+["']([^"']+)""")


class Fetches(HTMLParser):
    """Collects what a page makes a browser fetch."""

    def __init__(self, page: Path):
        super().__init__()
        self.addresses: list[str] = []
        self.style = False
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.style = tag == "style"
        for name, value in attrs:
            if name in FETCHED or (name == "href" and tag not in ("a", "area")):
                self.addresses += [part.split()[0] for part in (value or "").split(", ") if part.strip()]
            if name == "style":
                self.addresses += css_addresses(value or "")

    def handle_data(self, data):
        if self.style:
            self.addresses += css_addresses(data)


def css_addresses(text: str) -> list[str]:
    return [first or second for first, second in CSS_ADDRESS.findall(text)]


def is_foreign(address: str) -> bool:
    parts = urlsplit(address)
    return bool(parts.netloc) or parts.scheme in ("http", "https", "ws", "wss")


def local_file(page: Path, address: str) -> Path | None:
    """The file that a relative address names; None for an address that names none (data:, #part)."""
    parts = urlsplit(address)
    return page.parent / unquote(parts.path) if parts.path and not parts.scheme else None


@pytest.mark.book
def test_no_page_fetches_anything_from_another_host(built_book: Path):
    foreign = {
        page.relative_to(built_book): found
        for page in built_book.rglob("*.html")
        if (found := [address for address in Fetches(page).addresses if is_foreign(address)])
    }
    assert foreign == {}


@pytest.mark.book
def test_no_stylesheet_fetches_anything_from_another_host(built_book: Path):
    sheets = {sheet: css_addresses(sheet.read_text(encoding="utf-8")) for sheet in built_book.rglob("*.css")}
    assert len(sheets) > 5
    assert [(sheet, address) for sheet, found in sheets.items() for address in found if is_foreign(address)] == []


@pytest.mark.book
def test_everything_that_a_page_fetches_is_there(built_book: Path):
    pages = [page for page in built_book.rglob("*.html") if "_static" not in page.parts]
    missing = {
        (page.name, address)
        for page in pages
        for address in Fetches(page).addresses
        if (file := local_file(page, address)) is not None and not file.exists()
    }
    assert missing == set()


@pytest.mark.book
def test_each_chapter_of_the_contents_has_a_page(root: Path, built_book: Path):
    toc = yaml.safe_load((root / "_toc.yml").read_text())
    chapters = [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    assert [name for name in [toc["root"], *chapters] if not (built_book / f"{name}.html").exists()] == []


@pytest.mark.book
def test_the_front_door_leads_to_the_first_page_and_asks_for_no_icon(built_book: Path):
    door = (built_book / "index.html").read_text()
    assert 'content="0; url=book/index.html"' in door
    assert '<link rel="icon" href="data:,">' in door


@pytest.mark.book
def test_the_fonts_of_the_pages_come_with_them(built_book: Path):
    static = built_book / "_static"
    named = set(re.findall(r'url\("([^"]+)"\)', (static / "fonts.css").read_text(encoding="utf-8")))
    assert len(named) == 7
    assert {name for name in named if not (static / name).exists()} == set()


@pytest.mark.book
def test_each_icon_of_the_pages_is_in_the_fonts_of_icons(built_book: Path):
    pages = [path.read_text(encoding="utf-8") for path in built_book.rglob("*.html")]
    classes = {
        name for page in pages for names in re.findall(r'class="([^"]*\bfa-[^"]*)"', page) for name in names.split()
    }
    icons = {name.removeprefix("fa-") for name in classes if name.startswith("fa-")}
    assert icons - ICONS - LAYOUT - FAMILIES == set()


PAGE = """\
---
file_format: mystnb
kernelspec:
  name: python3
  display_name: Python 3
---

# A small book

```{code-cell}
import time

import companion

print(f"value={companion.VALUE} moment={time.time_ns()}")
```
"""


@pytest.fixture
def small_book(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A book of one page with the real configuration and extensions, over a package whose own file has one line.

    It stands in an odd folder.

    Without `live_widgets` and the checked equations, which need the real package.
    """
    book = tmp_path / "a b#c[d]%2Fe%20f 书"
    config = yaml.safe_load((root / "_config.yml").read_text())
    for name in ("live_widgets", "checked_equations"):
        del config["sphinx"]["local_extensions"][name]
        config["sphinx"]["config"]["extensions"].remove(name)
    book.mkdir()
    (book / "_config.yml").write_text(yaml.safe_dump(config))
    (book / "_toc.yml").write_text("format: jb-book\nroot: book/index\n")
    for name in ("_ext", "_static"):
        shutil.copytree(root / "book" / name, book / "book" / name)
    for name in ("requirements.txt", "book/references.bib"):
        shutil.copy(root / name, book / name)
    (book / "node_modules").symlink_to(root / "node_modules")
    ignored = shutil.ignore_patterns("__pycache__", "*.txt", "*.safetensors")
    shutil.copytree(root / "companion", book / "companion", ignore=ignored)
    (book / "companion" / "__init__.py").write_text("VALUE = 1\n")
    (book / "book" / "index.md").write_text(PAGE)
    for folder in (".pytest_cache", "notes"):  # what lies about is no page
        (book / folder).mkdir()
        (book / folder / "README.md").write_text("# Not a page of the book\n")
    monkeypatch.setenv("PYTHONPATH", str(book))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")  # an edit within one second must be seen
    return book


def printed(book: Path) -> tuple[str, str]:
    """The value and the moment that the page shows."""
    found = re.search(r"value=(\d+) moment=(\d+)", (book / "_build" / "html" / "book" / "index.html").read_text())
    assert found is not None
    return found[1], found[2]


@pytest.mark.slow
def test_a_notebook_runs_again_when_the_package_changes_and_only_then(small_book: Path):
    build(small_book)
    value, first = printed(small_book)
    assert value == "1"
    build(small_book)
    assert printed(small_book) == ("1", first)
    (small_book / "companion" / "__init__.py").write_text("VALUE = 2\n")
    build(small_book)
    value, second = printed(small_book)
    assert value == "2"
    assert second > first
    assert len(list((small_book / "_build" / "outputs").iterdir())) == 1


FAULTS = """
See {ref}`nowhere` and {cite:t}`nobody2020nothing`.

```{code-cell}
import sys

print('oh', file=sys.stderr)
1 / 0
```
"""


@pytest.mark.slow
def test_what_fails_the_first_build_fails_the_second(small_book: Path):
    (small_book / "book" / "index.md").write_text(PAGE + FAULTS)
    for _ in range(2):
        with pytest.raises(StepError) as error:
            build(small_book)
        said = str(error.value)
        for reason in ("ZeroDivisionError", "stderr was found", "'nowhere'", "nobody2020nothing"):
            assert reason in said
        assert said.endswith(f"  The log: {small_book / '_build' / 'logs' / 'book.log'}")
        assert printed(small_book)[0] == "1"


def test_the_last_words_name_the_chapter_the_cell_the_exception_and_the_log(tmp_path: Path):
    failed = tmp_path / "failed.json"
    failure = {"chapter": "book/gpt", "cell": 3, "error": "ZeroDivisionError: division by zero"}
    failed.write_text(json.dumps({"chapters": 26, "failed": [failure]}))
    assert verdict(failed, tmp_path / "book.log").strip().splitlines() == [
        "✗ 1 of 26 chapters did not run to the end:",
        "    book/gpt, cell 3: ZeroDivisionError: division by zero",
        "  Their pages show how far they came; the outputs of all others are kept, and the next build runs only these.",
        f"  The log: {tmp_path / 'book.log'}",
    ]


def test_a_build_that_failed_for_something_else_has_no_such_words(tmp_path: Path):
    assert verdict(tmp_path / "failed.json", tmp_path / "book.log") == ""
    (tmp_path / "failed.json").write_text(json.dumps({"chapters": 26, "failed": []}))
    assert verdict(tmp_path / "failed.json", tmp_path / "book.log") == ""
