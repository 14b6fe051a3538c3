"""Photograph the pages of the built book, to be looked at: on a desktop and on a phone, by day and by night.

`make screenshots` writes into `_build/screenshots`; `python tools/screenshots.py gpt attention` only what is named.
Each page gives two pictures for each width and theme: its first screen, and a sheet with all of it in columns, smaller.
"""

import base64
import io
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chromium import chromium
from pdf import READY, leaves
from PIL import Image
from playwright.sync_api import Browser, Page
from serve import BOOK, server

from notebooks import ROOT

OUT = ROOT / "_build" / "screenshots"
SCREEN, COLUMN, GAP = 900, 4500, 12  # pixels: height of a screen and of a column of a page; between columns of a sheet
SURROUND = (128, 128, 128)


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
    """Photograph a page from top to bottom, one picture for each column."""
    devtools = page.context.new_cdp_session(page)
    height = page.evaluate("document.documentElement.scrollHeight")
    for top in range(0, height, COLUMN):
        clip: dict[str, Any] = {"x": 0, "y": top, "width": view.width, "scale": view.scale}
        clip["height"] = min(COLUMN, height - top)
        with_this = {"format": "png", "clip": clip, "captureBeyondViewport": True}
        yield picture(devtools.send("Page.captureScreenshot", with_this)["data"])


def picture(data: str) -> Image.Image:
    """Read a picture in base 64."""
    return Image.open(io.BytesIO(base64.b64decode(data)))


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
