"""Attention step by step, in a page of its own: what is drawn is what torch computes, by mouse, keys and touch."""

import re

import pytest
import torch

from companion import zoo
from companion.data.tokenization import train_byte_bpe
from companion.models.gpt import GPT, GPTConfig
from companion.nn.capture import capture
from companion.nn.products import capture_products
from companion.widgets import AttentionSteps

pytestmark = pytest.mark.browser

TEXT = "Tom is in the garden. Anna is in the park. Tom takes the key. He"
LAYER, HEAD = 1, 2
STEPS = ("Compare", "Scale", "Mask", "Softmax", "Add up")
ODD = (
    "# '\" <script>window.hit=1</script> <img src=x onerror=window.hit=1> 😀 👩‍👩‍👧 שלום عالم 你好 \u202e x\u0007y "
    + "word " * 30
)


@pytest.fixture(scope="module")
def model():
    return zoo.load("storyworld-en")


@pytest.fixture(scope="module")
def record(model):
    network, tokenizer = model
    with torch.no_grad(), capture(network) as record, capture_products(network) as products:
        network(torch.tensor([tokenizer.encode(TEXT).ids]))
    return record, products


@pytest.fixture(scope="module")
def url(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "steps.html"
    path.write_text(AttentionSteps(*model, TEXT, layer=LAYER, head=HEAD).to_html(), encoding="utf-8")
    return path.as_uri()


def of_bytes():
    """A model whose tokenizer has every byte, so that no text is unknown to it."""
    torch.manual_seed(0)
    tokenizer = train_byte_bpe(["the cat sat on the mat"], 260)
    config = GPTConfig(tokenizer.get_vocab_size(), context_length=512, n_layers=1, n_heads=1, d_model=8)
    return GPT(config).eval(), tokenizer


def numbers(page) -> list[float]:
    """The last column, key by key."""
    shown = page.locator(".ca-keys .ca-result").all_inner_texts()
    return [float(text.replace("−", "-").replace("∞", "inf").removeprefix("< ")) for text in shown]


def tab(page, name):
    return page.get_by_role("tab", name=name)


def marked(page) -> str:
    return "".join(page.locator(".ca-formula .ca-on").all_inner_texts())


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1100, 360])
def test_every_step_is_accessible_at_any_width_in_light_and_dark(visit, axe, url, dark, width):
    page, log = visit(url, width=width, dark=dark)
    page.get_by_text("All numbers as tables").click()
    for name in STEPS:
        tab(page, name).click()
        assert axe(page, "body") == []
    assert page.get_attribute(".ca", "data-theme") == ("dark" if dark else "light")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert log.errors == []
    assert [request for request in log.requests if not request.startswith(("file:", "blob:", "data:"))] == []


def test_the_numbers_of_each_step_are_those_of_torch(visit, url, record):
    recorded, products = record
    one, query = products[LAYER], -1
    page, _ = visit(url)
    product = one.query[0, HEAD, query] @ one.key[0, HEAD].T
    assert numbers(page) == pytest.approx(product.tolist(), abs=0.02)
    tab(page, "Scale").click()
    assert numbers(page) == pytest.approx((product * one.scale).tolist(), abs=0.01)
    tab(page, "Softmax").click()
    assert numbers(page) == pytest.approx(recorded.attention[LAYER][0, HEAD, query].tolist(), abs=0.004)
    tab(page, "Add up").click()
    said = page.inner_text(".ca-sum")
    output = float(said.rsplit("over all tokens ", 1)[1].replace("−", "-"))
    assert output == pytest.approx(recorded.heads[LAYER][0, HEAD, query, 0].item(), abs=0.01)


def test_another_layer_head_and_token_can_be_chosen(visit, url, record):
    page, _ = visit(url)
    page.get_by_label("Layer", exact=True).select_option("3")
    page.get_by_label("Head", exact=True).select_option("0")
    page.get_by_label("Token that reads").select_option("6")
    tab(page, "Softmax").click()
    used = record[0].attention[3][0, 0, 6]
    assert numbers(page) == pytest.approx(used.tolist(), abs=0.004)
    chosen = page.locator(".ca-keys [aria-selected='true']").get_attribute("data-j")
    assert int(chosen) == used.argmax()
    tab(page, "Mask").click()
    assert numbers(page)[7:] == [float("-inf")] * (len(used) - 7)
    assert "may not read" in page.inner_text(".ca-say")


def test_each_step_marks_its_part_of_the_formula(visit, url):
    page, _ = visit(url)
    found = []
    for name in STEPS:
        tab(page, name).click()
        found.append("".join(marked(page).split()))
    assert found == ["qi·kj", "√dk", "+mij", "softmaxj()", "Σjvj"]


def test_buttons_and_arrow_keys_lead_through_the_steps(visit, url):
    page, _ = visit(url)
    assert page.get_by_role("button", name="Previous").is_disabled()
    page.get_by_role("button", name="Next").click()
    tab(page, "Scale").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.textContent") == "3 Mask"
    page.keyboard.press("End")
    assert page.get_by_role("button", name="Next").is_disabled()
    assert "vector o" in page.inner_text(".ca-say")
    page.keyboard.press("Home")
    assert marked(page).replace("\n", "") != ""
    assert tab(page, "Compare").get_attribute("aria-selected") == "true"


def test_keys_and_the_numbers_of_their_vectors_are_reached_by_keyboard(visit, url, record):
    page, _ = visit(url)
    one = record[1][LAYER]
    page.locator(".ca-keys [tabindex='0']").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    q, k = one.query[0, HEAD, -1, 2].item(), one.key[0, HEAD, 1, 2].item()
    said = page.inner_text(".ca-sum").replace("−", "-")
    shown = re.search(r"Number 2: (\S+) × (\S+) = (\S+)$", said).groups()
    assert [float(number) for number in shown] == pytest.approx([q, k, q * k], abs=0.02)
    assert said.startswith("Tom: ")
    assert page.evaluate("document.activeElement.dataset.j") == "1"
    assert page.locator(".ca-keys [tabindex='0']").count() == 1


def test_a_pointer_on_a_strip_shows_the_number_there(visit, url, record):
    page, _ = visit(url)
    one = record[1][LAYER]
    box = page.locator(".ca-close .ca-vector").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] - 2, box["y"] + 5)
    last = one.query.size(-1) - 1
    shown = re.search(rf"Number {last}: (\S+) ×", page.inner_text(".ca-sum").replace("−", "-"))[1]
    assert float(shown) == pytest.approx(one.query[0, HEAD, -1, last].item(), abs=0.01)


def test_a_tap_chooses_a_key(visit, url, tap):
    page, _ = visit(url, width=360, touch=True)
    row = page.locator(".ca-keys [data-j='3']")
    tap(row.tap, lambda: row.get_attribute("aria-selected") == "true")


def test_the_numbers_can_be_read_as_tables(visit, url):
    page, _ = visit(url)
    page.get_by_text("All numbers as tables").click()
    tables = page.locator(".ca table")
    captions = tables.locator("caption").all_inner_texts()
    assert captions[0] == "Scores and weights"
    weights = tables.first.locator("tbody td:last-child").all_inner_texts()
    assert sum(float(text.removeprefix("< ")) for text in weights) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("text", ["x", ODD], ids=["one token", "odd and long"])
def test_odd_text_behaves(visit, axe, tmp_path, text):
    path = tmp_path / "odd.html"
    steps = AttentionSteps(*of_bytes(), text)
    path.write_text(steps.to_html(), encoding="utf-8")
    page, log = visit(path.as_uri(), width=360)
    tab(page, "Softmax").click()
    assert page.locator(".ca-keys .ca-name").all_text_contents() == steps.tokens
    assert sum(numbers(page)) == pytest.approx(1, abs=0.0005 * len(steps.tokens))  # each is rounded
    assert page.evaluate("window.hit") is None
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert axe(page, ".ca") == []
    assert log.errors == []
