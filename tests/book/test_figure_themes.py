"""Figures in the colours of the page that shows them."""

import re
from pathlib import Path

import figure_themes
import pytest
from figure_themes import SHADES, THEMES, in_theme
from small_sphinx import build, write

from companion.plots.figures import COLOURS, INK

DRAWING = '<svg xmlns="http://www.w3.org/2000/svg" width="300.0pt" height="60pt"><path style="stroke: {}"/></svg>'
PAGES = {"index.md": "# A page\n\n![A line.](line.svg)\n\n![A square.](square.svg)\n\n![By hand.](hand.svg)\n"}
BY_HAND = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-10 0 430 200"><g stroke="{INK}" fill="#fff"/></svg>'


def luminance(colour: str) -> float:
    """Relative luminance, as WCAG 2 defines it."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("theme", THEMES)
def test_what_is_drawn_has_a_contrast_of_4_5_to_the_page(root: Path, theme: str):
    style = (root / "book" / "_static" / "book.css").read_text(encoding="utf-8")
    paper = re.search(rf'\[data-theme="{theme}"\] \{{[^}}]*--llm-paper: (#\w+)', style)
    assert paper is not None
    for colour in THEMES[theme].values():
        low, high = sorted((luminance(colour), luminance(paper[1])))
        assert (high + 0.05) / (low + 0.05) >= 4.5, colour


@pytest.mark.parametrize("theme", THEMES)
def test_words_on_the_shapes_of_a_drawing_have_a_contrast_of_4_5(theme: str):
    shapes = {**THEMES[theme], **SHADES[theme]}
    words = luminance(shapes.pop("#fff").replace("#fff", "#ffffff"))
    for colour in shapes.values():
        low, high = sorted((luminance(colour), words))
        assert (high + 0.05) / (low + 0.05) >= 4.5, colour


def test_the_drawings_of_the_book_have_no_colour_that_knows_no_theme(root: Path):
    for path in (root / "book" / "_static").rglob("*.svg"):
        picture = path.read_text(encoding="utf-8")
        if figure_themes.has_theme(picture):
            assert set(re.findall(r"#[0-9a-f]{3,6}\b", picture)) <= THEMES["dark"].keys() | SHADES["dark"].keys(), (
                path.name
            )


def test_all_colours_of_the_books_style_have_one_in_each_theme_and_others_stay():
    for colours in THEMES.values():
        assert list(colours) == [INK, *COLOURS]
    assert in_theme(f"{INK} #ffffff", "dark") == f"{THEMES['dark'][INK]} #ffffff"


@pytest.mark.slow
def test_a_figure_has_a_copy_for_each_theme_and_other_drawings_are_left_alone(tmp_path: Path):
    figure_themes.natural_size.cache_clear()
    source, html = tmp_path / "source", tmp_path / "html"
    write(source, PAGES, ["figure_themes"], [])
    (source / "line.svg").write_text(DRAWING.format(INK))
    (source / "square.svg").write_text(DRAWING.format("#123456"))
    (source / "hand.svg").write_text(BY_HAND)
    assert build(source, tmp_path) == ""
    page = (html / "index.html").read_text(encoding="utf-8")
    assert 'style="--natural: 400px; --shape: 400 / 80"' in page
    assert re.findall(r'class="(on-\w+)" loading="lazy"[^>]*src="_images/([\w.]+)"', page) == [
        ("on-light", "line.svg"),
        ("on-dark", "line.dark.svg"),
        ("on-light", "hand.svg"),
        ("on-dark", "hand.dark.svg"),
    ]
    assert 'class="wide-figure drawing" style="--natural: 430px; --shape: 430 / 200"' in page
    assert SHADES["dark"]["#fff"] in (html / "_images" / "hand.dark.svg").read_text()
    assert THEMES["light"][INK] in (html / "_images" / "line.svg").read_text()
    assert THEMES["dark"][INK] in (html / "_images" / "line.dark.svg").read_text()
    assert not (html / "_images" / "square.dark.svg").exists()
