"""Made notebooks in JupyterLab as it comes, with no extension for MyST: what a reader sees there."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import nbformat
import pytest
from playwright.sync_api import Browser, Page

from lab_server import jupyterlab

pytestmark = pytest.mark.browser

CHAPTERS = ("algorithms/gpt", "concepts/attention", "formulas/optimizers")
ALL_AT_ONCE = {"notebook-extension/tracker": {"windowingMode": "none"}}  # draw what is out of sight, too
CODE = re.compile(r"(`{3,}).*?\1|(`+).*?\2", re.DOTALL)
MATHEMATICS = re.compile(r"\$\$.+?\$\$|\$[^$]+\$", re.DOTALL)
RAW = re.compile(r".{0,20}(?::label:|\{(?:eq|numref|cite|term|doc)\b|```|:::|\$|\\[a-z]+\{|\*\*|</?[a-z]+>).{0,20}")
DRAWN = "expected => document.querySelectorAll('.jp-MarkdownOutput mjx-container').length >= expected"
# What a reader reads as text: neither code, which may hold anything, nor mathematics, nor folds that are closed.
PROSE = """() => [...document.querySelectorAll('.jp-MarkdownOutput')].map(output => {
  const copy = output.cloneNode(true);
  copy.querySelectorAll('code, pre, mjx-container').forEach(part => part.remove());
  return copy.textContent;
})"""
# MathJax writes a glyph as an element whose class is its code point.
NUMBERS = """() => [...document.querySelectorAll('.jp-MarkdownOutput mjx-labels')].map(label =>
  [...label.querySelectorAll('mjx-c')].map(
    glyph => String.fromCodePoint(Number.parseInt(glyph.className.match(/mjx-c([0-9A-F]+)/)[1], 16)),
  ).join(''))"""


class Chapter(NamedTuple):
    """A made notebook on a page of JupyterLab, and the text of its cells."""

    page: Page
    texts: list[str]

    def written(self) -> list[str]:
        """The mathematics of the text."""
        return [one for text in self.texts for one in MATHEMATICS.findall(CODE.sub("", text))]


@pytest.fixture(scope="module")
def lab(book: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], str]]:
    folder = tmp_path_factory.mktemp("lab")
    for name in CHAPTERS:
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(book.parent / "notebooks" / "book" / f"{name}.ipynb", folder / f"{name}.ipynb")
    with jupyterlab(folder, ALL_AT_ONCE) as address:
        yield address


@pytest.fixture(scope="module", params=CHAPTERS)
def chapter(
    request: pytest.FixtureRequest, lab: Callable[[str], str], book: Path, browser: Browser
) -> Iterator[Chapter]:
    """A chapter whose mathematics is drawn."""
    notebook = nbformat.read(book.parent / "notebooks" / "book" / f"{request.param}.ipynb", as_version=4)
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.goto(lab(f"{request.param}.ipynb"))
    found = Chapter(page, [cell.source for cell in notebook.cells if cell.cell_type == "markdown"])
    page.wait_for_function(DRAWN, arg=len(found.written()), timeout=120_000)
    yield found
    page.close()


def test_nothing_is_left_that_a_front_end_should_have_read(chapter: Chapter):
    shown = chapter.page.evaluate(PROSE)
    assert len(shown) == len(chapter.texts)
    assert [found[0] for text in shown for found in RAW.finditer(text)] == []


def test_all_mathematics_is_typeset_without_an_error_and_equations_have_their_numbers(chapter: Chapter):
    output = chapter.page.locator(".jp-MarkdownOutput")
    assert output.locator("mjx-container").count() == len(chapter.written())
    assert output.locator("mjx-merror, [data-mjx-error]").count() == 0
    numbers = re.findall(r"\\tag\{([\d.]+)\}", "".join(chapter.texts))
    assert chapter.page.evaluate(NUMBERS) == [f"({number})" for number in numbers] != []


def test_a_reference_leads_to_its_equation(chapter: Chapter):
    link = chapter.page.locator('.jp-MarkdownOutput a[href^="#scrollTo=equation-"]').last
    name = link.get_attribute("href").removeprefix("#")
    target = chapter.page.locator(f'.jp-MarkdownCell:has([data-jupyter-id="{name}"])')
    target.evaluate("cell => { window.target = cell; }")
    link.click()
    chapter.page.wait_for_function("""() => {
      const { top, bottom } = window.target.getBoundingClientRect();
      return bottom > 60 && top < innerHeight - 60;
    }""")


def test_an_answer_unfolds_what_is_said_of_it(chapter: Chapter):
    folds = chapter.page.locator(".jp-MarkdownOutput details")
    assert folds.count() > 11
    verdict = folds.first.locator("strong").first
    assert not verdict.is_visible()
    folds.first.locator("summary").click()
    assert verdict.is_visible()
