"""Photograph the pages of the built book, to be looked at: on a desktop and on a phone, by day and by night.

`make screenshots` writes into `_build/screenshots`; `python tools/screenshots.py gpt attention` only what is named.
Each page gives two pictures for each width and theme: its first screen, and a sheet with all of it in columns, smaller.
"""

import io
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from chromium import chromium
from pdf import READY, leaves
from PIL import Image
from playwright.sync_api import Browser, Page
from serve import BOOK, server

from notebooks import ROOT

OUT = ROOT / "_build" / "screenshots"
SCREEN, COLUMN, GAP = 900, 4500, 12  # pixels: height of a screen and of a column of a page; between columns of a sheet
HEADER = 70  # pixels that the page's header, which stays, covers in each column
SURROUND = (128, 128, 128)
DRAWN = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


@dataclass(frozen=True)
class View:
    """A window in which pages are photographed.

    Attributes:
        width: of the window, in pixels.
        theme: "light" or "dark".
        scale: of the columns of a sheet.
    """

    width: int
    theme: str
    scale: float


VIEWS = tuple(View(width, theme, scale) for width, scale in ((1280, 0.4), (360, 0.5)) for theme in ("light", "dark"))


def columns(page: Page, view: View) -> Iterator[Image.Image]:
    """Photograph a page from top to bottom in a window as tall as a column, one picture for each column."""
    page.set_viewport_size({"width": view.width, "height": COLUMN})
    page.evaluate(DRAWN)
    height = page.evaluate("document.documentElement.scrollHeight")
    for top in range(0, height, COLUMN - HEADER):
        page.evaluate("top => window.scrollTo(0, top)", top)  # beyond its window, a page may be drawn by halves
        page.evaluate(DRAWN)
        above = top - page.evaluate("window.scrollY")
        column = Image.open(io.BytesIO(page.screenshot()))
        part = column.crop((0, above, view.width, min(COLUMN, above + height - top)))
        yield part.resize((round(part.width * view.scale), round(part.height * view.scale)), Image.Resampling.LANCZOS)


def sheet(parts: list[Image.Image]) -> Image.Image:
    """Set pictures side by side."""
    width = sum(part.width + GAP for part in parts) + GAP
    whole = Image.new("RGB", (width, max(part.height for part in parts) + 2 * GAP), SURROUND)
    left = GAP
    for part in parts:
        whole.paste(part, (left, GAP))
        left += part.width + GAP
    return whole


def photograph(browser: Browser, address: str, stem: Path, view: View) -> list[Path]:
    """Write the first screen of a page and the sheet of all of it; return the two files."""
    context = browser.new_context(
        viewport={"width": view.width, "height": SCREEN},
        color_scheme="dark" if view.theme == "dark" else "light",
        reduced_motion="reduce",
        has_touch=view.width < 600,
    )
    page = context.new_page()
    page.goto(address)
    page.wait_for_load_state("networkidle")
    page.evaluate(READY)
    names = [stem.with_name(f"{stem.name}-{view.width}-{view.theme}{kind}.png") for kind in ("", "-whole")]
    names[0].parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=names[0])
    sheet(list(columns(page, view))).save(names[1], optimize=True)
    context.close()
    return names


def write(book: Path, contents: Path, out: Path, browser: Browser, only: list[str]) -> int:
    """Photograph the pages of a contents, or those whose names are given; return the number of pictures."""
    count = 0
    with server(book, 0) as pages:
        threading.Thread(target=pages.serve_forever, daemon=True).start()
        for leaf in leaves(contents):
            place = Path(leaf.place)
            if only and place.stem not in only:
                continue
            print(f"  {leaf.place}", flush=True)
            for view in VIEWS:
                address = f"http://127.0.0.1:{pages.server_port}/{leaf.place}"
                count += len(photograph(browser, address, out / place.with_suffix(""), view))
        pages.shutdown()
    return count


def main(only: list[str]) -> None:
    """Photograph the built book."""
    if not (BOOK / "index.html").is_file():
        sys.exit("No book yet: run 'make book' first.")
    with chromium() as opened:
        print(f"{OUT}: {write(BOOK, ROOT / '_toc.yml', OUT, opened, only)} pictures")


if __name__ == "__main__":
    main(sys.argv[1:])
