"""Through the layers, in a page of its own: cells, writers and keys."""

import pytest

from companion import zoo
from companion.widgets import ThroughTheLayers

pytestmark = pytest.mark.browser

TEXT = "Tom is in the garden. Anna is in the park. Where is Tom"
HOSTILE = "<img src=x onerror=window.hit=1>"


@pytest.fixture(scope="module")
def view():
    return ThroughTheLayers(*zoo.load("storyworld-en"), TEXT)


@pytest.fixture(scope="module")
def url(view, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "layers.html"
    path.write_text(view.to_html(), encoding="utf-8")
    return path.as_uri()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1100, 360])
def test_both_shades_are_accessible_at_any_width_in_light_and_dark(visit, axe, url, dark, width):
    page, log = visit(url, width=width, dark=dark)
    for shade in ("Probability", "Length of the stream"):
        page.get_by_text(shade, exact=True).click()
        assert axe(page, "body") == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert log.errors == []
    assert [request for request in log.requests if not request.startswith(("file:", "blob:", "data:"))] == []


def test_each_cell_shows_its_likeliest_token(visit, url, view):
    page, _ = visit(url)
    shown = page.locator(".ca-levels td").all_inner_texts()
    assert shown == [view.labels[one["said"][0][0]] for places in view.levels for one in places]


def test_a_click_shows_five_tokens_and_who_wrote_the_first(visit, url, view):
    page, _ = visit(url)
    page.locator("td[data-level='2'][data-place='5']").click()
    one = view.levels[2][5]
    lists = page.locator(".ca-bars")
    assert lists.first.locator(".ca-name").all_inner_texts() == [view.labels[label] for label, _ in one["said"]]
    wrote = [float(text) for text in lists.last.locator(".ca-number").all_inner_texts()]
    all_parts = [part[-1] for part in (*one["heads"], *one["networks"])] + [one["start"]]
    assert wrote == pytest.approx(sorted((x for x in all_parts if x > 0), reverse=True), abs=0.006)
    assert "After 2 of 4 blocks" in page.inner_text(".ca-say")


def test_cells_are_reached_and_moved_by_keyboard(visit, url):
    page, _ = visit(url)
    page.locator(".ca-levels td[tabindex='0']").focus()
    page.keyboard.press("PageUp")
    assert "Before the first block" in page.inner_text(".ca-say")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Home")
    assert page.evaluate("document.activeElement.dataset.level + ' ' + document.activeElement.dataset.place") == "1 0"
    assert page.locator(".ca-levels td[tabindex='0']").count() == 1


def test_a_tap_chooses_a_cell(visit, url, tap):
    page, _ = visit(url, width=360, touch=True)
    cell = page.locator("td[data-level='3'][data-place='11']")
    tap(cell.tap, lambda: cell.get_attribute("aria-selected") == "true")


def test_markup_in_a_token_stays_text(visit, view, tmp_path):
    path = tmp_path / "odd.html"
    odd = ThroughTheLayers(*zoo.load("storyworld-en"), TEXT, caption=HOSTILE)
    odd.labels = [HOSTILE, *view.labels[1:]]
    odd.tokens = [HOSTILE, *view.tokens[1:]]
    path.write_text(odd.to_html(), encoding="utf-8")
    page, log = visit(path.as_uri(), width=360)
    assert page.locator(".ca-levels thead bdi").first.inner_text() == HOSTILE
    assert page.locator("img").count() == 0
    assert page.evaluate("window.hit") is None
    assert log.errors == []
