"""What the front ends of Jupyter make of a notebook: where its text and its mathematics stand on their pages."""

import re
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple
from urllib.parse import unquote

from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin
from playwright.sync_api import Page

CODE = re.compile(r"(`{3,}).*?\1|(`+).*?\2", re.DOTALL)
MATHEMATICS = re.compile(r"\$\$.+?\$\$|\$[^$]+\$", re.DOTALL)
TAG = re.compile(r"\\tag\{([\d.]+)\}")
PARSER = MarkdownIt("commonmark").use(dollarmath_plugin)
VISIBLE = ("text", "text_special", "code_inline")  # kinds of pieces
PATIENCE = 180_000  # ms
RAW = re.compile(r".{0,20}(?::label:|\{(?:eq|numref|cite|term|doc)\b|```|:::|\$|\\[a-z]+\{|\*\*|</?[a-z]+>).{0,20}")
DRAWN = "([selector, expected]) => document.querySelectorAll(selector).length >= expected"
# What a reader reads as text: neither code, which may hold anything, nor mathematics.
PROSE = """([selector, unread]) => [...document.querySelectorAll(selector)].map(text => {
  const copy = text.cloneNode(true);
  copy.querySelectorAll(unread).forEach(part => part.remove());
  return copy.textContent;
})"""


def heading_names(texts: Iterable[str]) -> list[str]:
    """The names that Jupyter gives the headings of cells, their text without spaces; not of those with mathematics."""
    tokens = [token for text in texts for token in PARSER.parse(text)]
    headings = [after.children or [] for token, after in pairwise(tokens) if token.type == "heading_open"]
    plain = [pieces for pieces in headings if all(piece.type != "math_inline" for piece in pieces)]
    return ["".join(one.content for one in pieces if one.type in VISIBLE).replace(" ", "-") for pieces in plain]


def mathematics_of(text: str) -> list[str]:
    """The mathematics of a text, with its dollars."""
    return MATHEMATICS.findall(CODE.sub("", text))


class FrontEnd(NamedTuple):
    """Selectors of the text of a cell, and within it of typeset mathematics, of its errors and of what is no prose."""

    text: str
    drawn: str
    broken: str
    unread: str
    numbers: str  # a script that returns the numbers of the equations
    link: str  # a selector of links within the notebook, but for those that the front end puts behind headings
    place: str  # a script (name) -> the element to which a link of that name leads


# MathJax 3 and 4 write a glyph as an element whose class is its code point.
LABS = FrontEnd(
    ".jp-MarkdownOutput",
    "mjx-container",
    "mjx-merror, [data-mjx-error]",
    "code, pre, mjx-container",
    """() => [...document.querySelectorAll('.jp-MarkdownOutput mjx-labels')].map(label =>
      [...label.querySelectorAll('mjx-c')].map(
        glyph => String.fromCodePoint(Number.parseInt(glyph.className.match(/mjx-c([0-9A-F]+)/)[1], 16)),
      ).join(''))""",
    '.jp-MarkdownOutput a[href^="#"]:not(.jp-InternalAnchorLink)',
    """name => document.querySelector(`[data-jupyter-id="${CSS.escape(name)}"]`)""",
)
CLASSIC = FrontEnd(  # MathJax 2
    ".text_cell_render",
    "span.MathJax",
    ".MathJax_Error, .merror",
    "code, pre, script, .anchor-link, .MathJax, .MathJax_Display, .MathJax_Preview",
    "() => [...document.querySelectorAll('.text_cell_render [id^=mjx-eqn-]')].map(label => label.textContent)",
    '.text_cell_render a[href^="#"]:not(.anchor-link)',
    "name => document.getElementById(name)",
)


class Chapter(NamedTuple):
    """A made notebook on a page of a front end, and the text of its cells."""

    page: Page
    front_end: FrontEnd
    texts: list[str]

    def wait(self) -> None:
        """Wait until all mathematics is drawn, the numbers of equations last."""
        drawn = f"{self.front_end.text} {self.front_end.drawn}"
        self.page.wait_for_function(DRAWN, arg=[drawn, len(self.written())], timeout=PATIENCE)
        numbered = f"expected => ({self.front_end.numbers})().length >= expected"
        self.page.wait_for_function(numbered, arg=len(self.tags()), timeout=PATIENCE)

    def tags(self) -> list[str]:
        """The numbers of the equations, as they are written."""
        return [f"({number})" for number in TAG.findall("".join(self.texts))]

    def written(self) -> list[str]:
        """The mathematics of the text."""
        return [one for text in self.texts for one in mathematics_of(text)]

    def raw(self) -> list[str]:
        """What a reader sees of the source that the front end should have read."""
        shown = self.page.evaluate(PROSE, [self.front_end.text, self.front_end.unread])
        assert len(shown) == len(self.texts)
        return [found[0] for text in shown for found in RAW.finditer(text)]

    def numbers(self) -> list[str]:
        """The numbers of the equations, as they are drawn."""
        found: list[str] = self.page.evaluate(self.front_end.numbers)
        return found

    def links(self) -> list[str]:
        """The names to which links within the notebook lead."""
        addresses = "links => links.map(link => link.getAttribute('href').slice(1))"
        return [unquote(name) for name in self.page.eval_on_selector_all(self.front_end.link, addresses)]

    def lost(self) -> list[str]:
        """The names among them that no element has."""
        return [
            name for name in self.links() if not self.page.evaluate(f"name => !!({self.front_end.place})(name)", name)
        ]
