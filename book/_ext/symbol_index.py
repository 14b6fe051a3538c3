"""Directive ``symbol-index``, which lists the symbols of all checked equations; part of ``checked_equations``.

What both add to the pages passes through :func:`words.word`, and so through a message catalogue.
"""

import re
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.util.docutils import SphinxDirective

from closure import closure_of
from companion.lessons import Symbol, equation, labels
from package_map import modules
from words import word

INLINE = re.compile(r"\$(?P<math>[^$]+)\$|`(?P<code>[^`]+)`")
GREEK = {
    "alpha",
    "beta",
    "gamma",
    "delta",
    "varepsilon",
    "epsilon",
    "eta",
    "theta",
    "kappa",
    "lambda",
    "mu",
    "sigma",
    "tau",
}


class SymbolIndex(SphinxDirective):
    """Table of the symbols of all checked equations, and where each occurs."""

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        root = Path(self.env.srcdir)
        for path in closure_of(root, [name for name, module in modules(root).items() if module.gathered]):
            self.env.note_dependency(str(path))
        return [symbol_table(symbols())]


def symbols() -> dict[Symbol, list[str]]:
    """Every symbol of the book with the labels of its equations, in the order of the alphabet."""
    where: dict[Symbol, list[str]] = {}
    for label in labels():
        for symbol in equation(label).symbols:
            where.setdefault(symbol, []).append(label)
    return dict(sorted(where.items(), key=lambda item: (sorting(item[0].tex), item[0].meaning)))


def sorting(tex: str) -> tuple[bool, str, str]:
    """Sort key of a symbol: its first letter, Greek ones by their name after the Latin ones."""
    letters = re.sub(r"\\(?:mathrm|mathcal|mathbb|operatorname|text|hat|tilde|bar)\b|[\\{}()|,; ]", "", tex)
    name = re.match(r"[A-Za-z]+", letters)
    greek = re.match(r"\\(?:hat|tilde|bar)?\{?\\?([a-z]{2,})", tex)
    is_greek = greek is not None and greek[1] in GREEK
    return is_greek, (name[0] if name else letters).lower(), tex


def symbol_table(found: dict[Symbol, list[str]]) -> nodes.Node:
    """Index of symbols as a table whose last column leads to the equations."""
    head = [[nodes.Text(word(title))] for title in ("Symbol", "Meaning", "Shape", "Equations")]
    body = [
        [as_nodes(f"${s.tex}$"), as_nodes(word(s.meaning)), as_nodes(shape(s)), references(where)]
        for s, where in found.items()
    ]
    group = nodes.tgroup(cols=4)
    group += [nodes.colspec(colwidth=width) for width in (18, 46, 18, 18)]
    group += nodes.thead("", row(head))
    group += nodes.tbody("", *(row(cells) for cells in body))
    return nodes.table("", group, classes=["symbol-index"])


def row(cells: list[list[nodes.Node]]) -> nodes.row:
    """Row of a table, each cell a paragraph."""
    return nodes.row("", *(nodes.entry("", nodes.paragraph("", "", *cell)) for cell in cells))


def as_nodes(text: str) -> list[nodes.Node]:
    """Text with ``$mathematics$`` and `` `code` `` as nodes."""
    kinds = {"math": nodes.math, "code": nodes.literal}
    return [kinds[kind](part, part) if kind in kinds else nodes.Text(part) for kind, part in parts(text)]


def references(where: list[str]) -> list[nodes.Node]:
    """References to equations by their labels."""
    found: list[nodes.Node] = []
    for label in where:
        options = {"refdomain": "math", "reftype": "eq", "reftarget": label, "refexplicit": False, "refwarn": False}
        found += [addnodes.pending_xref("", nodes.literal("", label), **options), nodes.Text(" ")]
    return found


def shape(symbol: Symbol) -> str:
    """Shape of a symbol as text with mathematics; empty for one number, and for what has no shape."""
    return f"${symbol.shape}$" if symbol.shape else ""


def parts(text: str) -> list[tuple[str, str]]:
    """Parts of a text, plain, math and code: pairs of kind and content."""
    found, end = [], 0
    for match in INLINE.finditer(text):
        found += [("text", text[end : match.start()]), (str(match.lastgroup), match[match.lastgroup or 0])]
        end = match.end()
    return [(kind, part) for kind, part in [*found, ("text", text[end:])] if part]
