"""What stays on one line: a formula with the mark that follows it or the bracket before it, a number with its per cent.

A browser breaks a line on either side of a formula, whatever stands there, and a no-break space does not stop it; only an
element around both does.
"""

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

BEFORE, AFTER = re.compile(r"[(\[“]+$"), re.compile(r"[,.;:!?)\]’”]+| %")
PERCENT = re.compile(r"(?<=\d) (?=%)")
NOT_PROSE = (nodes.literal, nodes.literal_block, nodes.math, nodes.math_block, nodes.raw)


def bind(formula: nodes.math) -> None:
    """Put an element around a formula and the marks that touch it, if there are any."""
    parent, place = formula.parent, formula.parent.index(formula)
    before, after = (
        parent[at] if 0 <= at < len(parent) and isinstance(parent[at], nodes.Text) else nodes.Text("")
        for at in (place - 1, place + 1)
    )
    opening, closing = BEFORE.search(before), AFTER.match(after)
    if not opening and not closing:
        return
    whole = nodes.inline(classes=["unbroken"])
    parent[place] = whole
    if opening:
        parent[place - 1] = nodes.Text(before[: opening.start()])
        whole += nodes.Text(opening[0])
    whole += formula
    if closing:
        parent[place + 1] = nodes.Text(after[closing.end() :])
        whole += nodes.Text(closing[0].replace(" ", "\N{NO-BREAK SPACE}"))


def keep_together(app: Sphinx, doctree: nodes.document, _docname: str) -> None:
    """Bind the formulas and the numbers of a page."""
    if app.builder.format != "html":
        return
    for formula in list(doctree.findall(nodes.math)):
        bind(formula)
    for text in list(doctree.findall(nodes.Text)):
        if " %" in text and not isinstance(text.parent, NOT_PROSE):
            text.parent.replace(text, nodes.Text(PERCENT.sub("\N{NO-BREAK SPACE}", text)))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.connect("doctree-resolved", keep_together)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
