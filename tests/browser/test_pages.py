"""The built book in a real browser: every page quiet, and the model alive in the page."""

import re

import numpy as np
import pytest
import torch

from companion import zoo
from companion.data.tokenization import token_labels
from companion.models.bert import segments_of
from companion.nn.capture import capture

pytestmark = pytest.mark.browser

TEXTS = {
    "story": "Tom is in the garden. Anna goes to the park. Where is Anna?",
    "unknown words": "The quick brown fox is in the castle. Tom sees it.",
    "letters": "Zoë's naïve café: e\u0301té, Ωmega, 语言½.",
    "marks": "Who has the key?? Anna, Tom; 12.5 (no)!",
    "spaces": "  two spaces\n\ta tab, and a break\r\nand <|endoftext|> and <img src=x onerror=alert(1)>",
}


@pytest.fixture(scope="module")
def story():
    return zoo.load("storyworld-en")


@pytest.fixture
def home(visit, address):
    page, log = visit(f"{address}/book/index.html")
    page.wait_for_selector(".ca textarea")
    leave_the_story_model(page)
    return page, log


@pytest.fixture
def answering(stay, address):
    """A page whose models are asked by a script; what it shows does not matter."""
    page, _ = stay(f"{address}/book/index.html")
    page.wait_for_selector(".ca textarea")
    leave_the_story_model(page)
    return page


def leave_the_story_model(page) -> None:
    """Take the other views away; test_page_models.py has theirs."""
    page.evaluate(
        "document.querySelectorAll('figure:not([data-model=storyworld-en]) > .ca').forEach(view => view.remove())"
    )


def type_text(page, text: str) -> None:
    """Type into a page that shows its precomputed picture, and wait for the first answer to all of it."""
    page.locator(".ca textarea").first.fill(text)
    page.wait_for_function(
        "text => document.querySelector('.ca-status').textContent.includes('this page') "
        "&& !document.querySelector('.ca-status').classList.contains('ca-busy') "
        "&& document.querySelector('.ca textarea').value === text",
        arg=text,
        timeout=60_000,
    )


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_first_screen_holds_an_accessible_view_and_loads_no_model(visit, axe, address, width, dark):
    page, log = visit(f"{address}/book/index.html", width=width, dark=dark)
    page.wait_for_selector(".ca-token")
    assert page.get_attribute(".ca", "data-theme") == ("dark" if dark else "light")
    assert "precomputed" in page.inner_text(".ca-status")
    assert not [url for url in log.requests if url.split("?")[0].endswith((".onnx", ".wasm"))]
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert axe(page, ".ca") == []


def test_typing_runs_the_model_in_the_page(home, story, address):
    page, log = home
    model, tokenizer = story
    type_text(page, "Tom is in the")
    ids = tokenizer.encode("Tom is in the").ids
    assert page.locator(".ca-token").all_inner_texts() == token_labels(tokenizer, ids)
    with torch.no_grad():
        best = int(model(torch.tensor([ids]))[0, -1].argmax())
    assert page.locator(".ca-next .ca-name").first.inner_text() == token_labels(tokenizer, [best])[0]
    assert " ms" in page.inner_text(".ca-status")
    assert log.hosts() == {address.removeprefix("http://")}
    assert log.errors == []


def test_leaving_the_page_frees_its_model_and_coming_back_loads_it_again(home):
    page, log = home
    type_text(page, TEXTS["story"])
    page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))")
    assert page.evaluate("[companionLive.worker, companionLive.ready.size]") == [None, 0]
    page.locator(".ca textarea").first.fill("Tom is in the")
    page.wait_for_function("companionLive.ready.size === 1", timeout=60_000)
    page.wait_for_function("document.querySelectorAll('.ca-token').length === 5", timeout=60_000)  # and a mark in front
    assert log.errors == []


def test_a_likely_token_can_be_appended_by_mouse_and_by_keyboard(home, story):
    page, _ = home
    _, tokenizer = story
    type_text(page, "Tom is")
    before = page.locator(".ca-token").count()
    page.locator(".ca-next button").first.click()
    page.wait_for_function("n => document.querySelectorAll('.ca-token').length > n", arg=before)
    page.locator(".ca-next button").first.press("Enter")
    page.wait_for_function("n => document.querySelectorAll('.ca-token').length > n + 1", arg=before)
    text = page.locator(".ca textarea").first.input_value()
    assert page.locator(".ca-token").all_inner_texts() == token_labels(tokenizer, tokenizer.encode(text).ids)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_the_page_computes_what_torch_computes(answering, story, text):
    model, tokenizer = story
    answer = answering.evaluate(
        """async text => { const r = await companionLive.run('storyworld-en', text);
        return { ...r, logits: Array.from(r.logits), allLogits: Array.from(r.allLogits),
                 attention: Array.from(r.attention) } }""",
        text,
    )
    ids = tokenizer.encode(text).ids
    with torch.no_grad(), capture(model) as record:
        logits = model(torch.tensor([ids]))[0]
    assert answer["ids"] == ids
    assert answer["tokens"] == token_labels(tokenizer, ids)
    expected = torch.cat(record.attention).numpy()
    assert answer["shape"] == list(expected.shape)
    assert np.abs(np.reshape(answer["attention"], expected.shape) - expected).max() < 1e-4
    assert np.abs(np.reshape(answer["allLogits"], logits.shape) - logits.numpy()).max() < 1e-4
    assert answer["logits"] == answer["allLogits"][-model.config.vocab_size :]


@pytest.mark.parametrize(
    ("name", "text", "appended"),
    [
        ("storyworld-en", "Tom is in the garden. Anna goes to the park. Where is Anna?", " park"),
        ("storyworld-zh", "汤姆在花园。安娜去公园。哪里有安娜？", "公园"),
    ],
)
def test_a_story_is_answered_in_the_page_as_by_torch(answering, name, text, appended):
    model, tokenizer = zoo.load(name)
    answer = answering.evaluate(
        """async ([name, text]) => { const r = await companionLive.run(name, text);
        return { ids: r.ids, next: r.next_tokens, allLogits: Array.from(r.allLogits) } }""",
        [name, text],
    )
    ids = tokenizer.encode(text).ids
    with torch.no_grad():
        logits = model(torch.tensor([ids]))[0]
    assert answer["ids"] == ids
    assert np.abs(np.reshape(answer["allLogits"], logits.shape) - logits.numpy()).max() < 1e-4
    assert answer["next"][0]["text"] == appended  # a word brings the space that divides it from the last


def test_a_bert_fills_in_a_mask_in_the_page_as_in_torch(answering):
    model, tokenizer = zoo.load("storyworld-bert")
    text = "Tom is in the garden. Anna goes to the park. [SEP] Where is Anna? [MASK]."
    answer = answering.evaluate(
        """async text => { const r = await companionLive.run('storyworld-bert', text);
        return { ids: r.ids, next: r.next_tokens, mask: r.mask, allLogits: Array.from(r.allLogits) } }""",
        text,
    )
    ids = tokenizer.encode(text).ids
    sep_id, mask_id = (tokenizer.token_to_id(token) for token in ("[SEP]", "[MASK]"))
    with torch.no_grad():
        logits = model(torch.tensor([ids]), segments_of(torch.tensor([ids]), sep_id))[0][0]
    assert answer["ids"] == ids
    assert answer["mask"] == "[MASK]"
    assert np.abs(np.reshape(answer["allLogits"], logits.shape) - logits.numpy()).max() < 1e-4
    best = tokenizer.id_to_token(int(logits[ids.index(mask_id)].argmax()))
    assert answer["next"][0]["token"] == answer["next"][0]["text"] == best


def test_a_text_that_the_model_cannot_read_keeps_the_picture_and_says_why(home, story):
    page, log = home
    limit = story[0].config.context_length
    type_text(page, "Tom is")
    tokens = page.locator(".ca-token").all_inner_texts()
    page.locator(".ca textarea").first.fill("word " * 400)
    page.wait_for_function(f"document.querySelector('.ca-error').textContent.includes('at most {limit}')")
    assert page.locator(".ca-token").all_inner_texts() == tokens
    page.locator(".ca textarea").first.fill("Tom is")
    page.wait_for_function("document.querySelector('.ca-error').textContent === ''")
    assert log.errors == []


def test_the_newest_of_many_keystrokes_wins(home, story):
    page, _ = home
    page.locator(".ca textarea").first.fill("")
    page.locator(".ca textarea").first.type("Tom is in the garden and Anna is in the park", delay=3)
    expected = token_labels(story[1], story[1].encode("Tom is in the garden and Anna is in the park").ids)
    page.wait_for_function("n => document.querySelectorAll('.ca-token').length === n", arg=len(expected))
    assert page.locator(".ca-token").all_inner_texts() == expected


def test_opened_from_disk_the_precomputed_picture_stays_and_a_line_says_why(visit, book):
    page, log = visit((book / "book" / "index.html").as_uri())
    page.wait_for_selector(".ca-token")
    leave_the_story_model(page)
    tokens = page.locator(".ca-token").all_inner_texts()
    page.locator(".ca textarea").first.fill("another text")
    page.wait_for_function("document.querySelector('.ca-error').textContent.includes('from disk')")
    assert page.locator(".ca-token").all_inner_texts() == tokens
    assert "precomputed" in page.inner_text(".ca-status")
    assert log.hosts() == set()


def test_webgpu_is_not_offered_where_no_graphics_card_answers(home):
    page, log = home
    assert page.evaluate("navigator.gpu?.requestAdapter() ?? null") is None  # the tests' browser has no card
    assert page.get_by_label("run on WebGPU").is_hidden()
    type_text(page, "one text")
    assert not [url for url in log.requests if "webgpu" in url]


def test_a_graphics_card_that_fails_after_it_has_answered_leaves_the_picture_and_says_so(visit, address):
    page, _ = visit("about:blank")
    page.add_init_script("""Object.defineProperty(navigator, "gpu", { value: { requestAdapter: async () => ({}) } })""")
    page.goto(f"{address}/book/index.html")
    page.wait_for_selector(".ca textarea")
    leave_the_story_model(page)
    type_text(page, "one text")
    tokens = page.locator(".ca-token").all_inner_texts()
    page.get_by_label("run on WebGPU").check()  # the page believes in a card, its worker finds none
    page.wait_for_function("document.querySelector('.ca-error').textContent.includes('WebGPU cannot be used here')")
    assert page.locator(".ca-token").all_inner_texts() == tokens
    assert "this page · WASM" in page.inner_text(".ca-status")
    page.get_by_label("run on WebGPU").uncheck()
    page.wait_for_function("document.querySelector('.ca-error').textContent === ''")


def test_a_model_that_is_not_there_is_named(answering):
    message = answering.evaluate("companionLive.run('nobody', 'text').catch(problem => problem.message)")
    assert re.search(r"zoo/nobody/\S+ could not be loaded: 404", message)  # whichever of its files fails first


def test_the_view_follows_the_theme_switch_of_the_book(home):
    page, _ = home
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    page.wait_for_function("document.querySelector('.ca').dataset.theme === 'dark'")
