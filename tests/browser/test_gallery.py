"""The gallery of a published model: its pictures come with the book, one file for each text, and no model is loaded.

Without the model in the cache the book has no gallery; these tests are then left out, with the reason.
"""

import pytest

from companion.data import fetched

pytestmark = pytest.mark.browser

NAME = "smollm2-135m"
FEWEST = 30


@pytest.fixture
def gallery(visit, address):
    if not fetched.is_complete(NAME):
        pytest.skip(f"left out, because {NAME} is not in the cache")
    page, log = visit(f"{address}/book/appendix/gallery.html", width=360, touch=True)
    page.wait_for_selector(".ca-token")
    return page, log


def pictures_asked_for(log) -> list[str]:
    return [url for url in log.requests if "/pictures/" in url]


def test_john_gives_the_drink_to_mary(gallery):
    page, log = gallery
    first = page.locator(".ca-next li").first
    assert first.locator(".ca-name").inner_text() == "␣Mary"
    assert float(first.locator(".ca-number").inner_text().removesuffix(" %")) > 90
    assert page.get_by_role("button", name="Load SmolLM2").first.is_visible()  # test_ask.py has the rest
    assert pictures_asked_for(log) == []


def test_each_text_has_a_file_that_is_loaded_when_it_is_chosen(gallery, address):
    page, log = gallery
    texts = page.locator(".ca-choice option").all_inner_texts()
    assert len(texts) >= FEWEST
    for number in (1, len(texts) - 1):
        before = page.inner_text(".ca-look")
        page.locator(".ca-choice select").first.select_option(str(number))
        changed = "before => !['', before].includes(document.querySelector('.ca-look').textContent)"
        page.wait_for_function(changed, arg=before)
    assert "喜" in page.inner_text(".ca-look")
    assert len(pictures_asked_for(log)) == 2
    assert not [url for url in log.requests if url.split("?")[0].endswith((".onnx", ".wasm"))]
    assert log.hosts() == {address.removeprefix("http://")}
    assert log.errors == []


def test_a_text_is_chosen_with_the_keyboard_and_every_state_is_accessible(gallery, axe):
    page, _ = gallery
    assert axe(page, ".ca") == []
    first = page.inner_text(".ca-strip")
    page.locator(".ca-choice select").first.focus()
    page.keyboard.press("ArrowDown")
    page.wait_for_function("first => document.querySelector('.ca-strip').innerText !== first", arg=first)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_four_heads_lie_over_each_other_with_a_mark_for_each(visit, axe, address):
    page, log = visit(f"{address}/book/appendix/gallery.html", width=360)
    view = page.locator(".ca", has=page.locator(".ca-pins button"))
    view.wait_for()
    assert view.locator(".ca-pins button").all_inner_texts() == [
        "● layer 1, head 3 ×",
        "■ layer 2, head 2 ×",
        "▲ layer 3, head 3 ×",
        "◆ layer 3, head 2 ×",
    ]
    looked = view.locator(".ca-bars:not(.ca-next) li").all_inner_texts()
    first = {words.split()[0]: words.split()[1] for words in reversed(looked)}
    assert first == {"●": "ball", "■": "ball", "▲": "ball", "◆": "Tom"}
    assert axe(page, ".ca-over") == []
    assert log.errors == []
