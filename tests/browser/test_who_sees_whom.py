"""Who may see whom, in a page of its own: six objectives on a sentence that the reader may change."""

import pytest

from companion.widgets import WhoSeesWhom
from companion.widgets.who_sees_whom import OBJECTIVES

pytestmark = pytest.mark.browser

TEXT = "The cat sat on the mat because it was tired ."
NAMES = ("Causal (GPT)", "Masked (BERT)", "Prefix", "Permutation (XLNet)", "Spans (T5)", "Denoising (BART)")
HOSTILE = "<img src=x onerror=window.hit=1> # ' \" 😀 👩‍👩‍👧 שלום عالم \u202e x\u0007y <script>window.hit=1</script>"


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "sight.html"
    path.write_text(WhoSeesWhom(TEXT).to_html(), encoding="utf-8")
    return path.as_uri()


def reads(page) -> str:
    return " ".join(page.inner_text(".ca-reads").split())


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1100, 360])
def test_every_objective_is_accessible_at_any_width_in_light_and_dark(visit, axe, url, dark, width):
    page, log = visit(url, width=width, dark=dark)
    page.get_by_text("Who sees whom, as text").click()
    for name in NAMES:
        page.get_by_role("tab", name=name).click()
        assert axe(page, "body") == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert log.errors == []
    assert [request for request in log.requests if not request.startswith(("file:", "blob:", "data:"))] == []


def test_the_words_that_a_target_is_predicted_from_are_listed(visit, url):
    page, _ = visit(url)
    assert reads(page) == "cat is predicted from 1 of 11: The"
    page.get_by_role("option", name="mat").hover()
    assert reads(page) == "mat is predicted from 5 of 11: The cat sat on the"
    page.mouse.move(1, 1)
    assert reads(page).startswith("cat is")
    page.get_by_role("option", name="on", exact=True).click()
    assert reads(page) == "on is predicted from 3 of 11: The cat sat"


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_table_says_of_each_row_what_the_mask_says(visit, tmp_path, objective):
    sight = WhoSeesWhom(TEXT, objective=objective, seed=3)
    path = tmp_path / "sight.html"
    path.write_text(sight.to_html(), encoding="utf-8")
    page, _ = visit(path.as_uri())
    page.get_by_text("Who sees whom, as text").click()
    seen = page.locator(".ca table tbody td:last-child").all_inner_texts()
    counts = [0 if text == "nothing" else len(text.split()) for text in seen]
    assert counts == [int(row.sum()) for mask in sight.masks() for row in mask]


def test_tabs_and_targets_are_reached_and_moved_by_keyboard(visit, url):
    page, _ = visit(url)
    page.get_by_role("tab", name="Causal").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.textContent") == "Masked (BERT)"
    assert "both sides" in page.inner_text(".ca-say")
    page.keyboard.press("Home")
    page.locator(".ca-targets [tabindex='0']").focus()
    page.keyboard.press("End")
    assert reads(page).startswith(". is predicted from 10 of 11")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("document.activeElement.textContent") == "tired"


def test_another_draw_changes_the_order_and_a_causal_lesson_has_none(visit, url):
    page, _ = visit(url)
    draw = page.get_by_role("button", name="Draw again")
    assert draw.is_hidden()
    page.get_by_role("tab", name="Permutation").click()
    orders = set()
    for _ in range(6):
        draw.click()
        orders.add(page.locator(".ca-inputs p").last.inner_text())
    assert len(orders) > 1


def test_a_typed_sentence_is_taken_over_with_chances_of_its_own(visit, url):
    page, log = visit(url)
    for name in NAMES:
        page.get_by_role("tab", name=name).click()
        page.get_by_label("A sentence").fill(f"{name} dogs bark at night")
        assert "dogs" in page.inner_text(".ca-inputs") + page.inner_text(".ca-targets")  # chance may hide the word
    assert log.errors == []


@pytest.mark.parametrize("text", ["", "one", HOSTILE, "word " * 60, "word " * 3000], ids=str.__len__)
def test_any_text_behaves(visit, axe, url, text):
    page, log = visit(url, width=360)
    for name in NAMES:
        page.get_by_role("tab", name=name).click()
        page.get_by_label("A sentence").fill(text)
    assert page.locator(".ca-masks").is_visible() == (len(text.split()) > 1)
    assert page.get_by_text("Type two words or more.").is_visible() == (len(text.split()) < 2)
    assert page.evaluate("window.hit") is None
    assert page.locator(".ca-sight").count() < 300
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert axe(page, ".ca") == []
    page.get_by_label("A sentence").fill(TEXT)
    assert page.locator(".ca-masks").is_visible()
    assert log.errors == []


def test_a_tap_chooses_a_target(visit, url, tap):
    page, _ = visit(url, width=360, touch=True)
    tap(page.get_by_role("option", name="sat").tap, lambda: reads(page).startswith("sat is predicted from 2"))
