"""Figures that matplotlib drew, in colours for a light and for a dark page, and never so small that they cannot be read.

A chapter draws in colours that are seen on both grounds, since a notebook cannot know its reader's. A page knows: here
each colour of :mod:`companion.plots` is replaced by one with a contrast of at least 4.5 to the page, in a copy of the
figure for each theme, of which the browser asks for the one it shows. On a narrow screen a figure keeps the width at
which its numbers can be read, and scrolls in its own box.
"""

import re
from functools import cache
from pathlib import Path
from typing import Any

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
SIZE = re.compile(r'<svg[^>]*\bwidth="([\d.]+)pt" height="([\d.]+)pt"')
POINT = 4 / 3  # pixels


def in_theme(drawing: str, theme: str) -> str:
    """Drawing in SVG with the colours of a theme."""
    return re.sub("|".join(THEMES["light"]), lambda colour: THEMES[theme][colour[0]], drawing)


@cache
def natural_size(path: Path) -> tuple[int, int] | None:
    """Width and height in pixels of a figure that was drawn in the book's style; None for every other image."""
    if path.suffix != ".svg" or not path.is_file():
        return None
    drawing = path.read_text(encoding="utf-8")
    size = SIZE.search(drawing)
    return (round(float(size[1]) * POINT), round(float(size[2]) * POINT)) if size and INK in drawing else None


def visit_image(self: HTML5Translator, node: nodes.image) -> None:
    """Write an image; of a figure in the book's style, the copy for each theme in a box that scrolls.

    It is loaded when the reader comes near; its place is kept free, so that nothing moves then.
    """
    size = natural_size(Path(self.builder.srcdir, node["uri"]))
    HTML5Translator.visit_image(self, node)
    if size is not None:
        light = self.body.pop().rstrip().replace("<img ", '<img loading="lazy" ')
        dark = re.sub(r'(src="[^"]*)\.svg"', r'\1.dark.svg"', light)
        images = light.replace("<img ", '<img class="on-light" ') + dark.replace("<img ", '<img class="on-dark" ')
        style = f"--natural: {size[0]}px; --shape: {size[0]} / {size[1]}"
        self.body.append(f'<span class="wide-figure" style="{style}">{images}</span>\n')


def colour(app: Sphinx, error: Exception | None) -> None:
    """Write the two copies of each figure; what has its theme's colours already is left as it is."""
    if error is not None or app.builder.format != "html":
        return
    for path in Path(app.outdir, "_images").glob("*.svg"):
        drawing = path.read_text(encoding="utf-8")
        if INK in drawing:
            path.with_suffix(".dark.svg").write_text(in_theme(drawing, "dark"), encoding="utf-8")
            path.write_text(in_theme(drawing, "light"), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.add_node(nodes.image, override=True, html=(visit_image, HTML5Translator.depart_image))
    app.connect("build-finished", colour)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
