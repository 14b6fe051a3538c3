"""A page on a slow line: it is painted, in the reader's theme, while its scripts are still on the way."""

import pytest
from playwright.sync_api import Page, Route

pytestmark = pytest.mark.browser

PAGE = "book/concepts/attention.html"
LINE = {"offline": False, "latency": 40, "downloadThroughput": 10_000_000 / 8, "uploadThroughput": 10_000_000 / 8}
PAINTED = "performance.getEntriesByName('first-contentful-paint').length > 0"
PAPER = {False: "rgb(253, 253, 251)", True: "rgb(20, 24, 29)"}


class Gate:
    """Keeps the scripts of a page back until it is opened."""

    def __init__(self) -> None:
        self.waiting: list[Route] = []
        self.is_open = False

    def meet(self, route: Route) -> None:
        if self.is_open:
            route.continue_()
        else:
            self.waiting.append(route)

    def open(self) -> None:
        self.is_open = True
        for route in self.waiting:
            route.continue_()


@pytest.fixture(params=[False, True], ids=["light", "dark"])
def held(request, visit, address):
    """A page on a line of 10 Mbit/s whose scripts are kept back, their gate, and the colour of its paper."""
    page, log = visit("about:blank", dark=request.param)
    gate = Gate()
    page.route("**/*.js*", lambda route: gate.meet(route))
    page.context.new_cdp_session(page).send("Network.emulateNetworkConditions", LINE)
    page.goto(f"{address}/{PAGE}", wait_until="commit")
    page.wait_for_function(PAINTED)
    yield page, gate, PAPER[request.param]
    assert log.errors == []


def code_height(page: Page) -> float:
    """Height of the first long cell."""
    return page.locator(".long-code pre").first.bounding_box()["height"]


def test_a_page_is_painted_in_its_theme_before_any_script_and_is_whole_afterwards(held):
    page, gate, paper = held
    page.locator(".long-code pre").first.wait_for()
    before = code_height(page)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == paper
    assert len(gate.waiting) > 3
    gate.open()
    page.wait_for_selector(".ca-token")
    page.locator("button.long-code-switch").first.wait_for()
    assert code_height(page) == before
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == paper


def test_the_fonts_of_text_and_headings_come_with_the_first_requests(held):
    page, gate, _ = held
    page.wait_for_function("document.fonts.check('16px \"Source Serif 4\"')")
    assert page.evaluate("document.fonts.check('16px \"Source Sans 3\"')")
    gate.open()
