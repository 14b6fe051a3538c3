"""Print the built book into one PDF: every page of the contents, as a browser prints it, with an outline and links."""

import io
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urldefrag

import yaml
from chromium import chromium
from playwright.sync_api import Browser, Page
from pypdf import PdfReader, PdfWriter
from pypdf.generic import (
    ArrayObject,
    DictionaryObject,
    FloatObject,
    IndirectObject,
    NameObject,
    NullObject,
    TextStringObject,
)
from serve import BOOK, server

from notebooks import ROOT, repository

sys.path.insert(0, str(ROOT / "book" / "_ext"))
from plain_notebooks import pages_address

OUT = ROOT / "dist" / "large-language-models-live.pdf"
MARGIN = "18mm"
SCALE = 0.85  # of the size on a screen
# What waits on a screen until the reader comes near it is there when it is printed.
READY = """async () => {
    const images = [...document.images];
    for (const image of images) image.loading = "eager";
    await Promise.all([document.fonts.ready, ...images.map(image => image.decode().catch(() => null))]);
}"""


@dataclass(frozen=True)
class Leaf:
    """A page of the contents.

    Attributes:
        part: caption of the part that it is in; nothing for the first page.
        place: its address below the root of the site.
    """

    part: str
    place: str


def leaves(contents: Path) -> Iterator[Leaf]:
    """The pages of a table of contents, in the order in which they are read."""
    toc = yaml.safe_load(contents.read_text(encoding="utf-8"))
    yield Leaf("", f"{toc['root']}.html")
    for part in toc["parts"]:
        for chapter in part["chapters"]:
            for entry in (chapter, *chapter.get("sections", ())):
                yield Leaf(part["caption"], f"{entry['file']}.html")


def printed(page: Page, address: str) -> tuple[str, bytes]:
    """The title of a page, and the page as a PDF."""
    page.goto(address)
    page.evaluate(READY)
    title = page.locator("article h1").first.evaluate(
        "heading => { const copy = heading.cloneNode(true); copy.querySelectorAll('a').forEach(a => a.remove());"
        " return copy.textContent.trim() }"
    )
    return title, page.pdf(
        format="A4",
        margin={"top": MARGIN, "bottom": MARGIN, "left": MARGIN, "right": MARGIN},
        scale=SCALE,
        print_background=True,
    )


def bind(sheets: list[tuple[Leaf, str, bytes]], served: str, site: str) -> PdfWriter:
    """Put the printed pages into one PDF: an outline by parts, and links that lead to its own pages.

    Args:
        sheets: page of the contents, title, PDF.
        served: address from which the pages were printed.
        site: address of the site, where what is not in the PDF is found.
    """
    book, parts = PdfWriter(), dict[str, IndirectObject]()
    targets: dict[str, ArrayObject] = {}  # address below the root of the site -> where that is in the PDF
    spans: list[tuple[str, range]] = []
    for leaf, title, pdf in sheets:
        reader, start = PdfReader(io.BytesIO(pdf)), len(book.pages)
        book.append(reader, import_outline=False)
        spans.append((leaf.place, range(start, len(book.pages))))
        targets[leaf.place] = _target(book, start)
        for name, found in reader.named_destinations.items():
            number = reader.get_destination_page_number(found)
            if number is not None:
                targets[f"{leaf.place}#{name.lstrip('/')}"] = _target(book, start + number, found.left, found.top)
        if leaf.part and leaf.part not in parts:
            parts[leaf.part] = book.add_outline_item(title=leaf.part, page_number=start)
        book.add_outline_item(title=title, page_number=start, parent=parts.get(leaf.part))
    for place, pages in spans:
        for number in pages:
            for annotation in book.pages[number].get("/Annots") or ():
                _aim(annotation.get_object(), place, targets, served, site)
    return book


def _target(book: PdfWriter, number: int, left: float | None = None, top: float | None = None) -> ArrayObject:
    """A place on a page of the PDF."""
    page = book.pages[number].indirect_reference
    numbers = [NullObject() if value is None else FloatObject(value) for value in (left, top)]
    return ArrayObject([page, NameObject("/XYZ"), *numbers, NullObject()])


def _aim(link: DictionaryObject, place: str, targets: dict[str, ArrayObject], served: str, site: str) -> None:
    """Let a link on a page lead to where its target is in the PDF, and one to another file to the site."""
    action = link.get("/A", DictionaryObject())
    address = str(action.get("/URI", ""))
    within = link.get("/Dest", action.get("/D"))
    if isinstance(within, str):  # a name, of which each page has its own
        wanted = f"{place}#{within.lstrip('/')}"
    elif address.startswith(served):
        wanted = address.removeprefix(served)
    else:
        return
    page = urldefrag(wanted).url
    if page not in targets:
        action[NameObject("/URI")] = TextStringObject(site + wanted)
        return
    link.pop("/A", None)
    link[NameObject("/Dest")] = targets.get(wanted, targets[page])


def write(book: Path, contents: Path, out: Path, browser: Browser) -> int:
    """Print the pages of a built book into a PDF and return the number of its sheets."""
    sheets = []
    with server(book, 0) as pages:
        threading.Thread(target=pages.serve_forever, daemon=True).start()
        served = f"http://127.0.0.1:{pages.server_port}/"
        page = browser.new_page(color_scheme="light", reduced_motion="reduce")
        page.emulate_media(media="print")
        for leaf in leaves(contents):
            print(f"  {leaf.place}", flush=True)
            sheets.append((leaf, *printed(page, served + leaf.place)))
        page.close()
        pages.shutdown()
    bound = bind(sheets, served, pages_address(repository(ROOT)["url"]))
    bound.add_metadata({"/Title": "Large Language Models, Live"})
    out.parent.mkdir(parents=True, exist_ok=True)
    bound.write(out)
    return len(bound.pages)


if __name__ == "__main__":
    if not (BOOK / "index.html").is_file():
        sys.exit("No book yet: run 'make book' first.")
    with chromium() as opened:
        print(f"{OUT}: {write(BOOK, ROOT / '_toc.yml', OUT, opened)} pages")
