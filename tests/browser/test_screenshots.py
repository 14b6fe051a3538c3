"""The pictures of pages that a person looks at: both widths, both themes, the first screen and all of it."""

from pathlib import Path

import pytest
import screenshots
from PIL import Image
from playwright.sync_api import Browser

pytestmark = [pytest.mark.book, pytest.mark.browser]

CONTENTS = """\
root: book/index
parts:
  - caption: Appendix
    chapters:
      - file: book/appendix/parity
      - file: book/appendix/bibliography
"""


def test_a_page_gives_a_first_screen_and_a_sheet_for_each_width_and_theme(book: Path, browser: Browser, tmp_path: Path):
    (tmp_path / "toc.yml").write_text(CONTENTS, encoding="utf-8")
    assert screenshots.write(book, tmp_path / "toc.yml", tmp_path, browser, ["parity"]) == 8
    pictures = {path.name: Image.open(path).convert("RGB") for path in (tmp_path / "book" / "appendix").iterdir()}
    for view in screenshots.VIEWS:
        first = pictures[f"parity-{view.width}-{view.theme}.png"]
        assert first.size == (view.width, screenshots.SCREEN)
        brightness = sum(first.getpixel((view.width // 2, screenshots.SCREEN - 1))) / 3
        assert (brightness > 128) == (view.theme == "light")
        whole = pictures[f"parity-{view.width}-{view.theme}-whole.png"]
        assert (whole.width - screenshots.GAP) % (round(view.width * view.scale) + screenshots.GAP) == 0
