"""Made notebooks in JupyterLab, Notebook 7 and the classic notebook as they come, with no extension for MyST."""

import functools
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import nbformat
import pytest
from notebook_pages import CLASSIC, LABS, Chapter, FrontEnd, heading_names
from plain_notebooks import WITH_OUTPUTS, pages_address
from playwright.sync_api import Browser

from notebook_servers import Address, classic_notebook, jupyterlab, notebook_7
from notebooks import ROOT, repository

TO_READ = f"{WITH_OUTPUTS}/book/concepts/attention"
TO_RUN = ("book/algorithms/gpt", "book/formulas/optimizers")
PAGES = pages_address(repository(ROOT)["url"])
ALL_AT_ONCE = {"notebook-extension/tracker": {"windowingMode": "none"}}  # draw what is out of sight, too
Served = tuple[FrontEnd, Address]
Serve = Callable[[Path, Path], AbstractContextManager[Address]]
FRONT_ENDS: dict[str, tuple[FrontEnd, Serve]] = {
    "JupyterLab": (LABS, lambda folder, _python: jupyterlab(folder, ALL_AT_ONCE)),
    "Notebook 7": (LABS, lambda folder, _python: notebook_7(folder, ALL_AT_ONCE)),
    "classic": (CLASSIC, lambda folder, python: classic_notebook(folder, python)),
}
MARKS = {"JupyterLab": pytest.mark.browser, "Notebook 7": pytest.mark.browser, "classic": pytest.mark.colab}


def named(*names: str) -> list[Any]:
    return [pytest.param(name, marks=MARKS[name]) for name in names]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory, book: Path) -> Iterator[Callable[[str, Path], Address]]:
    """Start a front end over all chapters; the tests take turns at them, so each stays until the last test."""
    with ExitStack() as servers:

        @functools.cache
        def start(name: str, python: Path) -> Address:
            folder = tmp_path_factory.mktemp("made")
            shutil.copytree(book.parent / "notebooks", folder, dirs_exist_ok=True)
            _, serve = FRONT_ENDS[name]
            return servers.enter_context(serve(folder, python))

        yield start


@pytest.fixture(scope="module", params=named("JupyterLab", "Notebook 7", "classic"))
def served(request: pytest.FixtureRequest, start: Callable[[str, Path], Address]) -> Served:
    """A front end over all chapters."""
    front_end, _ = FRONT_ENDS[request.param]
    python = request.getfixturevalue("colab") if request.param == "classic" else Path()
    return front_end, start(request.param, python)


@pytest.fixture(scope="module", params=(*TO_RUN, TO_READ))
def chapter(request: pytest.FixtureRequest, served: Served, book: Path, browser: Browser) -> Iterator[Chapter]:
    """A chapter whose mathematics is drawn."""
    front_end, address = served
    name = f"{request.param}.ipynb"
    notebook = nbformat.read(book.parent / "notebooks" / name, as_version=4)
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.goto(address(name), wait_until="commit")
    found = Chapter(page, front_end, [cell.source for cell in notebook.cells if cell.cell_type == "markdown"])
    found.wait()
    yield found
    page.close()


def test_nothing_is_left_that_a_front_end_should_have_read(chapter: Chapter):
    assert chapter.raw() == []


def test_all_mathematics_is_typeset_without_an_error_and_equations_have_their_numbers(chapter: Chapter):
    text = chapter.page.locator(chapter.front_end.text)
    assert text.locator(chapter.front_end.drawn).count() == len(chapter.written())
    assert text.locator(chapter.front_end.broken).count() == 0
    assert chapter.numbers() == chapter.tags() != []


def test_an_answer_unfolds_what_is_said_of_it(chapter: Chapter):
    folds = chapter.page.locator(f"{chapter.front_end.text} details").filter(has=chapter.page.locator("strong"))
    assert folds.count() > 11
    verdict = folds.first.locator("strong").first
    assert not verdict.is_visible()
    folds.first.locator("summary").click()
    assert verdict.is_visible()


@pytest.mark.parametrize("chapter", TO_RUN, indirect=True)
def test_what_is_to_be_run_links_to_pages_and_keeps_their_addresses(chapter: Chapter):
    written = [link for text in chapter.texts for link in re.findall(rf"\]\(({PAGES}book/[^)]*)\)", text)]
    selector = f'{chapter.front_end.text} a[href^="{PAGES}book/"]'
    shown = chapter.page.eval_on_selector_all(selector, "links => links.map(link => link.getAttribute('href'))")
    assert chapter.links() == []
    assert sorted(shown) == sorted(written) != []


@pytest.mark.parametrize("chapter", [TO_READ], indirect=True)
def test_every_link_within_what_is_to_be_read_has_its_place_there(chapter: Chapter):
    assert len(chapter.links()) > 10
    assert chapter.lost() == []


def test_a_heading_has_the_name_that_a_link_expects(chapter: Chapter):
    names = heading_names(chapter.texts)
    there = f"names => names.filter(name => !({chapter.front_end.place})(name))"
    assert len(names) > 10
    assert chapter.page.evaluate(there, names) == []


@pytest.mark.parametrize("chapter", [TO_READ], indirect=True)
@pytest.mark.parametrize("number", [0, -1], ids=["first", "last"])
def test_a_link_shows_where_it_leads(chapter: Chapter, number: int):
    name = chapter.links()[number]
    chapter.page.locator(chapter.front_end.link).nth(number).click()
    shown = f"""name => {{
      const {{ top, bottom }} = ({chapter.front_end.place})(name).getBoundingClientRect();
      return bottom > 60 && top < innerHeight - 60;
    }}"""
    chapter.page.wait_for_function(shown, arg=name)
