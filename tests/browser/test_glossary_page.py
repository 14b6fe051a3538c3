"""The box of the glossary in a real browser: it finds terms in both languages, by keyboard too, and is no condition."""

import re
from pathlib import Path

import glossary_terms
import pytest

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def terms(root: Path):
    return glossary_terms.load(root / "book" / "appendix" / "terms.yml")


@pytest.fixture
def glossary(stay, address):
    page, log = stay(f"{address}/book/appendix/glossary.html")
    page.wait_for_selector(".glossary-filter")
    page.get_by_label("Find a term").fill("")
    return page, log


def visible(page) -> list[str]:
    """The anchors of the terms that are shown."""
    return page.locator("dl.glossary > dt[id]:visible").evaluate_all("found => found.map(one => one.id)")


def count(page) -> str:
    return page.inner_text(".glossary-filter [role=status]")


def test_everything_stands_there_at_first_and_the_box_is_labelled(visit, address, terms):
    page, log = visit(f"{address}/book/appendix/glossary.html")
    page.wait_for_selector(".glossary-filter")
    assert sorted(visible(page)) == sorted(term.anchor for term in terms)
    assert count(page) == f"{len(terms)} of {len(terms)} terms"
    assert page.get_by_label("Find a term").get_attribute("type") == "search"
    assert page.get_attribute(".glossary-filter [role=status]", "aria-live") == "polite"
    assert log.errors == []


@pytest.mark.parametrize("typed", ["self attention", "自注意", "zizhuyi", "SELF-Att"])
def test_a_name_in_english_chinese_or_pinyin_shortens_both_lists(glossary, terms, typed: str):
    page, _ = glossary
    page.get_by_label("Find a term").fill(typed)
    assert visible(page) == ["term-self-attention"]
    assert count(page) == f"1 of {len(terms)} terms"
    assert page.locator(".glossary-pinyin li:visible").count() == 1
    assert page.locator("section[id^=glossary-]:visible").count() == 1


def test_an_abbreviation_is_found_and_what_is_no_name_is_not(glossary, terms):
    page, _ = glossary
    page.get_by_label("Find a term").fill("MLM")
    assert visible(page) == ["term-masked-language-model"]
    page.get_by_label("Find a term").fill("<b>")
    assert visible(page) == []
    assert count(page) == f"0 of {len(terms)} terms"


def test_the_keyboard_is_enough(glossary, terms):
    page, _ = glossary
    box = page.get_by_label("Find a term")
    box.focus()
    page.keyboard.type("beam search")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "term-beam-search"
    box.focus()
    page.keyboard.press("Escape")
    assert len(visible(page)) == len(terms)
    assert box.input_value() == ""


def test_a_link_to_a_hidden_term_shows_it_again(glossary):
    page, _ = glossary
    page.get_by_label("Find a term").fill("perplexity")
    page.evaluate("location.hash = '#term-token'")
    page.wait_for_function("document.getElementById('term-token').checkVisibility()")
    assert page.get_by_label("Find a term").input_value() == ""


def test_without_a_script_the_whole_list_stands_there(browser, address, terms):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}/book/appendix/glossary.html")
    assert page.locator("dl.glossary > dt[id]:visible").count() == len(terms)
    assert page.locator(".glossary-filter:visible").count() == 0
    context.close()


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_page_is_accessible_and_no_wider_than_its_screen(visit, axe, address, width: int, dark: bool):
    page, _ = visit(f"{address}/book/appendix/glossary.html", width=width, dark=dark)
    page.wait_for_selector(".glossary-filter")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert re.search(r"\d", count(page))
    assert axe(page, "article") == []
