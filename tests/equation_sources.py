"""The labelled equations of the book as its pages are written, and the extension that wraps their symbols."""

import re
from pathlib import Path

import nbformat

BOOK = Path(__file__).resolve().parent.parent / "book"
EQUATION = re.compile(r"^\$\$\n((?:(?!\$\$).)*?)^\$\$ \((eq-[\w-]+)\)$", re.MULTILINE | re.DOTALL)


def sources() -> dict[str, str]:
    """Return the LaTeX of every labelled equation, by its label."""
    pages = [path.read_text(encoding="utf-8") for path in sorted(BOOK.rglob("*.md"))]
    for path in sorted(BOOK.rglob("*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        pages += [cell.source for cell in cells if cell.cell_type == "markdown"]
    return {label: tex.strip() for page in pages for tex, label in EQUATION.findall(page)}
