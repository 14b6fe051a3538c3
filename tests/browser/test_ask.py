"""A published model that a button asks: loaded on a click, in several files, kept, and as exact as torch.

Without the model in the cache the book has no such widget; these tests are then left out, with the reason.
"""

import base64
import json

import numpy as np
import pytest
import torch

from companion import zoo
from companion.data.fetched import NotFetchedError
from companion.data.tokenization import token_labels
from companion.nn.capture import capture

pytestmark = pytest.mark.browser

NAME = "smollm2-135m"
GALLERY = "book/appendix/gallery.html"
VIEW = f"figure[data-widget='attention_view'][data-model='{NAME}']"
TEXTS = [
    "When Tom and Anna met at the station, Tom handed the ticket to",
    "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n",
    "Une naïve façade à côté du café: 语言 ½ <img src=x onerror=alert(1)>",
    "We saw the film twice, and both times the ending, which nobody had expected, made the whole room laugh. " * 2,
]
MOST = 1e-4  # of the difference between a weight of attention, or a probability, in the page and in torch


@pytest.fixture(scope="module")
def smollm2():
    try:
        return zoo.load(NAME)
    except NotFetchedError as error:
        pytest.skip(f"left out, because it cannot be had: {error}")


def click(page, name: str) -> None:
    page.locator(VIEW).get_by_role("button", name=name, exact=name == "Ask").first.click()


def wait_until(page, what: str) -> None:
    view = f'const view = document.querySelector("{VIEW}"), text = (part) => view.querySelector(part).textContent;'
    page.wait_for_function(f"() => {{ {view} return {what} }}", timeout=120_000)  # on a busy machine


def wait_until_answered(page) -> None:
    """Until the picture is the model's, and of the text in the box; a picture that is not is dimmed a little later."""
    read = "[...view.querySelectorAll('.ca-token')].map(token => token.textContent).join('').replaceAll('␣', ' ')"
    answered = f"text('.ca-status').includes('this page') && {read} === view.querySelector('textarea').value"
    wait_until(page, f"{answered} && !view.querySelector('.ca-old')")


def tokens(page) -> list[str]:
    return page.locator(f"{VIEW} .ca-token").all_inner_texts()


@pytest.fixture(scope="module")
def loaded(smollm2, browser, address):
    """A page whose model was loaded by a click, and what it asked for; loading takes seconds, so tests share it."""
    context = browser.new_context(viewport={"width": 1100, "height": 900}, reduced_motion="reduce")
    page, asked, problems = context.new_page(), [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(f"{address}/{GALLERY}")
    page.wait_for_selector(f"{VIEW} .ca-offer")
    click(page, "Load SmolLM2")
    page.wait_for_selector(f"{VIEW} progress", state="visible")
    wait_until_answered(page)
    yield page, asked
    assert problems == []
    context.close()


def test_before_the_click_the_view_says_its_size_and_has_no_button_to_ask(smollm2, visit, address):
    page, log = visit(f"{address}/{GALLERY}")
    page.wait_for_selector(f"{VIEW} .ca-offer")
    assert page.locator(VIEW).get_by_role("button", name="Load").inner_text() == "Load SmolLM2, 97 MB"
    assert page.locator(VIEW).get_by_role("button", name="Ask", exact=True).is_hidden()
    assert [url for url in log.requests if f"zoo/{NAME}" in url] == []


def test_the_model_comes_in_files_that_any_host_of_pages_takes(loaded, book, address):
    _, asked = loaded
    found = {url.rpartition("/")[2] for url in asked if f"zoo/{NAME}" in url and url.endswith(".onnx")}
    sizes = [(book / "_static" / "companion" / "zoo" / NAME / name).stat().st_size for name in found]
    assert len(sizes) > 1
    assert max(sizes) < 50_000_000
    assert all(url.startswith((address, "blob:")) for url in asked)


def test_a_key_asks_nobody_and_the_picture_is_dimmed_until_the_button_or_enter_does(loaded, smollm2):
    page, _ = loaded
    _, tokenizer = smollm2
    box = page.locator(f"{VIEW} textarea")
    for text, ask in ((TEXTS[0], lambda: click(page, "Ask")), ("The capital of France is", lambda: box.press("Enter"))):
        before = tokens(page)
        box.fill(text)
        page.wait_for_selector(f"{VIEW} .ca-old")
        assert "the picture is of" in page.inner_text(f"{VIEW} .ca-stale")
        assert tokens(page) == before
        ask()
        wait_until_answered(page)
        assert tokens(page) == token_labels(tokenizer, tokenizer.encode(text).ids)
        assert box.input_value() == text
    assert page.locator(f"{VIEW} .ca-next .ca-name").first.inner_text() == "␣Paris"


def test_a_likely_token_is_appended_and_asked_about_at_once(loaded):
    page, _ = loaded
    page.locator(f"{VIEW} textarea").fill("The opposite of hot is")
    click(page, "Ask")
    wait_until_answered(page)
    page.locator(f"{VIEW} .ca-next button").first.click()
    wait_until(page, "text('.ca-token:last-child') === '␣cold'")
    wait_until_answered(page)


def test_the_answers_of_the_page_are_those_of_torch(loaded, smollm2):
    page, _ = loaded
    model, tokenizer = smollm2
    for text in TEXTS:
        answer = page.evaluate(
            f"""async text => {{ const r = await companionLive.run('{NAME}', text);
            const packed = numbers => new Uint8Array(numbers.buffer).toBase64();
            return {{ ...r, attention: packed(r.attention), logits: packed(r.logits), allLogits: null }} }}""",
            text,
        )
        attention, logits = (np.frombuffer(base64.b64decode(answer[k]), np.float32) for k in ("attention", "logits"))
        ids = torch.tensor([tokenizer.encode(text).ids])
        assert answer["ids"] == ids[0].tolist()
        with torch.no_grad(), capture(model) as record:
            expected = model(ids)[0, -1]
        maps = torch.cat(record.attention).numpy()
        assert answer["shape"] == list(maps.shape)
        assert np.abs(attention.reshape(maps.shape) - maps).max() <= MOST
        assert (torch.tensor(logits).softmax(0) - expected.softmax(0)).abs().max() <= MOST
        assert answer["next_tokens"][0]["token"] == token_labels(tokenizer, [int(expected.argmax())])[0]


def test_a_text_that_is_too_long_is_refused_and_a_chosen_one_has_its_picture_at_once(loaded):
    page, _ = loaded
    page.locator(f"{VIEW} textarea").fill("word " * 200)
    click(page, "Ask")
    wait_until(page, "text('.ca-error').includes('in this page the model reads at most 128')")
    page.locator(f"{VIEW} .ca-choice select").select_option("2")
    wait_until(page, "text('.ca-status').includes('precomputed') && !view.querySelector('.ca-old')")
    assert page.inner_text(f"{VIEW} .ca-error") == ""


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_button_is_accessible_and_reached_by_keyboard(loaded, axe, width, scheme):
    page, _ = loaded
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    page.locator(f"{VIEW} textarea").fill(f"{TEXTS[0]} {width} {scheme}")
    page.locator(f"{VIEW} textarea").focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Ask"
    page.keyboard.press("Enter")
    wait_until(page, "text('.ca-hidden[aria-live]') === 'The model reads your text.'")
    assert axe(page, f"{VIEW} .ca-ask") == []
    wait_until(page, "text('.ca-hidden[aria-live]') === 'The model has answered.'")
    wait_until_answered(page)
    assert page.evaluate("document.activeElement.textContent") == "Ask"
    assert axe(page, f"{VIEW} .ca") == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_a_second_visit_has_the_button_at_once_and_asks_for_no_file_of_the_model(loaded, address):
    page, _ = loaded
    again = page.context.new_page()
    asked: list[str] = []
    again.on("request", lambda request: asked.append(request.url))
    again.goto(f"{address}/{GALLERY}")
    again.wait_for_selector(f"{VIEW} textarea")
    again.locator(f"{VIEW} textarea").fill(TEXTS[0])
    click(again, "Ask")
    wait_until_answered(again)
    assert [url for url in asked if f"zoo/{NAME}" in url or url.split("?")[0].endswith(".wasm")] == []
    again.close()


def test_loading_can_be_called_off_a_failure_is_told_and_another_click_tries_again(smollm2, visit, address):
    page, _ = visit(f"{address}/{GALLERY}")
    page.wait_for_selector(f"{VIEW} .ca-offer")
    limits = f"fetch('{address}/_static/companion/zoo/{NAME}/limits.json').then(answer => answer.text())"
    _, second, third = (f"**/{file}" for file in json.loads(page.evaluate(limits))["files"])
    page.context.route(second, lambda route: None)  # no answer comes
    click(page, "Load SmolLM2")
    wait_until(page, "view.querySelector('progress').value > 0.2")  # of the first file
    click(page, "Cancel")
    page.wait_for_selector(f"{VIEW} progress", state="hidden")
    assert page.inner_text(f"{VIEW} .ca-error") == ""
    page.context.unroute(second)
    page.context.route(third, lambda route: route.abort())
    click(page, "Load SmolLM2")
    wait_until(page, "text('.ca-error').includes('could not be loaded')")
    assert third.removeprefix("**/") in page.inner_text(f"{VIEW} .ca-error")
    page.context.unroute(third)
    click(page, "Load SmolLM2")
    wait_until_answered(page)
    assert page.inner_text(f"{VIEW} .ca-error") == ""
