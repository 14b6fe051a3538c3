"""Colours of code: four kinds of words have one, in `code_cells.css`, and all others are the text's own.

Sphinx wraps each name, bracket and dot of a cell in an element, two thirds of all elements of a chapter. Here only what
has a colour is wrapped: pages are lighter, and what stands out is what a reader looks for.
"""

from collections.abc import Iterator
from typing import Any

from pygments.formatters import HtmlFormatter
from pygments.token import Comment, Keyword, Name, Operator, Punctuation, String, Text, Token
from sphinx.application import Sphinx
from sphinx.highlighting import PygmentsBridge

KINDS = (
    (Comment, "code-comment"),
    (Keyword, "code-keyword"),
    (Operator.Word, "code-keyword"),
    (String.Interpol, ""),  # the brackets in an f-string, and what stands between them
    (String.Affix, "code-string"),
    (String, "code-string"),
    (Name.Function, "code-name"),
    (Name.Class, "code-name"),
    (Name.Decorator, "code-name"),
    (Name, ""),
    (Operator, ""),
    (Punctuation, ""),
    (Text, ""),
)


class CalmFormatter(HtmlFormatter[str]):
    """Code as HTML, with elements around what has a colour."""

    def _get_css_classes(self, ttype: Any) -> str:
        """The class of a kind of token; nothing where it has the colour of text. Colours of a terminal stay."""
        if ttype in Token.Color or ttype in Token.Generic:
            return str(super()._get_css_classes(ttype))
        return next((name for kind, name in KINDS if ttype in kind), "")

    def _wrap_pre(self, inner: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
        """The box of a cell, without the empty element that keeps an empty first line: no cell begins with one."""
        yield 0, "<pre>"
        yield from inner
        yield 0, "</pre>"


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    PygmentsBridge.html_formatter = CalmFormatter
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
