"""Figures that matplotlib drew, in colours for a light and for a dark page, and never so small that they cannot be read.

A chapter draws in colours that are seen on both grounds, since a notebook cannot know its reader's. A page knows: here
each colour of :mod:`companion.plots` is replaced by one with a contrast of at least 4.5 to the page, in a copy of the
figure for each theme, of which the browser asks for the one it shows. So are the drawings of the book, whose words stand on
shapes as well: light words on dark shapes on a light page, dark words on light shapes on a dark one. On a narrow screen a
figure keeps the width at which its numbers can be read, and scrolls in its own box.
"""

import re
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

from companion.plots.figures import COLOURS, INK

THEMES = {
    "light": dict(
        zip((INK, *COLOURS), ("#566270", "#1f68ba", "#a9521b", "#26794f", "#9340a4", "#b53a40"), strict=True)
    ),
    "dark": dict(zip((INK, *COLOURS), ("#aab4be", "#6aa9ee", "#f0935c", "#5cc08f", "#cf8bdc", "#f0868a"), strict=True)),
}
# What only drawings have: deeper shades for shapes with words on them, and the words.
SHADES = {
    "light": {"#b85c1e": "#b85c1e", "#2a7d56": "#2a7d56", "#8f3fa0": "#8f3fa0", "#525964": "#525964", "#fff": "#fff"},
    "dark": {"#b85c1e": "#f0935c", "#2a7d56": "#5cc08f", "#8f3fa0": "#cf8bdc", "#525964": "#8a949f", "#fff": "#14181d"},
}
SIZE = re.compile(r'<svg[^>]*\bwidth="([\d.]+)pt" height="([\d.]+)pt"')
VIEW = re.compile(r'<svg[^>]*\bviewBox="[-\d.]+ [-\d.]+ ([\d.]+) ([\d.]+)"')
WIDTH = re.compile(r' style="width: [^"]*"')  # the page's style says it, which knows the screen
POINT = 4 / 3  # pixels


def in_theme(drawing: str, theme: str) -> str:
    """Drawing in SVG with the colours of a theme."""
    colours = THEMES[theme] if SIZE.search(drawing) else THEMES[theme] | SHADES[theme]
    return re.sub(rf"(?:{'|'.join(colours)})\b", lambda colour: colours[colour[0]], drawing)


def has_theme(picture: str) -> bool:
    """Whether a picture in SVG has a colour of the book's style."""
    return any(colour in picture for colour in THEMES["light"])


class Size(NamedTuple):
    """Width and height of a picture in pixels, and whether it was drawn by hand, with larger letters than a figure."""

    width: int
    height: int
    drawing: bool


@cache
def natural_size(path: Path) -> Size | None:
    """Size of a figure or drawing in the book's style; None for every other image."""
    if path.suffix != ".svg" or not path.is_file():
        return None
    picture = path.read_text(encoding="utf-8")
    plotted = SIZE.search(picture)
    found, unit = (plotted, POINT) if plotted else (VIEW.search(picture), 1)
    if found is None or not has_theme(picture):
        return None
    return Size(round(float(found[1]) * unit), round(float(found[2]) * unit), plotted is None)


def with_class(image: str, name: str) -> str:
    """Image in HTML with one more class."""
    if 'class="' in image:
        return image.replace('class="', f'class="{name} ', 1)
    return image.replace("<img ", f'<img class="{name}" ', 1)


def visit_image(self: HTML5Translator, node: nodes.image) -> None:
    """Write an image; of a figure in the book's style, the copy for each theme in a box that scrolls.

    It is loaded when the reader comes near; its place is kept free, so that nothing moves then.
    """
    size = natural_size(Path(self.builder.srcdir, node["uri"]))
    HTML5Translator.visit_image(self, node)
    if size is not None:
        light = WIDTH.sub("", self.body.pop().rstrip()).replace("<img ", '<img loading="lazy" ')
        dark = re.sub(r'(src="[^"]*)\.svg"', r'\1.dark.svg"', light)
        images = with_class(light, "on-light") + with_class(dark, "on-dark")
        style = f"--natural: {size.width}px; --shape: {size.width} / {size.height}"
        kind = "wide-figure drawing" if size.drawing else "wide-figure"
        self.body.append(f'<span class="{kind}" style="{style}">{images}</span>\n')


def colour(app: Sphinx, error: Exception | None) -> None:
    """Write the two copies of each figure; what has its theme's colours already is left as it is."""
    if error is not None or app.builder.format != "html":
        return
    for path in Path(app.outdir, "_images").glob("*.svg"):
        drawing = path.read_text(encoding="utf-8")
        if has_theme(drawing):
            path.with_suffix(".dark.svg").write_text(in_theme(drawing, "dark"), encoding="utf-8")
            path.write_text(in_theme(drawing, "light"), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.add_node(nodes.image, override=True, html=(visit_image, HTML5Translator.depart_image))
    app.connect("build-finished", colour)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
