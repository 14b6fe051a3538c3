"""What the front ends of Jupyter make of a notebook: where its text and its mathematics stand on their pages."""

import re
from typing import NamedTuple

from playwright.sync_api import Page

CODE = re.compile(r"(`{3,}).*?\1|(`+).*?\2", re.DOTALL)
MATHEMATICS = re.compile(r"\$\$.+?\$\$|\$[^$]+\$", re.DOTALL)
TAG = re.compile(r"\\tag\{([\d.]+)\}")
PATIENCE = 180_000  # ms
RAW = re.compile(r".{0,20}(?::label:|\{(?:eq|numref|cite|term|doc)\b|```|:::|\$|\\[a-z]+\{|\*\*|</?[a-z]+>).{0,20}")
DRAWN = "([selector, expected]) => document.querySelectorAll(selector).length >= expected"
# What a reader reads as text: neither code, which may hold anything, nor mathematics.
PROSE = """([selector, unread]) => [...document.querySelectorAll(selector)].map(text => {
  const copy = text.cloneNode(true);
  copy.querySelectorAll(unread).forEach(part => part.remove());
  return copy.textContent;
})"""


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
)
CLASSIC = FrontEnd(  # MathJax 2
    ".text_cell_render",
    "span.MathJax",
    ".MathJax_Error, .merror",
    "code, pre, script, .anchor-link, .MathJax, .MathJax_Display, .MathJax_Preview",
    "() => [...document.querySelectorAll('.text_cell_render [id^=mjx-eqn-]')].map(label => label.textContent)",
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
