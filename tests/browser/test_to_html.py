"""A page of its own, opened from disk in a real browser."""

import re
from xml.etree import ElementTree

import pytest
import torch

from companion.widgets import AttentionView

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror=window.hit=1>"
TOKENS = ["The", "␣cat", "␣sat", "#", "'\"", "你", "⟨F0⟩", "😀", HOSTILE, "⏎", "⇥", "."]
CAUSAL = torch.ones(len(TOKENS), len(TOKENS), dtype=torch.bool).tril()


@pytest.fixture(scope="module")
def attention():
    scores = 2 * torch.randn(3, 4, len(TOKENS), len(TOKENS), generator=torch.Generator().manual_seed(0))
    return scores.masked_fill(~CAUSAL, -torch.inf).softmax(-1)


@pytest.fixture(scope="module")
def url(attention, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "attention.html"
    path.write_text(AttentionView(TOKENS, attention, layer=1, head=2).to_html(), encoding="utf-8")
    return path.as_uri()


def shown(page) -> str:
    return page.get_attribute(".ca-stage canvas", "aria-label")


def settle(page) -> None:
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def colours(page, selector: str) -> int:
    return page.evaluate(
        """selector => { const canvas = document.querySelector(selector);
        const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        return new Set(new Uint32Array(data.buffer)).size }""",
        selector,
    )


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1100, 360])
@pytest.mark.parametrize("view", ["Matrix", "Arcs"])
def test_it_draws_accessibly_at_any_width_in_light_and_dark(visit, axe, url, dark, width, view):
    page, log = visit(url, width=width, dark=dark)
    page.get_by_text(view, exact=True).click()
    page.get_by_text("Row as a table").click()
    settle(page)
    assert page.get_attribute(".ca", "data-theme") == ("dark" if dark else "light")
    assert colours(page, ".ca-stage canvas") > 20
    assert colours(page, ".ca-heads canvas") > 20
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert axe(page, "body") == []
    assert log.errors == []
    assert [request for request in log.requests if not request.startswith(("file:", "blob:", "data:"))] == []


def test_a_token_that_looks_like_markup_stays_text(visit, url):
    page, log = visit(url)
    page.wait_for_selector(".ca-token")
    assert page.locator(".ca-token").all_inner_texts() == TOKENS
    page.locator(".ca-token").nth(TOKENS.index(HOSTILE)).hover()
    page.get_by_text("Row as a table").click()
    settle(page)
    assert page.locator("img").count() == 0
    assert page.evaluate("window.hit") is None
    assert log.errors == []


def test_hovering_a_token_shows_where_it_looks_with_the_true_number(visit, url, attention):
    page, _ = visit(url)
    page.wait_for_selector(".ca-token")
    page.locator(".ca-token").nth(5).hover()
    settle(page)
    best = attention[1, 2, 5].argmax()
    assert f"{TOKENS[5]} to {TOKENS[best]}, {attention[1, 2, 5, best]:.3f}" in shown(page)
    assert page.locator(".ca-bars .ca-name").first.inner_text() == TOKENS[best]
    assert page.locator(".ca-token").nth(5).get_attribute("aria-selected") == "true"
    assert f"{attention[1, 2, 5, best]:.3f}" in page.inner_text(".ca-tip")


def test_hovering_the_matrix_shows_the_number_of_the_cell(visit, url, attention):
    page, _ = visit(url)
    page.wait_for_selector(".ca-token")
    settle(page)
    box = page.locator(".ca-stage canvas").bounding_box()
    page.mouse.move(box["x"] + box["width"] - 8, box["y"] + box["height"] - 8)
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] - 8)
    settle(page)
    row, column, number = re.search(r": (.*) to (.*), ([\d.]+)\.", shown(page)).groups()
    i, j = TOKENS.index(row), TOKENS.index(column)
    assert i == len(TOKENS) - 1
    assert number == f"{attention[1, 2, i, j]:.3f}"
    assert number in page.inner_text(".ca-tip")
    page.mouse.move(1, 1)
    settle(page)
    assert page.locator(".ca-tip").is_hidden()


def test_layer_and_head_can_be_chosen_from_lists_and_from_the_atlas(visit, url, attention):
    page, _ = visit(url)
    page.get_by_label("Layer", exact=True).select_option("2")
    page.get_by_label("Head", exact=True).select_option("3")
    settle(page)
    assert "layer 2, head 3" in shown(page)
    best = attention[2, 3, -1].argmax()
    page.locator(".ca-token").last.hover()
    settle(page)
    assert f"{attention[2, 3, -1, best]:.3f}" in page.locator(".ca-bars .ca-number").first.inner_text()
    page.locator(".ca-heads canvas").click(position={"x": 30, "y": 30})
    settle(page)
    assert "layer 0, head 0" in shown(page)
    assert page.get_by_label("Layer", exact=True).input_value() == "0"


def test_the_mean_of_a_layer_can_be_chosen_and_left_again(visit, url, attention):
    page, _ = visit(url)
    page.get_by_label("Head", exact=True).select_option("mean")
    settle(page)
    mean = attention[1].mean(0)[-1]
    assert "layer 1, mean of its heads" in shown(page)
    assert f"{TOKENS[-1]} to {TOKENS[mean.argmax()]}, {mean.max():.3f}" in shown(page)
    page.get_by_label("Head", exact=True).select_option("3")
    settle(page)
    assert "layer 1, head 3" in shown(page)


def test_a_token_is_also_shown_with_the_tokens_that_read_it(visit, url, attention):
    page, _ = visit(url)
    page.get_by_text("is read by", exact=True).click()
    page.locator(".ca-token").nth(2).click()
    settle(page)
    readers = attention[1, 2, :, 2]
    assert page.locator(".ca-title", has_text="is read by").count() == 1
    assert page.locator(".ca-bars .ca-name").first.inner_text() == TOKENS[readers.argmax()]
    assert f"{TOKENS[readers.argmax()]} to {TOKENS[2]}, {readers.max():.3f}" in shown(page)


def test_the_sink_is_named_with_its_part_and_can_be_set_aside(visit, url, attention):
    page, _ = visit(url)
    part = attention[..., 0].sum() / attention.sum()
    box = page.locator(".ca-check", has_text="without")
    box.wait_for()
    assert box.inner_text().split() == f"without {TOKENS[0]}, {100 * part:.0f} % of all weight".split()
    box.locator("input").check()
    settle(page)
    rest = attention[1, 2, -1, 1:] / attention[1, 2, -1, 1:].sum()
    assert f"without {TOKENS[0]}: {TOKENS[-1]} to {TOKENS[1 + rest.argmax()]}, {rest.max():.3f}" in shown(page)


@pytest.mark.parametrize("view", ["Matrix", "Arcs"])
def test_the_picture_is_saved_as_svg_with_its_words_and_as_png(visit, url, view, tmp_path):
    page, log = visit(url)
    page.get_by_text(view, exact=True).click()
    settle(page)
    files = {}
    for kind in ("SVG", "PNG"):
        with page.expect_download() as download:
            page.get_by_role("button", name=kind).click()
        files[kind] = tmp_path / download.value.suggested_filename
        download.value.save_as(files[kind])
    assert {path.name for path in files.values()} == {
        f"attention-{view.lower()}-layer-1-head-2.{k}" for k in ("svg", "png")
    }
    assert files["PNG"].read_bytes().startswith(b"\x89PNG")
    words = [node.text for node in ElementTree.parse(files["SVG"]).iter("{http://www.w3.org/2000/svg}text")]
    assert {"The", "␣cat", "你"} <= set(words)
    assert log.errors == []


def test_everything_is_reached_and_moved_by_keyboard(visit, url):
    page, _ = visit(url)
    page.wait_for_selector(".ca-token")
    page.get_by_label("Layer", exact=True).focus()
    reached = []
    for _ in range(10):
        reached.append(page.evaluate("document.activeElement.tagName + '.' + document.activeElement.className"))
        page.keyboard.press("Tab")
    assert reached[:9] == ["SELECT.", "SELECT.", *4 * ["INPUT."], "BUTTON.ca-save", "CANVAS.", "CANVAS."]
    assert reached[9] == "SPAN.ca-token"

    page.locator(".ca-stage canvas").focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    settle(page)
    assert f"{TOKENS[-2]} to {TOKENS[1]}" in shown(page)
    page.locator(".ca-heads canvas").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowLeft")
    settle(page)
    assert "layer 2, head 1" in shown(page)
    page.locator(".ca-token[tabindex='0']").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    settle(page)
    assert page.evaluate("document.activeElement.textContent") == TOKENS[1]
    assert page.locator(".ca-token[tabindex='0']").count() == 1
    said = "[...document.querySelectorAll('[aria-live]')].map(part => part.textContent).join()"
    page.wait_for_function(f"{said}.includes('(token 1) in layer 2, head 1')")


def test_the_chosen_row_can_be_read_as_a_table(visit, url, attention):
    page, _ = visit(url)
    page.get_by_text("Row as a table").click()
    settle(page)
    cells = page.locator(".ca table tbody tr").all_inner_texts()
    assert len(cells) == len(TOKENS)
    assert cells[0].split("\t")[2] == f"{attention[1, 2, -1, 0]:.3f}"


def test_a_row_scale_brings_out_diffuse_attention(visit, tmp_path):
    n = 40
    path = tmp_path / "diffuse.html"
    path.write_text(AttentionView(["x"] * n, torch.full((1, 1, n, n), 1 / n)).to_html(), encoding="utf-8")
    page, _ = visit(path.as_uri())
    page.wait_for_selector(".ca-token")
    settle(page)

    def corner():
        return page.evaluate(
            """() => { const canvas = document.querySelector('.ca-stage canvas');
            const pixels = canvas.getContext('2d').getImageData(canvas.width - 60, canvas.height - 60, 1, 1);
            return Array.from(pixels.data).slice(0, 3) }"""
        )

    before = sum(corner())
    page.get_by_label("scale each row").check()
    settle(page)
    assert sum(corner()) < before - 100  # much darker on paper


def test_several_views_on_one_page_do_not_disturb_each_other(visit, tmp_path, attention):
    pages = [AttentionView(TOKENS, attention, head=head).to_html() for head in (0, 3)]
    figure = re.search(r"<figure.*</figure>", pages[1], re.S)[0]
    path = tmp_path / "two.html"
    path.write_text(pages[0].replace("</main>", f"{figure}</main>"), encoding="utf-8")
    page, log = visit(path.as_uri())
    page.wait_for_function("document.querySelectorAll('.ca-token').length === 24")
    page.get_by_label("Head", exact=True).nth(1).select_option("1")
    settle(page)
    assert [select.input_value() for select in page.get_by_label("Head", exact=True).all()] == ["0", "1"]
    assert log.errors == []


def test_touch_pins_a_cell(visit, url, tap):
    page, _ = visit(url, width=360, touch=True)
    page.wait_for_selector(".ca-token")
    settle(page)
    label = page.locator(".ca-stage canvas")
    tap(page.locator(".ca-token").nth(3).tap, lambda: f": {TOKENS[3]} to " in label.get_attribute("aria-label"))


def test_512_tokens_and_144_heads_are_drawn_in_time(visit, tmp_path):
    scores = torch.randn(12, 12, 512, 512, generator=torch.Generator().manual_seed(0))
    path = tmp_path / "large.html"
    path.write_text(AttentionView([f"t{i}" for i in range(512)], scores.softmax(-1)).to_html(), encoding="utf-8")
    assert path.stat().st_size <= 6.5e6
    page, log = visit(path.as_uri())
    page.wait_for_function("document.querySelectorAll('.ca-token').length === 512")
    settle(page)
    assert colours(page, ".ca-heads canvas") > 3
    assert page.evaluate("document.querySelectorAll('*').length") < 3000
    assert log.errors == []
