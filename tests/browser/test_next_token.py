"""The next token in the built book: its numbers are torch's, its dials Python's, and any text leaves it alive."""

import pytest
import torch

from companion import zoo
from companion.data.fetched import NotFetchedError
from companion.data.tokenization import token_labels
from companion.generation import GREEDY, generate
from companion.generation.sampling import next_token_probabilities
from companion.widgets import NextTokenView

pytestmark = pytest.mark.browser

PAGE, HOME = "book/algorithms/gpt.html", "book/index.html"
TEXT = "Tom is in the garden. Anna is in the park. Anna goes to the"
HOSTILE = {
    "script": "Tom <script>window.hit=1</script><img src=x onerror=window.hit=1>",
    "emoji": "Tom is 👩‍👩‍👧‍👦 🏳️‍🌈 happy",
    "right to left": "\u202eTom العربية \u0000\u200d",
    "quotes": "# '\" `",
}


@pytest.fixture(scope="module")
def story():
    return zoo.load("storyworld-en")


@pytest.fixture
def view(visit, address):
    page, log = visit(f"{address}/{PAGE}")
    page.wait_for_selector(".nt-bars .ca-name")
    return page, log


def wait_until(page, what: str) -> None:
    text = "const text = (part) => document.querySelector('.nt ' + part).textContent;"
    page.wait_for_function(f"() => {{ {text} return {what} }}", timeout=120_000)  # on a busy machine


def begin(page, text: str) -> None:
    """Type a text, and wait until its distribution is shown."""
    page.locator(".nt textarea").fill(text)
    wait_until(page, "text('.ca-status').includes('this page') && !document.querySelector('.nt-old, .nt .ca-busy')")


def turn(page, **dials: float) -> None:
    for name, position in dials.items():
        page.get_by_label(name.capitalize().replace("_", "-"), exact=True).fill(str(position))


def rows(page) -> list[tuple[str, str, str]]:
    """Token, the model's probability, and that of the dials, as they are shown."""
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    read = "rows => rows.map(row => ['.ca-name', '.nt-before', 'b'].map(part => row.querySelector(part).textContent))"
    return page.locator(".nt-bars li:not([hidden]):has(button[data-rank]:not([data-rank='-1']))").evaluate_all(read)


def tree(page) -> list[str]:
    return page.locator(".nt-tree button").all_inner_texts()


def expected(story, text: str, **dials) -> tuple[torch.Tensor, torch.Tensor]:
    model, tokenizer = story
    with torch.no_grad():
        logits = model(torch.tensor([tokenizer.encode(text).ids]))[0, -1]
    return logits.softmax(-1), next_token_probabilities(logits, **dials)


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_is_accessible_at_any_width_before_and_after_writing_and_loads_nothing_unasked(
    visit, axe, address, width, dark
):
    page, log = visit(f"{address}/{PAGE}", width=width, dark=dark)
    page.wait_for_selector(".nt-bars .ca-name")
    assert "precomputed" in page.inner_text(".nt .ca-status")
    assert not [url for url in log.requests if url.split("?")[0].endswith((".onnx", ".wasm"))]
    assert axe(page, ".nt") == []
    page.locator(".nt").get_by_role("button", name="Continue").click()
    page.wait_for_selector(".nt-tree button >> nth=1", timeout=120_000)
    turn(page, top_k=2)
    assert len(rows(page)) >= 10
    assert axe(page, ".nt") == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert log.errors == []


def test_the_bars_are_torchs_and_the_dials_do_what_python_does(view, story):
    page, log = view
    begin(page, TEXT)
    dials = {"temperature": 0.8, "top_p": 0.9, "min_p": 0.05}
    turn(page, **dials)
    raw, drawn = expected(story, TEXT, **dials)
    labels = token_labels(story[1], range(len(raw)))
    shown = rows(page)
    assert [token for token, _, _ in shown[:4]] == [labels[i] for i in raw.topk(4).indices]
    for token, before, after in shown:
        number = labels.index(token)
        for percent, probability in ((before, raw[number]), (after, drawn[number])):
            assert float(percent.removesuffix(" %")) == pytest.approx(100 * probability.item(), abs=0.06)
    struck = page.locator(".nt-out button[data-rank]:not([data-rank='-1']) .ca-name").all_inner_texts()
    assert struck == [token for token, _, _ in shown if drawn[labels.index(token)] == 0]
    assert log.errors == []


def test_the_logits_after_chosen_tokens_are_torchs(view, story):
    page, _ = view
    model, tokenizer = story
    after = tokenizer.encode("Tom takes the").ids[-3:]
    found = page.evaluate(
        """async ({ text, after }) => {
        const { ids, logits } = await companionLive.run('storyworld-en', text, { after });
        return { ids, logits: [...logits] } }""",
        {"text": TEXT, "after": after},
    )
    ids = [*tokenizer.encode(TEXT).ids, *after]
    assert found["ids"] == ids
    with torch.no_grad():
        probabilities = model(torch.tensor([ids]))[0, -1].softmax(-1)
    torch.testing.assert_close(torch.tensor(found["logits"]).softmax(-1), probabilities, atol=1e-4, rtol=0)


def test_a_greedy_run_writes_what_generation_writes_and_says_how_fast(view, story):
    page, _ = view
    model, tokenizer = story
    begin(page, TEXT)
    turn(page, temperature=0)
    page.get_by_label("up to").fill("10")
    page.locator(".nt").get_by_role("button", name="Run").click()
    wait_until(
        page, "document.querySelectorAll('.nt-tree button').length === 11 && text('.ca-status').includes('per second')"
    )
    prompt = torch.tensor([tokenizer.encode(TEXT).ids])
    ids = generate(model, prompt, 10, decoding=GREEDY)[0, prompt.size(1) :].tolist()
    assert tree(page)[1:] == token_labels(tokenizer, ids)
    assert page.inner_text(".nt-text").split() == f"{TEXT} {tokenizer.decode(ids)}".split()


def test_a_run_can_be_stopped(view):
    page, _ = view
    begin(page, TEXT)
    page.get_by_label("up to").fill("60")
    page.locator(".nt").get_by_role("button", name="Run").click()
    page.wait_for_selector(".nt-tree button >> nth=2")
    page.locator(".nt").get_by_role("button", name="Stop").click()
    page.wait_for_selector(".nt button:text-is('Run')")
    wait_until(page, "!document.querySelector('.nt .ca-busy')")
    written = tree(page)
    page.wait_for_timeout(300)
    assert tree(page) == written
    assert len(written) < 60


def test_both_ways_stay_in_the_tree_and_the_arrow_keys_walk_it(view):
    page, _ = view
    begin(page, TEXT)
    names = [token for token, _, _ in rows(page)]
    page.locator(".nt-bars button").nth(0).click()
    page.wait_for_selector(".nt-tree button >> nth=1")
    page.locator(".nt-tree button").first.click()
    wait_until(page, "text('[aria-current]') === 'text'")
    page.locator(".nt-bars button").nth(1).click()
    wait_until(page, f"text('[aria-current]') === {names[1]!r}")
    assert tree(page) == ["text", *names[:2]]
    page.locator(".nt-tree [aria-current]").focus()
    for key, there in (("ArrowUp", names[0]), ("ArrowLeft", "text"), ("ArrowRight", names[0]), ("ArrowDown", names[1])):
        page.keyboard.press(key)
        wait_until(page, f"text('[aria-current]') === {there!r}")
        assert page.evaluate("document.activeElement.textContent") == there
    assert page.locator(".nt-tree [tabindex='0']").count() == 1


def test_a_seed_writes_the_same_again_and_another_one_something_else(view):
    page, _ = view
    turn(page, temperature=2)

    def run(seed: int) -> list[str]:
        begin(page, f"{TEXT} " if tree(page) and page.locator(".nt textarea").input_value() == TEXT else TEXT)
        page.get_by_label("Seed").fill(str(seed))
        page.get_by_label("up to").fill("6")
        page.locator(".nt").get_by_role("button", name="Run").click()
        wait_until(
            page, "document.querySelectorAll('.nt-tree button').length === 7 && text('.nt-controls').includes('Run')"
        )
        return tree(page)

    first, second, again = (run(seed) for seed in (3, 4, 3))
    assert first == again != second


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_any_text_is_read_as_text(view, text):
    page, log = view
    begin(page, text)
    page.locator(".nt").get_by_role("button", name="Continue").click()
    page.wait_for_selector(".nt-tree button >> nth=1")
    assert page.evaluate("window.hit") is None
    assert page.inner_text(".nt .ca-error") == ""
    assert log.errors == []


def test_half_a_character_or_a_text_that_is_too_long_is_refused_or_read_and_the_box_lives_on(view):
    page, log = view
    begin(page, TEXT)
    shown = rows(page)
    page.locator(".nt textarea").fill("Tom " * 2500)
    wait_until(page, "text('.ca-error').includes('in this page the model reads at most')")
    assert page.locator(".nt-old").count() == 1
    assert rows(page) == shown
    half = "() => { const box = document.querySelector('.nt textarea'); box.value = 'a\\ud83d'; "
    page.evaluate(half + "box.dispatchEvent(new InputEvent('input')) }")
    wait_until(page, "text('.ca-error').length > 0 || !document.querySelector('.nt-old')")
    begin(page, TEXT)
    assert rows(page) == shown
    assert page.inner_text(".nt .ca-error") == ""
    assert log.errors == []


def test_a_large_model_waits_for_its_button_and_its_dials_turn_before(visit, address):
    try:
        zoo.load("smollm2-135m")
    except NotFetchedError as error:
        pytest.skip(f"left out, because it cannot be had: {error}")
    page, log = visit(f"{address}/{HOME}")
    page.wait_for_selector(".nt-bars .ca-name")
    before = rows(page)
    turn(page, temperature=0.5)
    after = rows(page)
    assert [one[:2] for one in after] == [one[:2] for one in before]
    assert after[0][2] != before[0][2]
    assert page.locator(".nt").get_by_role("button", name="Continue").get_attribute("aria-disabled") == "true"
    assert not [url for url in log.requests if "zoo/smollm2" in url]
    page.locator(".nt textarea").fill("The capital of France is")
    page.locator(".nt").get_by_role("button", name="Load SmolLM2, 97 MB").click()
    begin(page, "The capital of France is")
    assert rows(page)[0][0] == "␣Paris"
    page.locator(".nt").get_by_role("button", name="Continue").click()
    page.wait_for_selector(".nt-tree button >> nth=1", timeout=120_000)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_page_of_its_own_turns_its_dials_walks_what_was_written_and_asks_nobody(visit, axe, story, tmp_path, dark):
    view = NextTokenView.live(*story, TEXT)
    first = view.answers[0]["candidates"][0]
    view.question = {"number": 1, "text": TEXT, "after": [first["id"]]}
    path = tmp_path / "next.html"
    path.write_text(view.to_html(), encoding="utf-8")
    page, log = visit(path.as_uri(), width=360, dark=dark)
    page.wait_for_selector(".nt-bars .ca-name")
    turn(page, temperature=0)
    assert rows(page)[0][2] == "100.0 %"
    page.locator(".nt").get_by_role("button", name="Continue").click()
    page.wait_for_selector(".nt-tree button >> nth=1")
    assert tree(page) == ["text", first["token"]]
    page.locator(".nt-bars button").nth(3).click(force=True)  # nobody can say what follows it
    assert len(tree(page)) == 2
    assert axe(page, "body") == []
    assert log.errors == []
    assert [url for url in log.requests if not url.startswith(("file:", "data:"))] == []
