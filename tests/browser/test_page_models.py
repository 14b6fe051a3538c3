"""A published model in the page: loaded on a click, kept by the browser, and as exact as it is said to be.

Without the model in the cache the book has no such widget; these tests are then left out, with the reason.
"""

import base64

import numpy as np
import pytest
import torch

from companion import zoo
from companion.data.fetched import NotFetchedError
from companion.data.tokenization import token_labels
from companion.models.bert import segments_of
from companion.nn.capture import capture
from companion.widgets.live import without_padding

pytestmark = pytest.mark.browser

NAME = "minilm-l6"
VIEW = f"figure[data-model='{NAME}']"
TEXTS = [
    "Paris is the capital of France.",
    "The animal did not cross the street because it was too tired.",
    "Une naïve façade à côté du café où l'été s'achève: 语言 [SEP] <img src=x onerror=alert(1)>",
    "We saw the film twice, and both times the ending, which nobody had expected, made the whole room laugh. " * 5,
]
MOST, MEAN = 0.02, 5e-4  # of the difference between a weight of attention in the page and in torch


@pytest.fixture(scope="module")
def minilm():
    try:
        model, tokenizer = zoo.load(NAME)
    except NotFetchedError as error:
        pytest.skip(f"left out, because it cannot be had: {error}")
    return model, without_padding(tokenizer)


@pytest.fixture
def home(minilm, visit, address):
    page, log = visit(f"{address}/book/index.html")
    page.wait_for_selector(f"{VIEW} .ca-offer")
    return page, log


def weights_asked_for(log) -> list[str]:
    return [url for url in log.requests if f"zoo/{NAME}" in url]


def click(page, name: str) -> None:
    page.locator(VIEW).get_by_role("button", name=name).first.click()


def wait_until_loaded(page) -> None:
    shown = f"document.querySelector(\"{VIEW} .ca-status\").textContent.includes('this page')"
    page.wait_for_function(shown, timeout=120_000)  # on a busy machine


def test_nothing_is_loaded_before_the_click_and_a_text_typed_before_is_said_to_be_not_shown(home):
    page, log = home
    button = page.locator(VIEW).get_by_role("button", name="Load MiniLM")
    assert button.inner_text() == "Load MiniLM, 26 MB"
    tokens = page.locator(f"{VIEW} .ca-token").all_inner_texts()
    page.locator(f"{VIEW} textarea").fill("Another text.")
    page.wait_for_selector(f"{VIEW} .ca-old")
    assert "the picture is of" in page.inner_text(f"{VIEW} .ca-stale")
    assert page.locator(f"{VIEW} .ca-token").all_inner_texts() == tokens
    assert weights_asked_for(log) == []


def test_a_click_loads_the_model_with_progress_and_then_each_key_is_answered(home, minilm, address):
    page, log = home
    _, tokenizer = minilm
    page.evaluate(
        """selector => { window.seen = [];
        const note = () => window.seen.push(document.querySelector(selector + ' .ca-status').textContent);
        new MutationObserver(note).observe(document.querySelector(selector), { childList: true, subtree: true }) }""",
        VIEW,
    )
    page.locator(f"{VIEW} textarea").fill(TEXTS[0])
    click(page, "Load MiniLM")
    wait_until_loaded(page)
    assert any("loading MiniLM" in line and " MB" in line for line in page.evaluate("window.seen"))
    assert page.locator(f"{VIEW} .ca-offer").is_hidden()
    for text in TEXTS[:2]:
        page.locator(f"{VIEW} textarea").fill(text)
        expected = token_labels(tokenizer, tokenizer.encode(text).ids)
        shown = f"[...document.querySelectorAll(\"{VIEW} .ca-token\")].map(token => token.textContent).join('|')"
        page.wait_for_function(f"expected => {shown} === expected", arg="|".join(expected))
    page.wait_for_function(f'!document.querySelector("{VIEW} .ca-old")')
    assert log.hosts() == {address.removeprefix("http://")}
    assert log.errors == []


def test_the_attention_of_the_page_is_that_of_torch_within_the_stated_bound(home, minilm):
    page, _ = home
    model, tokenizer = minilm
    differences = []
    for text in TEXTS:
        answer = page.evaluate(
            f"""async text => {{ const r = await companionLive.run('{NAME}', text);
            const attention = new Uint8Array(r.attention.buffer, r.attention.byteOffset, r.attention.byteLength);
            return {{ ids: r.ids, tokens: r.tokens, shape: r.shape, attention: attention.toBase64() }} }}""",
            text,
        )
        attention = np.frombuffer(base64.b64decode(answer["attention"]), np.float32)
        ids = torch.tensor([tokenizer.encode(text).ids])
        assert answer["ids"] == ids[0].tolist()
        assert "[PAD]" not in answer["tokens"]
        with torch.no_grad(), capture(model) as record:
            model(ids, segments_of(ids, tokenizer.token_to_id("[SEP]")))
        expected = torch.cat(record.attention).numpy()
        assert answer["shape"] == list(expected.shape)
        differences.append(np.abs(attention.reshape(expected.shape) - expected).ravel())
    assert np.concatenate(differences).max() <= MOST
    assert np.concatenate(differences).mean() <= MEAN


def test_with_the_headers_of_our_server_the_page_computes_in_threads_the_same(minilm, visit, address, isolated):
    asked = f"""async () => {{ const {{ attention, device }} = await companionLive.run('{NAME}', {TEXTS[0]!r});
        return {{ attention: [...attention], device, isolated: crossOriginIsolated,
            threads: Math.min(4, navigator.hardwareConcurrency) }} }}"""
    alone, together = (visit(f"{host}/book/index.html")[0].evaluate(asked) for host in (address, isolated))
    assert (alone["isolated"], alone["device"]) == (False, "this page · WASM")
    assert (together["isolated"], together["device"].split(", ")[1]) == (True, f"{together['threads']} threads")
    assert np.abs(np.subtract(alone["attention"], together["attention"])).max() < 1e-6


def test_loading_can_be_called_off_and_begun_again(home):
    page, log = home
    page.context.route("**/*.onnx", lambda route: None)  # no answer comes
    before = page.locator(f"{VIEW} .ca-token").all_inner_texts()
    click(page, "Load MiniLM")
    page.wait_for_selector(f"{VIEW} progress", state="visible")
    click(page, "Cancel")
    page.wait_for_selector(f"{VIEW} progress", state="hidden")
    assert page.inner_text(f"{VIEW} .ca-error") == ""
    assert "precomputed" in page.inner_text(f"{VIEW} .ca-status")
    assert page.locator(f"{VIEW} .ca-token").all_inner_texts() == before
    page.context.unroute("**/*.onnx")
    click(page, "Load MiniLM")
    wait_until_loaded(page)
    assert [error for error in log.errors if "failed:" not in error] == []


def test_where_loading_fails_a_line_says_so_and_another_click_tries_again(home):
    page, _ = home
    page.context.route("**/*.onnx", lambda route: route.abort())
    click(page, "Load MiniLM")
    page.wait_for_function(f"document.querySelector(\"{VIEW} .ca-error\").textContent.includes('could not be loaded')")
    assert f"zoo/{NAME}/" in page.inner_text(f"{VIEW} .ca-error")
    page.context.unroute("**/*.onnx")
    click(page, "Load MiniLM")
    wait_until_loaded(page)
    assert page.inner_text(f"{VIEW} .ca-error") == ""


def test_a_second_visit_answers_at_the_first_key_and_asks_for_no_file_of_the_model(home, address):
    page, _ = home
    click(page, "Load MiniLM")
    wait_until_loaded(page)
    again = page.context.new_page()
    asked: list[str] = []
    again.on("request", lambda request: asked.append(request.url))
    again.goto(f"{address}/book/index.html")
    again.wait_for_selector(f"{VIEW} textarea")
    assert again.locator(f"{VIEW} .ca-offer").is_hidden()
    again.locator(f"{VIEW} textarea").fill(TEXTS[0])
    wait_until_loaded(again)
    assert [url for url in asked if f"zoo/{NAME}" in url or url.split("?")[0].endswith(".wasm")] == []


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_offer_is_accessible_in_every_state_and_reached_by_keyboard(minilm, visit, axe, address, width, dark):
    page, _ = visit(f"{address}/book/index.html", width=width, dark=dark)
    page.wait_for_selector(f"{VIEW} .ca-offer")
    assert axe(page, f"{VIEW} .ca") == []
    page.context.route("**/*.onnx", lambda route: None)
    page.locator(f"{VIEW} textarea").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector(f"{VIEW} progress", state="visible")
    assert page.evaluate("document.activeElement.textContent") == "Cancel"
    assert axe(page, f"{VIEW} .ca") == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.keyboard.press("Enter")
    page.wait_for_selector(f"{VIEW} progress", state="hidden")
    assert page.evaluate("document.activeElement.textContent") == "Load MiniLM, 26 MB"
