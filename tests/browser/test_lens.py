"""What a reader makes of the same weights: heads over each other, pairs of sentences, rollout, encoder and decoder."""

import re

import pytest
import torch

from companion.metrics.attribution import attention_rollout
from companion.widgets import AttentionView

pytestmark = pytest.mark.browser

TOKENS = ["[CLS]", "a", "cat", "[SEP]", "it", "sat", "[SEP]"]
SEGMENTS = [0, 0, 0, 0, 1, 1, 1]
SOURCE, TARGET = ["ein", "Hund", "schläft", "."], ["▶", "a", "dog", "sleeps", "here"]


def maps(layers: int, heads: int, queries: int, keys: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (2 * torch.randn(layers, heads, queries, keys, generator=generator)).softmax(-1)


@pytest.fixture(scope="module")
def attention() -> torch.Tensor:
    return maps(3, 4, len(TOKENS), len(TOKENS))


@pytest.fixture(scope="module")
def kinds() -> dict[str, torch.Tensor]:
    n, m = len(SOURCE), len(TARGET)
    return {"encoder": maps(3, 2, n, n, 1), "decoder": maps(2, 2, m, m, 2), "cross": maps(2, 2, m, n, 3)}


@pytest.fixture
def show(visit, tmp_path):
    """Open the page of a view: ``show(view, width=…, dark=…) -> (page, log)``."""

    def open_page(view: AttentionView, **how):
        path = tmp_path / "view.html"
        path.write_text(view.to_html(), encoding="utf-8")
        page, log = visit(path.as_uri(), **how)
        page.wait_for_selector(".ca-token")
        settle(page)
        return page, log

    return open_page


def settle(page) -> None:
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def shown(page) -> str:
    return page.get_attribute(".ca-stage canvas", "aria-label")


THEMES = pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
WIDTHS = pytest.mark.parametrize("width", [1100, 360])


@THEMES
@WIDTHS
@pytest.mark.parametrize("view", ["matrix", "arcs"])
def test_heads_over_each_other_and_a_pair_are_accessible_at_any_width(show, axe, attention, dark, width, view):
    heads = [(0, 0), (1, 1), (2, 2), (2, 3)]
    made = AttentionView(TOKENS, attention, view=view, segments=SEGMENTS, pair="BA", overlay=heads)
    page, log = show(made, width=width, dark=dark)
    page.get_by_text("Row as a table").click()
    settle(page)
    assert page.locator(".ca-pins button").count() == 4
    assert axe(page, "body") == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert log.errors == []


def test_a_head_is_laid_over_others_and_taken_out_by_keyboard(show, attention):
    page, _ = show(AttentionView(TOKENS, attention))
    atlas = page.locator(".ca-heads canvas")
    atlas.focus()
    for key in (" ", "ArrowDown", "ArrowRight", " "):
        page.keyboard.press(key)
    settle(page)
    numbers = [attention[layer, head, -1] for layer, head in ((0, 0), (1, 1))]
    best = int(torch.stack(numbers).amax(0).argmax())
    said = " and ".join(f"{row[best]:.3f}" for row in numbers)
    assert f"arcs, layer 0, head 0 and layer 1, head 1: [SEP] to {TOKENS[best]}, {said}." in shown(page)
    assert page.locator(".ca-pins button").all_inner_texts() == ["● layer 0, head 0 ×", "■ layer 1, head 1 ×"]
    assert "Space" in atlas.get_attribute("aria-label")
    page.wait_for_function("document.querySelector('.ca').textContent.includes('in layer 1, head 1 looks at')")
    page.keyboard.press(" ")
    settle(page)
    assert "arcs, layer 0, head 0: " in shown(page)
    page.get_by_role("button", name="layer 0, head 0 ×").focus()
    page.keyboard.press("Enter")
    settle(page)
    assert page.locator(".ca-pins").is_hidden()
    assert page.evaluate("document.activeElement.textContent") == "Overlay this head (Space)"


def test_the_table_has_a_column_for_each_head_and_no_more_than_four_are_taken(show, attention):
    page, _ = show(AttentionView(TOKENS, attention))
    for head in range(4):
        page.get_by_label("Head", exact=True).select_option(str(head))
        page.get_by_role("button", name="Overlay this head").click()
    page.get_by_text("Row as a table").click()
    page.get_by_label("Layer", exact=True).select_option("2")
    settle(page)
    assert page.get_by_role("button", name="Overlay this head").is_disabled()
    titles = page.locator(".ca th").all_inner_texts()
    assert [title.split(" ", 1)[1] for title in titles[2:]] == [f"layer 0, head {head}" for head in range(4)]
    first = page.locator(".ca table tbody tr").first.inner_text().split("\t")
    assert first == ["0", "[CLS]", *(f"{attention[0, head, -1, 0]:.3f}" for head in range(4))]
    marks = page.locator(".ca th .ca-mark").all_inner_texts()
    assert len(set(marks)) == 4
    assert set("".join(page.locator(".ca-token").evaluate_all("all => all.map(one => one.dataset.top)"))) == set(marks)


def test_heads_over_each_other_are_saved_with_their_dashes_and_marks(show, attention, tmp_path):
    page, log = show(AttentionView(TOKENS, attention, view="arcs", overlay=[(0, 1), (2, 3)]))
    with page.expect_download() as download:
        page.get_by_role("button", name="SVG").click()
    download.value.save_as(tmp_path / "saved.svg")
    drawn = (tmp_path / "saved.svg").read_text(encoding="utf-8")
    assert "stroke-dasharray" in drawn
    assert {"●", "■"} <= set(re.findall(r">(.)</text>", drawn))
    assert log.errors == []


def test_a_pair_of_sentences_says_how_much_weight_leads_between_them(show, attention):
    page, _ = show(AttentionView(TOKENS, attention, layer=1, head=2, segments=SEGMENTS))
    page.get_by_label("Sentences").select_option("BA")
    settle(page)
    part, row = attention[1, 2, 4:, :4].sum() / len(TOKENS), attention[1, 2, -1, :4].sum()
    told = f"B → A: {100 * part:.0f} % of the weight of layer 1, head 2, in 24 % of the cells; "
    assert page.inner_text(".ca-told") == f"{told}of the row of [SEP], {100 * row:.0f} %."
    page.wait_for_function("told => document.querySelector('.ca').textContent.includes(told)", arg=told)
    page.locator(".ca-token").nth(2).click()
    settle(page)
    assert page.inner_text(".ca-told").endswith("of the row of cat, 0 %.")
    assert page.locator(".ca-bars .ca-dim").count() == 5
    starts = page.locator(".ca-token").evaluate_all("all => all.map(one => one.dataset.starts || '')")
    assert starts == ["A", "", "", "", "B", "", ""]


def test_the_rest_of_a_pair_is_dim_in_the_matrix(show, attention):
    def ink(page) -> int:
        return page.evaluate(
            """() => { const canvas = document.querySelector('.ca-stage canvas');
            const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
            return data.reduce((sum, value, k) => sum + (k % 4 === 0 && data[k + 3] ? 255 - value : 0), 0) }"""
        )

    page, _ = show(AttentionView(TOKENS, attention, segments=SEGMENTS))
    before = ink(page)
    page.get_by_label("Sentences").select_option("AB")
    settle(page)
    assert ink(page) < 0.7 * before


def test_a_text_of_one_sentence_has_no_filter(show, attention):
    page, _ = show(AttentionView(TOKENS, attention, segments=[0] * len(TOKENS)))
    assert page.get_by_label("Sentences").is_hidden()


def test_the_rollout_of_a_layer_is_that_of_the_package(show, attention):
    page, _ = show(AttentionView(TOKENS, attention, layer=2, model_layers=5))
    page.get_by_label("Head", exact=True).select_option("rollout")
    page.get_by_text("Row as a table").click()
    settle(page)
    expected = attention_rollout([layer[None] for layer in attention])[0, -1]
    assert "rollout through layer 2: [SEP] to [SEP]" in shown(page)
    cells = page.locator(".ca table tbody tr td:last-child").all_inner_texts()
    assert [float(cell) for cell in cells] == pytest.approx(expected.tolist(), abs=1e-3)
    told = page.inner_text(".ca-told")
    assert told.startswith("Rollout: layers 0 to 2")
    assert "Only 3 of the model’s 5 layers have a map here; the others are left out." in told
    assert page.get_by_role("button", name="Overlay this head").is_disabled()


@THEMES
@WIDTHS
@pytest.mark.parametrize("view", ["matrix", "arcs"])
def test_cross_attention_is_accessible_at_any_width(show, axe, kinds, dark, width, view):
    page, log = show(AttentionView.encoder_decoder(SOURCE, TARGET, kinds, view=view), width=width, dark=dark)
    assert axe(page, "body") == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert log.errors == []


def test_cross_attention_has_the_rows_of_one_text_and_the_columns_of_the_other(show, kinds):
    page, _ = show(AttentionView.encoder_decoder(SOURCE, TARGET, kinds, layer=1, head=1))
    assert page.locator(".ca-strip:not(.ca-others) .ca-token").all_inner_texts() == TARGET
    assert page.locator(".ca-others .ca-token").all_inner_texts() == SOURCE
    page.locator(".ca-stage canvas").focus()
    for key in ("Home", "ArrowUp", "ArrowUp", "ArrowRight", "End", "ArrowRight"):
        page.keyboard.press(key)
    settle(page)
    expected = kinds["cross"][1, 1, 2, 3]
    assert f"cross-attention, layer 1, head 1: {TARGET[2]} to {SOURCE[3]}, {expected:.3f}." in shown(page)
    page.get_by_text("is read by", exact=True).click()
    page.locator(".ca-strip:not(.ca-others) .ca-token").nth(1).click()
    settle(page)
    readers = kinds["cross"][1, 1, :, 1]
    assert f"{TARGET[readers.argmax()]} to {SOURCE[1]}, {readers.max():.3f}." in shown(page)
    assert page.get_by_label("Sentences").is_hidden()
    assert page.locator(".ca-check", has_text="without").is_hidden()
    assert page.locator("option[value=rollout]").count() == 0


def test_the_kind_is_chosen_by_keyboard_and_the_layer_follows(show, kinds):
    page, _ = show(AttentionView.encoder_decoder(SOURCE, TARGET, kinds, kind="encoder", layer=2))
    assert "encoder, layer 2, head 0: . to " in shown(page)
    assert page.locator("option[value=rollout]").count() == 1
    page.get_by_label("Attention", exact=True).focus()
    page.keyboard.press("ArrowDown")
    settle(page)
    best = kinds["decoder"][1, 0, -1].argmax()
    assert f"decoder, layer 1, head 0: here to {TARGET[best]}, " in shown(page)
    assert page.locator("option[value=rollout]").count() == 0
    page.keyboard.press("ArrowDown")
    settle(page)
    assert "cross-attention, layer 1, head 0: here to " in shown(page)


def test_heads_of_cross_attention_lie_over_each_other_too(show, kinds):
    page, log = show(AttentionView.encoder_decoder(SOURCE, TARGET, kinds, view="arcs"))
    page.locator(".ca-heads canvas").focus()
    for key in (" ", "ArrowRight", " "):
        page.keyboard.press(key)
    settle(page)
    assert "cross-attention, layer 0, head 0 and cross-attention, layer 0, head 1: here to " in shown(page)
    page.get_by_label("Attention", exact=True).select_option("encoder")
    settle(page)
    assert page.locator(".ca-pins").is_hidden()
    assert log.errors == []
