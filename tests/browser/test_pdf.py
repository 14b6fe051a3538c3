"""The PDF of the book: every page that is named, an outline by parts, and links that lead within it."""

from pathlib import Path

import pdf
import pytest
from playwright.sync_api import Browser
from pypdf import PdfReader

pytestmark = [pytest.mark.book, pytest.mark.browser]

CONTENTS = """\
root: book/index
parts:
  - caption: Formulas
    chapters:
      - file: book/formulas/attention_math
      - file: book/formulas/losses
"""


@pytest.fixture(scope="module")
def bound(book: Path, browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> PdfReader:
    """Three pages of the built book."""
    folder = tmp_path_factory.mktemp("pdf")
    (folder / "toc.yml").write_text(CONTENTS, encoding="utf-8")
    assert pdf.write(book, folder / "toc.yml", folder / "book.pdf", browser) > 10
    return PdfReader(folder / "book.pdf")


def links(bound: PdfReader) -> list[dict]:
    return [one.get_object() for page in bound.pages for one in page.get("/Annots") or ()]


def test_the_outline_has_the_first_page_and_the_parts_with_their_chapters(bound: PdfReader):
    first, part, chapters = bound.outline
    assert first.title == "Large Language Models, Live"
    assert part.title == "Formulas"
    assert ["Attention" in chapters[0].title, "small" in chapters[1].title] == [True, True]


def test_a_link_leads_to_its_place_in_the_pdf(bound: PdfReader):
    targets = [link["/Dest"] for link in links(bound) if "/Dest" in link]
    numbers = {bound.get_page_number(page.get_object()) for page, *_ in targets}
    assert bound.get_destination_page_number(bound.outline[2][0]) in numbers
    assert len(numbers) > 5  # sections and equations too


def test_no_link_leads_to_the_server_that_printed_it(bound: PdfReader):
    addresses = [str(link["/A"]["/URI"]) for link in links(bound) if "/URI" in link.get("/A", {})]
    assert not [address for address in addresses if "127.0.0.1" in address]
    assert [address for address in addresses if ".github.io/" in address]


def test_formulas_and_code_are_text(bound: PdfReader):
    missing = {"import torch", "softmax"}
    for page in bound.pages:
        text = page.extract_text()
        missing = {words for words in missing if words not in text}
        if not missing:  # to read a page takes long
            break
    assert missing == set()
