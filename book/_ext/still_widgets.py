"""A widget as a picture that needs neither kernel nor script: the head that is shown, as a matrix, in SVG."""

import base64
import json
import re
import zlib
from html import escape
from typing import Any

from companion.widgets.page import labels, place, weights

STATE = re.compile(r'<script type="application/json">(.*?)</script>', re.DOTALL)
SCRIPT = re.compile(r"<script\b.*?</script>", re.DOTALL)
WIDTH, SMALLEST, LARGEST = 480, 3, 28  # of the matrix and of its cells, in pixels
LABELS, LETTER = 10, 7.2  # cells from this size on have names; the width of a letter of a name
PAPER, BLUE, NOTHING = "#ffffff", "#082c4a", "#f3f5f7"


def state_of(figure: str) -> dict[str, Any]:
    """Return the state that a widget's HTML holds, its weights as bytes; ValueError where it holds none."""
    found = STATE.search(figure)
    if found is None:
        raise ValueError(f"this figure holds no state of a widget: {figure[:60]!r}")
    state: dict[str, Any] = json.loads(found[1])
    return {**state, "attention": zlib.decompress(base64.b64decode(state["attention"]))}


def without_script(figure: str) -> str:
    """Return the words and tables that a widget's HTML has for where no script runs."""
    return SCRIPT.sub("", figure)


def words(state: dict[str, Any]) -> str:
    """Return what the picture shows, in a line."""
    shown = f"Attention of {place(state)}: a row looks, the darker the more, at columns."
    return f"{state['caption']} {shown}".strip()


def svg(state: dict[str, Any]) -> str:
    """Return the weights of the head that is shown, as dark as they are large, with the tokens' names where they fit."""
    rows, columns = labels(state)
    cell = min(LARGEST, max(SMALLEST, WIDTH // max(len(rows), len(columns))))
    left, top = (LETTER * max(map(len, names)) + 8 if cell >= LABELS else 4 for names in (rows, columns))
    right, bottom, line = left + cell * len(columns), top + cell * len(rows), 20
    parts = [f'<rect width="100%" height="100%" fill="{PAPER}"/>']
    size = f'width="{right - left:g}" height="{bottom - top:g}"'
    parts.append(f'<rect x="{left:g}" y="{top:g}" {size} fill="{NOTHING}"/>')
    for row, of_row in enumerate(weights(state, state["layer"], state["head"])):
        for column, weight in enumerate(of_row):
            if weight >= 0.005:
                at = f'x="{left + cell * column:g}" y="{top + cell * row:g}" width="{cell}" height="{cell}"'
                parts.append(f'<rect {at} fill-opacity="{weight:.2f}"/>')
    for number, token in enumerate(rows if cell >= LABELS else ()):
        middle = top + cell * (number + 0.5) + 4
        parts.append(f'<text x="{left - 5:g}" y="{middle:g}" text-anchor="end">{escape(token)}</text>')
    for number, token in enumerate(columns if cell >= LABELS else ()):
        middle = left + cell * (number + 0.5) + 4
        turned = f'transform="translate({middle:g} {top - 5:g}) rotate(-90)"'
        parts.append(f"<text {turned}>{escape(token)}</text>")
    parts.append(f'<text x="4" y="{bottom + line - 6:g}">{place(state)}</text>')
    group = f'<g font-family="monospace" font-size="12" fill="{BLUE}">'
    box = f'width="{right + 4:g}" height="{bottom + line:g}"'
    start = f'<svg xmlns="http://www.w3.org/2000/svg" {box} role="img"><title>{escape(words(state))}</title>'
    return f"{start}{group}{''.join(parts)}</g></svg>"
