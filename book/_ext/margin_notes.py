"""Notes in the margin: asides to a paragraph, beside it on a wide screen and below it on a narrow one.

The theme's directive ``margin`` has a title and some words; it is written below the paragraph, list or formula that it is a
note to::

    Two vectors that point the same way have a large dot product.

    ```{margin} Dot product
    Multiply number by number, and add up.
    ```

So it is read after its paragraph on a phone, on paper, by a screen reader and in a notebook. On a wide screen
`margin_notes.css` sets it level with the beginning of that paragraph.
"""

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

logger = logging.getLogger(__name__)


class noted(nodes.General, nodes.Element):  # in lower case, as docutils has it
    """A block with the note to it."""


def is_note(node: nodes.Node) -> bool:
    """Whether a node is a note of the margin."""
    return isinstance(node, nodes.sidebar) and "margin" in node["classes"]


def attach(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Put each note of a page about to be written together with the block above it; warn where there is none."""
    if app.builder.format != "html":
        return
    for note in list(filter(is_note, doctree.findall(nodes.sidebar))):
        parent = note.parent
        place = parent.index(note)
        above = parent[place - 1] if place else None
        if above is None or isinstance(above, nodes.title | noted) or above.astext().endswith(":"):
            logger.warning("a note in the margin stands below the whole of what it is a note to", location=note)
            continue
        parent.remove(note)
        together = noted()
        parent.replace(above, together)
        together += [above, note]


def visit_noted(self: HTML5Translator, _node: noted) -> None:
    """Open a block with its note."""
    self.body.append('<div class="noted">\n')


def depart_noted(self: HTML5Translator, _node: noted) -> None:
    """Close it."""
    self.body.append("</div>\n")


def visit_sidebar(self: HTML5Translator, node: nodes.sidebar) -> None:
    """Open a note; by the class `sidenote` the theme's script knows that it needs the room of the page's contents."""
    if is_note(node):
        self.body.append('<div class="margin-note sidenote" role="note">\n')
    else:
        HTML5Translator.visit_sidebar(self, node)


def depart_sidebar(self: HTML5Translator, node: nodes.sidebar) -> None:
    """Close it."""
    if is_note(node):
        self.body.append("</div>\n")
    else:
        HTML5Translator.depart_sidebar(self, node)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension, to run after the notebooks are made."""
    app.add_node(noted, html=(visit_noted, depart_noted))
    app.add_node(nodes.sidebar, override=True, html=(visit_sidebar, depart_sidebar))
    app.connect("doctree-resolved", attach, priority=950)
    app.add_css_file("margin_notes.css")
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
