"""The head lab in a page of the book, and in a page of its own: what it shows is what torch computes."""

import re

import pytest
import torch
from torch.nn import functional as F

from companion import zoo
from companion.nn.capture import ablate, capture
from companion.nn.intervention import intervene
from companion.widgets import HeadLab, bundle
from companion.widgets.attention_view import FRONT_END

pytestmark = pytest.mark.browser

PAGE = "book/practice/interpretability.html"
LAB = "figure[data-widget='head_lab']"
HOSTILE = "Tom is in the <img src=x onerror=window.hit=1> </script><script>window.hit=1</script>"
MOST = 1e-3  # of a probability or a loss, which are written with three digits


@pytest.fixture(scope="module")
def gpt():
    return zoo.load("storyworld-en")


@pytest.fixture
def lab(visit, address):
    page, log = visit(f"{address}/{PAGE}")
    page.wait_for_selector(f"{LAB} .cl-heads button")
    yield page
    assert log.errors == []


def head(page, layer: int, number: int):
    return page.locator(f"{LAB} .cl-heads button[data-layer='{layer}'][data-head='{number}']")


def wait_until_answered(page) -> None:
    """Until the numbers are the model's, and of what is chosen."""
    lab = f'const lab = document.querySelector("{LAB}");'
    settled = "!lab.querySelector('.ca-busy') && lab.querySelector('.ca-status').textContent.includes('this page')"
    page.wait_for_function(f"() => {{ {lab} return {settled} }}", timeout=120_000)  # on a busy machine


def shown(page) -> tuple[dict[str, tuple[float, float]], list[float]]:
    """(probabilities of each likely token before and after, mean loss before and after)."""
    rows = page.locator(f"{LAB} .cl-chances tbody tr").all_inner_texts()
    cells = [[cell.strip() for cell in re.split(r"[\t\n]+", row) if cell.strip()] for row in rows]
    chances = {token: (float(a.rstrip(" %")) / 100, float(b.rstrip(" %")) / 100) for token, a, b, _ in cells}
    losses = re.findall(r"\d+\.\d{3}(?= (?:with|as))", page.inner_text(f"{LAB} .cl-loss"))
    return chances, [float(one) for one in losses]


@torch.no_grad()
def computed(gpt, text: str) -> tuple[torch.Tensor, float]:
    """(probabilities of the next token, mean loss), of the model as it is now."""
    ids = torch.tensor([gpt[1].encode(text).ids])
    logits = gpt[0](ids)[0]
    return logits[-1].softmax(0), F.cross_entropy(logits[:-1], ids[0, 1:]).item()


def check(page, gpt, text: str, side: int) -> None:
    chances, losses = shown(page)
    expected, loss = computed(gpt, text)
    assert chances
    for token, pair in chances.items():
        assert pair[side] == pytest.approx(expected[gpt[1].token_to_id(token)].item(), abs=MOST)
    assert losses[side] == pytest.approx(loss, abs=MOST)


def test_a_head_that_is_clicked_off_gives_the_numbers_of_torch_and_all_on_gives_them_back(lab, gpt):
    text = lab.locator(f"{LAB} textarea").first.input_value()
    before, _ = shown(lab)
    assert all(a == b for a, b in before.values())
    head(lab, 1, 2).click()
    wait_until_answered(lab)
    head(lab, 2, 0).click()
    wait_until_answered(lab)
    check(lab, gpt, text, 0)
    with ablate(gpt[0], [(1, 2), (2, 0)]):
        check(lab, gpt, text, 1)
    assert head(lab, 1, 2).get_attribute("aria-label") == "Layer 1, head 2: off"
    lab.get_by_role("button", name="All heads on").click()
    assert head(lab, 1, 2).get_attribute("aria-label") == "Layer 1, head 2: on"
    assert shown(lab)[0] == before


def test_a_set_is_there_before_the_model_is(lab, gpt):
    text = lab.locator(f"{LAB} textarea").first.input_value()
    lab.get_by_role("button", name="Without the head most needed").click()
    off = [
        tuple(map(int, re.findall(r"\d+", one)))
        for one in lab.locator(f"{LAB} [data-how='off']").evaluate_all(
            "all => all.map(one => one.getAttribute('aria-label'))"
        )
    ]
    assert len(off) == 1
    with ablate(gpt[0], off):
        check(lab, gpt, text, 1)
    assert "precomputed" in lab.inner_text(f"{LAB} .ca-status")


@torch.no_grad()
def test_a_patched_head_has_its_output_from_the_second_text(lab, gpt):
    model, tokenizer = gpt
    text = lab.locator(f"{LAB} textarea").first.input_value()
    lab.locator(LAB).get_by_text("Patch", exact=True).click()
    source = lab.locator(f"{LAB} textarea").nth(1).input_value()
    head(lab, 1, 2).click()
    wait_until_answered(lab)
    with capture(model) as record:
        model(torch.tensor([tokenizer.encode(source).ids]))
    given = record.heads[1]
    with intervene(model, heads={1: lambda own: torch.stack([own[:, 0], own[:, 1], given[:, 2], own[:, 3]], 1)}):
        check(lab, gpt, text, 1)
    lab.locator(f"{LAB} textarea").nth(1).fill("Tom is here .")
    lab.wait_for_function(f"document.querySelector(\"{LAB} .ca-error\").textContent.includes('a patch needs as many')")


def test_everything_is_done_with_the_keyboard_and_said(lab, gpt):
    text = lab.locator(f"{LAB} textarea").first.input_value()
    head(lab, 0, 0).focus()
    for key in ("ArrowDown", "ArrowRight", "ArrowRight", "Space"):
        lab.keyboard.press(key)
    assert lab.evaluate("document.activeElement.getAttribute('aria-label')") == "Layer 1, head 2: off"
    wait_until_answered(lab)
    with ablate(gpt[0], [(1, 2)]):
        check(lab, gpt, text, 1)
    said = f'document.querySelector("{LAB} .ca-hidden[aria-live]").textContent'
    lab.wait_for_function(f"{said}.startsWith('1 heads off.') && {said}.includes('Loss')")
    lab.keyboard.press("p")
    assert lab.evaluate("document.activeElement.getAttribute('aria-label')") == "Layer 1, head 2: patched"
    lab.keyboard.press("2")
    assert lab.locator(f"{LAB} [data-how='off']").count() == 3
    lab.keyboard.press("r")
    assert lab.locator(f"{LAB} [data-how='on']").count() == 16
    assert lab.locator(f"{LAB} .cl-heads [tabindex='0']").count() == 1


def test_the_loss_of_each_token_can_be_pointed_at_and_read_as_a_table(lab):
    lab.get_by_role("button", name="Without the head most needed").click()
    lab.locator(f"{LAB} .cl-words .ca-token").last.hover()
    told = lab.inner_text(f"{LAB} .cl-strip > .ca-note")
    lab.locator(LAB).get_by_text("Loss of each token as a table").click()
    rows = lab.locator(f"{LAB} .cl-strip table tbody tr").all_inner_texts()
    token, before, after, change = rows[-1].split("\t")
    assert told == f"{token}: loss {before} with all heads, {after} as chosen ({change})"
    assert len(rows) == lab.locator(f"{LAB} .cl-words .ca-token").count() - 1


def test_any_text_is_answered_or_refused_and_the_lab_stays_alive(lab, gpt):
    box = lab.locator(f"{LAB} textarea").first
    box.fill("Tom " * 500)
    lab.wait_for_function(f"document.querySelector(\"{LAB} .ca-error\").textContent.includes('reads at most')")
    lab.wait_for_selector(f"{LAB} .ca-old .cl-chances")
    for text in (HOSTILE, "", "Tom is in the garden . Where is Tom"):
        box.fill(text)
        wait_until_answered(lab)
        assert lab.inner_text(f"{LAB} .ca-error") == ""
    assert lab.locator(f"{LAB} img").count() == 0
    assert lab.evaluate("window.hit") is None
    check(lab, gpt, "Tom is in the garden . Where is Tom", 1)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_it_is_accessible_at_any_width_in_light_and_dark(visit, address, axe, width, dark):
    page, _ = visit(f"{address}/{PAGE}", width=width, dark=dark, touch=True)
    page.wait_for_selector(f"{LAB} .cl-heads button")
    page.get_by_role("button", name="Without the head most needed").click()
    page.locator(LAB).get_by_text("Patch", exact=True).click()
    page.locator(LAB).get_by_text("Loss of each token as a table").click()
    assert page.get_attribute(f"{LAB} .ca", "data-theme") == ("dark" if dark else "light")
    assert axe(page, LAB) == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_a_touch_switches_a_head(visit, address, tap):
    page, _ = visit(f"{address}/{PAGE}", width=360, touch=True)
    page.wait_for_selector(f"{LAB} .cl-heads button")
    tap(head(page, 1, 1).tap, lambda: head(page, 1, 1).get_attribute("data-how") == "off")


def test_in_a_page_of_its_own_sets_can_be_chosen_and_single_heads_not(visit, tmp_path, gpt, axe):
    text = "Susan is in the school . Paul goes to the forest . Where is Paul"
    lab = HeadLab.live(*gpt, text, presets={"two heads": [(0, 3), (1, 2)]})
    path = tmp_path / "lab.html"
    path.write_text(lab.to_html(), encoding="utf-8")
    page, log = visit(path.as_uri())
    page.wait_for_selector(f"{LAB} .cl-heads button")
    page.get_by_role("button", name="Without two heads").click()
    with ablate(gpt[0], [(0, 3), (1, 2)]):
        check(page, gpt, text, 1)
    head(page, 2, 2).click(force=True)  # it says that it is disabled
    assert head(page, 2, 2).get_attribute("data-how") == "on"
    assert "This page has no model" in page.inner_text(LAB)
    assert axe(page, "body") == []
    assert log.errors == []
    assert [request for request in log.requests if not request.startswith(("file:", "blob:", "data:"))] == []


KERNEL = """async ({ code, state }) => {
  const listeners = {};
  let changed = {};
  const tell = (name) => (listeners[`change:${name}`] ?? []).forEach((listener) => listener());
  const model = {
    get: (name) => state[name],
    set: (name, value) => { state[name] = changed[name] = value; tell(name); },
    save_changes: async () => {
      const sent = changed;
      changed = {};
      Object.assign(state, await window.kernel(sent));
      Object.keys(state).forEach(tell);
    },
    on: (event, listener) => { (listeners[event] ??= []).push(listener); },
    off: () => {},
  };
  const module = await import(URL.createObjectURL(new Blob([code], { type: "text/javascript" })));
  module.default.render({ model, el: document.querySelector("figure") });
}"""


def test_in_a_kernel_a_click_and_a_text_are_answered_by_python(visit, gpt):
    lab = HeadLab.live(*gpt, "Tom is in the garden . Where is Tom", presets={"one": [(0, 3)]}, source="Tom is here .")

    def state() -> dict:
        return {name: getattr(lab, name) for name in lab.keys if not name.startswith("_") and name != "layout"}

    def kernel(sent: dict) -> dict:
        with lab.hold_trait_notifications():
            for name, value in sent.items():
                setattr(lab, name, value)
        return state()

    page, log = visit("about:blank")
    page.set_content("<figure data-widget='head_lab'></figure>")
    page.expose_function("kernel", kernel)
    page.evaluate(KERNEL, {"code": bundle.module(FRONT_END / "head_lab.js"), "state": state()})
    head(page, 1, 2).click()
    page.wait_for_function(f'!document.querySelector("{LAB} .ca-busy")')
    assert lab.off == [[1, 2]]
    with ablate(gpt[0], [(1, 2)]):
        check(page, gpt, lab.text, 1)
    page.locator(f"{LAB} textarea").first.fill("Mia is in the park . Where is Mia")
    page.wait_for_function(f"document.querySelector(\"{LAB} .cl-words\").textContent.includes('park')")
    head(page, 0, 0).press("p")
    page.wait_for_function(f"document.querySelector(\"{LAB} .ca-error\").textContent.includes('a patch needs as many')")
    page.get_by_role("button", name="Without one").click()
    page.wait_for_function(f'!document.querySelector("{LAB} .ca-error").textContent')
    with ablate(gpt[0], [(0, 3)]):
        check(page, gpt, "Mia is in the park . Where is Mia", 1)
    assert log.errors == []
