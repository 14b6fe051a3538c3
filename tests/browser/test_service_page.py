"""The page of a service asks it and shows what it says; a page of another origin reads nothing unless it is allowed."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Page, expect

from companion.serving.__main__ import page
from companion.serving.requests import Limits
from companion.serving.service import Service

pytestmark = pytest.mark.browser
ASK = """async (address) => {
  const headers = { "Content-Type": "application/json" };
  const reply = await fetch(address + "/predict", { method: "POST", headers, body: '{"texts": ["a"]}' });
  return (await reply.json()).answers[0].label;
}"""


def loudly(texts: list[str]) -> list[dict[str, object]]:
    return [{"label": text.upper(), "probability": 0.75} for text in texts]


@pytest.fixture
def opened(browser: Browser) -> Callable[[str], Page]:
    return lambda address: browser.new_page(viewport={"width": 360, "height": 640}).goto(address).frame.page


def ask(tab: Page, text: str) -> None:
    tab.get_by_label("Text").fill(text)
    tab.get_by_role("button", name="Ask").click()


def test_the_page_shows_the_answer(opened: Callable[[str], Page]):
    with Service(loudly, about={}, page=page()) as service:
        tab = opened(service.address)
        ask(tab, "anna")
        expect(tab.get_by_role("status")).to_have_text("ANNA, probability 0.750")
        tab.close()


def test_the_page_shows_why_a_text_is_refused(opened: Callable[[str], Page]):
    with Service(loudly, about={}, page=page(), limits=Limits(characters=10)) as service:
        tab = opened(service.address)
        ask(tab, "a text that is too long")
        expect(tab.get_by_role("status")).to_have_text("text 0 must have at most 10 characters; got 23")
        tab.close()


def test_what_looks_like_a_program_is_shown_as_text(opened: Callable[[str], Page]):
    with Service(loudly, about={}, page=page()) as service:
        tab = opened(service.address)
        ask(tab, "<img src=x onerror=document.title='taken'>")
        expect(tab.get_by_role("status")).to_contain_text("<IMG SRC=X")
        assert tab.title() == "Ask the model"
        tab.close()


def test_the_page_fits_a_phone(opened: Callable[[str], Page]):
    with Service(loudly, about={}, page=page()) as service:
        tab = opened(service.address)
        assert tab.evaluate("document.documentElement.scrollWidth") <= 360
        tab.close()


def test_a_page_of_another_origin_reads_an_answer_only_where_it_is_allowed(opened: Callable[[str], Page]):
    with (
        Service(loudly, about={}, page="<title>hers</title>") as hers,
        Service(loudly, about={}, origins=[hers.address]) as allows,
        Service(loudly, about={}) as forbids,
    ):
        tab = opened(hers.address)
        assert tab.evaluate(ASK, allows.address) == "A"
        with pytest.raises(Exception, match="Failed to fetch"):
            tab.evaluate(ASK, forbids.address)
        tab.close()
