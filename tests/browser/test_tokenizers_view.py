"""Tokenizers side by side in the built book: loaded on a click, exact, and quiet whatever is typed."""

import pytest

from companion.data.fetched import NotFetchedError
from companion.data.published_tokenizers import published_tokenizer
from companion.data.tokenization import token_labels, train_byte_bpe
from companion.widgets import TokenizersView

pytestmark = pytest.mark.browser

PAGE, NAME, TITLE = "book/concepts/tokenization.html", "gpt2-tokenizer", "GPT-2"
TEXTS = {
    "prose": "  It's naïve,  isn't it?\n\tYes: 12345!",
    "code": "def f(x):\n    return {'a': x ** 2}  # <|endoftext|>",
    "script": "<script>window.hit=1</script><img src=x onerror=window.hit=1>",
    "emoji": "👩‍👩‍👧‍👦 🏳️‍🌈 猫 العربية \u202e\u0000\u200d",
    "nothing": "",
}


@pytest.fixture(scope="module")
def gpt2():
    try:
        return published_tokenizer(NAME)
    except NotFetchedError as error:
        pytest.skip(f"left out, because it cannot be had: {error}")


@pytest.fixture
def view(gpt2, visit, address):
    page, log = visit(f"{address}/{PAGE}")
    page.wait_for_selector(".tk textarea")
    return page, log


@pytest.fixture
def loaded(gpt2, stay, address):
    """The view with the vocabulary of GPT-2."""
    page, log = stay(f"{address}/{PAGE}")
    page.wait_for_selector(".tk textarea")
    if offer(page).count():
        load(page)
    return page, log


def offer(page):
    return page.locator(".tk").get_by_role("button", name=f"Load {TITLE}’s vocabulary")


def load(page) -> None:
    offer(page).click()
    page.wait_for_selector(f".tk section[aria-label='{TITLE}'] li")


def settle(page) -> None:
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def tokens(page) -> list[str]:
    settle(page)
    return page.locator(f".tk section[aria-label='{TITLE}'] li").all_inner_texts()


def numbers(page) -> list[str]:
    settle(page)
    return page.locator(".tk tbody tr", has=page.get_by_text(TITLE, exact=True)).locator("td").all_inner_texts()


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_tokens_counts_and_costs_are_those_of_the_tokenizer(loaded, gpt2, text):
    page, log = loaded
    page.locator(".tk textarea").fill(text)
    page.get_by_label("Price of a million tokens").fill("50")
    read = page.locator(".tk textarea").input_value()
    ids = gpt2.encode(read).ids
    assert tokens(page) == token_labels(gpt2, ids)
    size, count, each, cost = numbers(page)
    assert (size, count) == ("50,257", str(len(ids)))
    assert each == (f"{len(ids) / len(read):.2f}" if read else "–")
    assert float(cost) == pytest.approx(50e-6 * 1000 * len(ids), abs=0.0051)
    assert page.evaluate("window.hit") is None
    assert log.errors == []


def test_a_vocabulary_is_loaded_on_a_click_that_says_its_size_and_the_own_one_is_there_at_once(view, address):
    page, log = view
    assert page.locator(".tk section").first.locator("li").count() > 5
    assert "0.5 MB" in offer(page).inner_text()
    assert not [url for url in log.requests if "/tokenizers/" in url]
    load(page)
    assert len([url for url in log.requests if "/tokenizers/" in url]) == 1
    assert log.hosts() == {address.removeprefix("http://")}


def test_where_loading_fails_a_line_says_so_and_another_click_tries_again(view):
    page, _ = view
    page.context.route("**/tokenizers/*.json", lambda route: route.fulfill(status=503))
    offer(page).click()
    page.wait_for_function(
        "[...document.querySelectorAll('.tk .ca-error')].some(line => line.textContent.includes('503'))"
    )
    page.context.unroute("**/tokenizers/*.json")
    load(page)
    assert page.locator(".tk .ca-error").all_inner_texts().count("") == page.locator(".tk .ca-error").count()


def test_half_a_character_and_ten_thousand_are_cut_and_the_box_lives_on(view, gpt2):
    page, log = view
    load(page)
    page.locator(".tk textarea").fill("我爱" * 5000)
    assert len(tokens(page)) == 300
    assert numbers(page)[1] == f"{len(gpt2.encode('我爱' * 5000).ids):,}"
    half = "() => { const box = document.querySelector('.tk textarea'); box.value = 'a\\ud83d'; "
    page.evaluate(half + "box.dispatchEvent(new InputEvent('input')) }")
    assert tokens(page)[0] == "a"
    page.locator(".tk textarea").fill("cat")
    assert tokens(page) == ["cat"]
    assert log.errors == []


def test_examples_and_ids_are_reached_with_the_keyboard(view, gpt2):
    page, _ = view
    load(page)
    settle(page)  # whoever held the button that went has the box now
    page.locator(".tk textarea").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    settle(page)  # the box is filled with the next picture of the screen
    text = page.locator(".tk textarea").input_value()
    assert "猫" in text
    page.get_by_label("show ids").press("Space")
    settle(page)
    shown = page.locator(f".tk section[aria-label='{TITLE}'] li small").all_inner_texts()
    assert shown == list(map(str, gpt2.encode(text).ids))


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_is_accessible_at_any_width_before_and_after_loading(gpt2, visit, axe, address, width, dark):
    page, log = visit(f"{address}/{PAGE}", width=width, dark=dark)
    page.wait_for_selector(".tk textarea")
    assert axe(page, ".tk") == []
    load(page)
    page.get_by_label("show ids").check()
    settle(page)
    assert axe(page, ".tk") == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert log.errors == []


def test_a_page_of_its_own_cuts_from_disk(visit, axe, tmp_path):
    own = train_byte_bpe(["low lower lowest"] * 3, 265)
    path = tmp_path / "tokenizers.html"
    path.write_text(TokenizersView({"own": own}, "low").to_html(), encoding="utf-8")
    page, log = visit(path.as_uri(), width=360)
    page.locator(".tk textarea").fill("lowest of the low")
    settle(page)
    expected = token_labels(own, own.encode("lowest of the low").ids)
    assert page.locator(".tk section[aria-label='own'] li").all_inner_texts() == expected
    assert axe(page, "body") == []
    assert log.errors == []
