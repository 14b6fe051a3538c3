"""The code that a page shows: what a reader reads first, checks folded, long cells shortened, all of it behind a switch.

A cell of a chapter often ends with what the text claims of its numbers: ``assert`` statements, or lines that begin with
a comment such as "the text below says this". They keep the text true, and are not what the cell teaches, so a page folds
them. Of a cell that is longer than a screen of a phone the page shows the beginning, and a button shows the rest. A
button in the header hides all code, and the browser remembers it.

The notebooks are as they were: only pages fold.
"""

import ast
import re
from html import escape
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

from words import word

LINES, FIRST = 25, 8  # a longer cell is shortened to so many lines
CLAIMS = re.compile(r"# .*\b(?:text|caption|box|table|figure)\b.* says? ")
FOLDED = {"tag_hide-cell", "tag_hide-input", "tag_remove-input"}  # a cell that the chapter hides itself
CHECKED, MORE, FEWER = "Checked in this run", "Show all {count} lines", "Show fewer lines"
SWITCH = "Hide or show all code"
WORDS = (CHECKED, MORE, FEWER, SWITCH)


class code_checks(nodes.General, nodes.Element):  # in lower case, as docutils has it
    """The checks at the end of a cell."""


class long_code(nodes.General, nodes.Element):
    """Code of which a page shows the beginning."""


def checks_begin(code: str) -> int | None:
    """Return the number of the line, from 0, at which the checks that end a cell begin; None where there are none."""
    try:
        statements = ast.parse(code).body
    except SyntaxError:  # an IPython command
        return None
    lines = code.split("\n")
    claims = next((n for n, line in enumerate(lines) if CLAIMS.match(line)), len(lines))
    count = len(statements)
    while count and only_checks(statements[count - 1]):
        count -= 1
    after = [one for one in statements if one.lineno > claims]
    if after and silent(after):
        return claims
    if count == len(statements):
        return None
    begin = first_line(statements[count])
    while begin and lines[begin - 1].startswith("#"):
        begin -= 1
    return begin


def first_line(statement: ast.stmt) -> int:
    """Return the number of the line, from 0, on which a statement begins."""
    return statement.lineno - 1


def only_checks(statement: ast.stmt) -> bool:
    """Whether a statement is an ``assert``, or a loop or a block of nothing else."""
    if isinstance(statement, ast.For | ast.With):
        return all(map(only_checks, statement.body))
    return isinstance(statement, ast.Assert)


def silent(statements: list[ast.stmt]) -> bool:
    """Whether statements check something and neither print nor draw."""
    parts = [part for statement in statements for part in ast.walk(statement)]
    shows = any(isinstance(part, ast.Expr) for part in parts)
    return any(isinstance(part, ast.Assert) for part in parts) and not shows


def fold(app: Sphinx, doctree: nodes.document, _docname: str) -> None:
    """Fold the checks of each cell of a page about to be written, and shorten what is long."""
    if app.builder.format != "html":
        return
    for cell in doctree.findall(nodes.container):
        if cell.get("nb_element") != "cell_code" or FOLDED & set(cell["classes"]):
            continue
        for source in cell.children:
            if isinstance(source, nodes.container) and source.get("nb_element") == "cell_code_source":
                fold_one(source)


def fold_one(source: nodes.container) -> None:
    """Fold the checks of one cell, and shorten what is long."""
    block = next(source.findall(nodes.literal_block))
    code = block.astext()
    begin = checks_begin(code)
    lines = code.split("\n")
    shown = "\n".join(lines[:begin]).rstrip()
    parts: list[nodes.Node] = []
    if shown:
        part = part_of(block, shown)
        parts.append(long_code("", part) if shown.count("\n") >= LINES else part)
    if begin is not None:
        parts.append(code_checks("", part_of(block, "\n".join(lines[begin:]))))
    source.replace(block, parts)


def part_of(block: nodes.literal_block, code: str) -> nodes.literal_block:
    """Return a block of code as another one is, with a part of its lines."""
    part: nodes.literal_block = block.copy()
    part.rawsource = code
    part += nodes.Text(code)
    return part


def visit_checks(self: HTML5Translator, _node: code_checks) -> None:
    """Open what unfolds."""
    self.body.append(f'<details class="code-checks"><summary>{escape(word(CHECKED))}</summary>\n')


def depart_checks(self: HTML5Translator, _node: code_checks) -> None:
    """Close it."""
    self.body.append("</details>\n")


def visit_long(self: HTML5Translator, node: long_code) -> None:
    """Open what the page's script shortens; its buttons' words come with it."""
    more = word(MORE).format(count=node.astext().count("\n") + 1)
    words = f'data-more="{escape(more)}" data-fewer="{escape(word(FEWER))}"'
    self.body.append(f'<div class="long-code" style="--lines: {FIRST}" {words}>\n')


def depart_long(self: HTML5Translator, _node: long_code) -> None:
    """Close it."""
    self.body.append("</div>\n")


def add_switch(
    _app: Sphinx, _pagename: str, _templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Put the switch into the header of a page with code."""
    if doctree is not None and any(one.get("nb_element") == "cell_code" for one in doctree.findall(nodes.container)):
        context["header_buttons"].append(
            {
                "type": "javascript",
                "javascript": "switchCode()",
                "text": "",
                "tooltip": word(SWITCH),
                "icon": "fas fa-code",
                "label": "code-switch",
            }
        )


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension; its switch comes after the theme's buttons."""
    app.setup_extension("words")
    app.add_node(code_checks, html=(visit_checks, depart_checks))
    app.add_node(long_code, html=(visit_long, depart_long))
    app.connect("doctree-resolved", fold, priority=950)
    app.connect("html-page-context", add_switch, priority=901)
    app.add_css_file("code_cells.css")
    app.add_js_file("code_cells.js")
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
