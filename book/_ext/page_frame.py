"""What is around the text of a page: words for the book's templates, and the script of the frame."""

import re
from html import escape
from typing import Any

from docutils import nodes
from myst_nb.sphinx_ import HideCodeCellNode, depart_HideCellInput
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

from words import word

START, CHAPTERS, FOLD = "Start of the book", "Chapters", "Show or hide the pages of this part"
GAP = re.compile(r"\S {2,}\S|\S +\|")  # between two columns
NUMBERS = re.compile(r"(?:\S*\d\S* +){2,}\S*\d")  # three of them, in a row
WIDEST_ROW, WIDEST = 160, 100  # letters of a row, and of a line that is none
PARAMETERS = re.compile(r'<dl>(?=\s*<dd><em class="sig-param")')
WORDS = (START, CHAPTERS, FOLD)


def visit_hidden(self: HTML5Translator, node: HideCodeCellNode) -> None:
    """Open a cell that a chapter hides; MyST-NB gives the line that is clicked a name that is not the one it shows."""
    self.body.append(f'<details class="admonition hide {" ".join(node["classes"])}">\n<summary>\n')
    for state, prompt in (("collapsed", node["prompt_show"]), ("expanded", node["prompt_hide"])):
        self.body.append(f'<p class="{state} admonition-title">{escape(prompt)}</p>\n')
    self.body.append("</summary>\n")


def visit_entry(self: HTML5Translator, node: nodes.entry) -> None:
    """Open a cell of a table; the empty corner above the names of rows is no heading of anything."""
    HTML5Translator.visit_entry(self, node)
    if isinstance(node.parent.parent, nodes.thead) and not node.astext().strip():
        self.body[-1] = self.body[-1].replace("<th", "<td", 1)
        self.context[-1] = self.context[-1].replace("</th", "</td")


def tabular(text: str) -> bool:
    """Whether what a cell prints is a table: most of its lines have columns, and none is too long."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    rows = [bool(GAP.search(line) or NUMBERS.search(line)) for line in lines]
    fit = all(len(line) <= (WIDEST_ROW if row else WIDEST) for line, row in zip(lines, rows, strict=True))
    return fit and len(lines) > 1 and 2 * sum(rows) >= len(lines)


def keep_columns(app: Sphinx, doctree: nodes.document, _docname: str) -> None:
    """Mark the tables that cells print: their lines are not broken, they scroll."""
    if app.builder.format != "html":
        return
    for cell in doctree.findall(nodes.container):
        if cell.get("nb_element") == "cell_code_output":
            for block in cell.findall(nodes.literal_block):
                if tabular(block.astext()):
                    block["classes"].append("columns")


def add_words(
    _app: Sphinx, _page: str, _template: str, context: dict[str, Any], _doctree: nodes.document | None
) -> None:
    """Give the templates the function that translates the book's words, and lists of parameters their role.

    Sphinx writes a parameter on a line of its own as the meaning of a term that is not there.
    """
    context["word"] = word
    if "body" in context:
        body = PARAMETERS.sub('<dl role="presentation">', context["body"])
        context["body"] = body.replace('role="doc-biblioentry"', 'role="listitem"')  # the older role is none any more


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.setup_extension("words")
    app.add_node(HideCodeCellNode, override=True, html=(visit_hidden, depart_HideCellInput))
    app.add_node(nodes.entry, override=True, html=(visit_entry, HTML5Translator.depart_entry))
    app.connect("doctree-resolved", keep_columns)
    app.connect("html-page-context", add_words)
    app.add_js_file("page_frame.js", loading_method="defer")
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
