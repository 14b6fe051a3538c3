"""Two models side by side, in pages of the book, in a page of its own and over a kernel: the numbers are torch's."""

import base64
import re

import numpy as np
import pytest
import torch

from companion import zoo
from companion.metrics.divergence import head_divergence, jensen_shannon
from companion.models.bert import segments_of
from companion.nn.capture import capture
from companion.widgets import TwoModels, bundle
from companion.widgets.attention_view import FRONT_END

pytestmark = pytest.mark.browser

PAGE = "book/algorithms/distillation.html"
VIEW = "figure[data-model='storyworld-bert storyworld-bert-small']"
LAYERS = [0, 2]
TEXT = "Mia is in the park . Paul is in the market . [SEP] Where is Mia [MASK] ."
HOSTILE = "<img src=x onerror=window.hit=1>"
MOST, MOST_WEIGHT = 1e-3, 4e-3  # of a divergence and of a weight of attention, from those of torch


@pytest.fixture(scope="module")
def pair():
    return zoo.load("storyworld-bert"), zoo.load("storyworld-bert-small")


@pytest.fixture
def view(visit, address):
    page, log = visit(f"{address}/{PAGE}")
    page.wait_for_selector(f"{VIEW} .cw-grid td")
    settle(page)
    yield page.locator(VIEW)
    assert log.errors == []
    assert log.hosts() == {address.removeprefix("http://")}


@pytest.fixture
def own(visit, pair, tmp_path):
    """A page of its own, opened from disk: ``own(width=…, dark=…) -> (the figure, the widget, the log)``."""
    widget = TwoModels.live(*pair, TEXT, names=("teacher", "student"), layers=LAYERS, layer=1, head=1, query="[MASK]")
    path = tmp_path / "two.html"
    path.write_text(widget.to_html(), encoding="utf-8")

    def open_page(**how):
        page, log = visit(path.as_uri(), **how)
        page.wait_for_selector(".cw-grid td")
        settle(page)
        return page.locator("figure"), widget, log

    return open_page


def settle(page) -> None:
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


@torch.no_grad()
def computed(pair, text: str) -> tuple[list[list[torch.Tensor]], list[torch.Tensor]]:
    """(attention by layer of each model, probabilities of each at the last mask)."""
    attention, probabilities = [], []
    for model, tokenizer in pair:
        ids = torch.tensor([tokenizer.encode(text).ids])
        with capture(model) as record:
            logits, _ = model(ids, segments_of(ids, tokenizer.token_to_id("[SEP]")))
        attention.append(list(record.attention))
        place = int((ids[0] == tokenizer.token_to_id("[MASK]")).nonzero().max())
        probabilities.append(logits[0, place].double().softmax(0))
    return attention, probabilities


def shown_grid(figure) -> np.ndarray:
    rows = figure.locator(".cw-grid tbody tr")
    return np.array([[float(cell) for cell in row.locator("td").all_inner_texts()] for row in rows.all()])


def paired(attention) -> np.ndarray:
    return head_divergence([attention[0][layer] for layer in LAYERS], attention[1]).numpy()


def cell(figure, layer: int, head: int):
    return figure.locator(f".cw-grid td[data-row='{layer}'][data-head='{head}']")


def row_of(figure) -> list[list[float]]:
    """Weights of the chosen token in both models, and their difference, for each token that is looked at."""
    rows = figure.locator(".cw-row tbody tr")
    return [
        [float(one.replace("−", "-").replace("±", "")) for one in row.locator("td").all_inner_texts()]
        for row in rows.all()
    ]


def check_row(figure, attention, heads, query: int) -> None:
    (layer, head), (other_layer, other_head) = heads
    ours, theirs = attention[0][layer][0, head, query], attention[1][other_layer][0, other_head, query]
    expected = torch.stack([ours, theirs, ours - theirs], -1).numpy()
    assert np.abs(np.array(row_of(figure)) - expected).max() < MOST_WEIGHT


def wait_until_answered(figure) -> None:
    page = figure.page
    status = f'document.querySelector("{VIEW} .ca-status")'
    done = f"!{status}.classList.contains('ca-busy') && {status}.textContent.includes('this page')"
    page.wait_for_function(done, timeout=120_000)  # on a busy machine
    settle(page)


def test_the_page_shows_the_divergence_of_torch_and_both_rows(view, pair):
    text = view.locator("textarea").input_value()
    attention, probabilities = computed(pair, text)
    assert np.abs(shown_grid(view) - paired(attention)).max() < MOST
    query = pair[0][1].encode(text).tokens.index("[MASK]")
    check_row(view, attention, ((2, 0), (1, 0)), query)
    p, q = probabilities
    said = float(re.search(r"= ([\d.]+) bits", view.locator(".cw-maps .ca-note").inner_text())[1])
    assert said == pytest.approx((p * (p / q).log2()).sum().item(), abs=MOST)


def test_a_typed_text_is_answered_by_both_models_in_the_page(view, pair):
    view.locator("textarea").fill(TEXT)
    wait_until_answered(view)
    attention, (p, q) = computed(pair, TEXT)
    assert np.abs(shown_grid(view) - paired(attention)).max() < MOST
    tokenizer = pair[0][1]
    rows = view.locator(".cl-chances tbody tr")
    assert rows.count() > 0
    for row in rows.all():
        number = tokenizer.token_to_id(row.locator("th").inner_text())
        numbers = [float(one.rstrip(" %")) / 100 for one in row.locator("td").all_inner_texts()[1:3]]
        assert numbers == pytest.approx([p[number].item(), q[number].item()], abs=MOST)
    said = float(re.search(r"= ([\d.]+) bits", view.locator(".cw-maps .ca-note").inner_text())[1])
    assert said == pytest.approx((p * (p / q).log2()).sum().item(), abs=2 * MOST)


def test_any_text_is_answered_or_refused_and_the_view_stays_alive(view):
    box = view.locator("textarea")
    box.fill("Tom " * 500)
    view.page.wait_for_function(f"document.querySelector(\"{VIEW} .ca-error\").textContent.includes('reads at most')")
    view.locator(".ca-stale").wait_for()
    for text in (HOSTILE, "", TEXT):
        box.fill(text)
        wait_until_answered(view)
        assert view.locator(".ca-error").inner_text() == ""
    assert view.locator("img").count() == 0
    assert view.page.evaluate("window.hit") is None


def test_a_click_in_the_grid_shows_both_heads_and_one_in_a_model_takes_its_partner_along(own, pair):
    figure, _, log = own()
    attention, _ = computed(pair, TEXT)
    query = pair[0][1].encode(TEXT).tokens.index("[MASK]")
    cell(figure, 0, 3).click()
    settle(figure.page)
    check_row(figure, attention, ((0, 3), (0, 3)), query)
    assert cell(figure, 0, 3).get_attribute("aria-selected") == "true"
    figure.get_by_label("Layer", exact=True).first.select_option("2")
    settle(figure.page)
    check_row(figure, attention, ((2, 3), (1, 3)), query)
    figure.get_by_label("Layer", exact=True).first.select_option("3")  # no layer of the student goes with it
    settle(figure.page)
    check_row(figure, attention, ((3, 3), (1, 3)), query)
    assert figure.locator("[aria-selected='true']").count() == 0
    said = float(re.search(r"([\d.]+) bits", figure.locator(".cw-say").inner_text())[1])
    expected = jensen_shannon(attention[0][3][0, 3], attention[1][1][0, 3]).mean().item()
    assert said == pytest.approx(expected, abs=MOST)
    assert log.errors == []


def test_every_head_can_be_compared_with_one(own, pair):
    figure, _, _ = own()
    attention, _ = computed(pair, TEXT)
    figure.get_by_text("All with one", exact=True).click()
    figure.get_by_label("Layer", exact=True).first.select_option("1")
    settle(figure.page)
    expected = jensen_shannon(attention[0][1][0, 1], torch.cat(attention[1])).mean(-1).numpy()
    assert np.abs(shown_grid(figure) - expected).max() < MOST
    cell(figure, 0, 2).click()
    settle(figure.page)
    assert figure.get_by_label("Layer", exact=True).first.input_value() == "1"  # the chosen one stays


def test_heads_cells_and_tokens_are_reached_and_moved_by_keyboard(own, pair):
    figure, _, _ = own()
    page = figure.page
    atlas = figure.locator(".cw-grids canvas").first
    atlas.focus()
    page.keyboard.press("ArrowRight")
    settle(page)
    assert atlas.get_attribute("aria-label").startswith("teacher: layer 2, head 2")
    figure.locator(".cw-grid td[tabindex='0']").focus()
    page.keyboard.press("ArrowUp")
    settle(page)
    assert page.evaluate("document.activeElement.dataset.row + ' ' + document.activeElement.dataset.head") == "0 2"
    page.keyboard.press("End")
    settle(page)
    assert page.evaluate("document.activeElement.dataset.head") == "3"
    assert atlas.get_attribute("aria-label").startswith("teacher: layer 0, head 3")
    difference = figure.locator(".cw-maps canvas").last
    difference.focus()
    for key in ("PageUp", "ArrowDown", "Home", "ArrowRight"):
        page.keyboard.press(key)
        settle(page)
    (ours, theirs, apart), tokens = row_of(figure)[1], pair[0][1].encode(TEXT).tokens
    label = difference.get_attribute("aria-label")
    assert label.startswith(f"Difference: {tokens[1]} to {tokens[1]}, ")
    assert apart == pytest.approx(ours - theirs, abs=2e-3)
    assert label.split(", ")[1].split(". ")[0].replace("−", "-").lstrip("±+") == f"{apart:.3f}"
    assert figure.locator(".ca-tip:visible").count() == 1
    assert figure.locator(".cw-row [aria-current='true'] th").inner_text() == tokens[1]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_both_comparisons_are_accessible_at_any_width_in_light_and_dark(own, axe, width, dark):
    figure, _, log = own(width=width, dark=dark)
    page = figure.page
    for way in ("All with one", "Head by head"):
        figure.get_by_text(way, exact=True).click()
        settle(page)
        assert axe(page, "body") == []
    assert page.get_attribute(".ca", "data-theme") == ("dark" if dark else "light")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert log.errors == []
    assert [request for request in log.requests if not request.startswith(("file:", "blob:", "data:"))] == []


def test_a_difference_is_drawn_in_two_hues_and_says_its_sign(visit, tmp_path):
    ours, theirs = (torch.tensor([[[one]]]) for one in ([[1.0, 0.0], [0.5, 0.5]], [[0.0, 1.0], [0.5, 0.5]]))
    ours, theirs = (one.view(1, 1, 2, 2) for one in (ours, theirs))
    path = tmp_path / "signs.html"
    path.write_text(TwoModels(["a", "b"], ours, theirs, query=1).to_html(), encoding="utf-8")
    page, _ = visit(path.as_uri())
    page.wait_for_selector(".cw-grid td")
    settle(page)
    pixels = page.evaluate(
        """() => { const canvas = [...document.querySelectorAll('.cw-maps canvas')].pop();
        const context = canvas.getContext('2d');
        const { width } = canvas;
        const side = 44 * width / canvas.clientWidth, left = width - 2 * side - 2;
        const top = canvas.height - 2 * side - 2;
        const at = (i, j) => [...context.getImageData(left + (j + .2) * side, top + (i + .2) * side, 1, 1).data];
        return [at(0, 0), at(0, 1), at(1, 1)] }"""
    )
    (red, _, blue, _), (less_red, _, less_blue, _), neutral = pixels
    assert blue > red + 50
    assert less_red > less_blue + 50
    assert max(neutral[:3]) - min(neutral[:3]) < 10
    assert "0.500" in page.inner_text(".cw-grid")  # 1 bit for the first token, 0 for the second
    page.locator(".cw-maps canvas").last.focus()
    page.keyboard.press("PageUp")
    page.keyboard.press("Home")
    settle(page)
    assert "+1.000" in page.locator(".cw-maps canvas").last.get_attribute("aria-label")
    assert "+1.000" in page.locator(".cw-maps .ca-tip").last.inner_text()


def test_a_tap_chooses_a_pair_of_heads(own, tap):
    figure, _, _ = own(width=360, touch=True)
    one = cell(figure, 0, 2)
    tap(one.tap, lambda: cell(figure, 0, 2).get_attribute("aria-selected") == "true")


def test_markup_in_tokens_and_names_stays_text(visit, tmp_path):
    even = torch.full((1, 1, 2, 2), 0.5)
    path = tmp_path / "odd.html"
    odd = TwoModels([HOSTILE, "b"], even, even, names=[HOSTILE, "other"], caption=HOSTILE)
    path.write_text(odd.to_html(), encoding="utf-8")
    page, log = visit(path.as_uri(), width=360)
    page.wait_for_selector(".cw-grid td")
    settle(page)
    assert page.locator(".cw-row tbody th").first.inner_text() == HOSTILE
    assert page.locator("img").count() == 0
    assert page.evaluate("window.hit") is None
    assert log.errors == []


KERNEL = """async ({ code, state }) => {
  const bytes = (text) => new DataView(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
  const read = (sent) => ({ ...sent, first: bytes(sent.first), second: bytes(sent.second) });
  const traits = read(state);
  const listeners = {};
  let changed = {};
  const tell = (name) => (listeners[`change:${name}`] ?? []).forEach((listener) => listener());
  const model = {
    get: (name) => traits[name],
    set: (name, value) => { traits[name] = changed[name] = value; tell(name); },
    save_changes: async () => {
      const sent = changed;
      changed = {};
      Object.assign(traits, read(await window.kernel(sent)));
      Object.keys(traits).forEach(tell);
    },
    on: (event, listener) => { (listeners[event] ??= []).push(listener); },
    off: () => {},
  };
  const module = await import(URL.createObjectURL(new Blob([code], { type: "text/javascript" })));
  module.default.render({ model, el: document.querySelector("figure") });
}"""


def test_in_a_kernel_a_text_and_a_choice_are_answered_by_python(visit, pair):
    widget = TwoModels.live(*pair, TEXT, layers=LAYERS)

    def state() -> dict:
        found = {name: getattr(widget, name) for name in widget.keys if not name.startswith("_") and name != "layout"}
        return found | {side: base64.b64encode(found[side]).decode() for side in ("first", "second")}

    def kernel(sent: dict) -> dict:
        with widget.hold_trait_notifications():
            for name, value in sent.items():
                setattr(widget, name, value)
        return state()

    page, log = visit("about:blank")
    page.set_content("<figure></figure>")
    page.expose_function("kernel", kernel)
    page.add_style_tag(content=widget._css)
    page.evaluate(KERNEL, {"code": bundle.module(FRONT_END / "two_models.js"), "state": state()})
    figure = page.locator("figure")
    figure.locator(".cw-grid td").first.wait_for()
    cell(figure, 1, 3).click()
    page.wait_for_function("document.querySelector(\"td[aria-selected='true']\")?.dataset.row === '1'")
    assert (widget.layer, widget.head, widget.other_layer, widget.other_head) == (2, 3, 1, 3)
    figure.locator("textarea").fill("Anna is in the [MASK] .")
    page.wait_for_function("document.querySelector('.cw-row').textContent.includes('Anna')")
    settle(page)
    attention, _ = computed(pair, "Anna is in the [MASK] .")
    assert np.abs(shown_grid(figure) - paired(attention)).max() < MOST
    assert log.errors == []
