"""Code on a page, in a real browser: long cells open, checks unfold, and one switch hides all of it."""

import pytest

pytestmark = pytest.mark.browser

PAGE = "book/concepts/attention.html"


@pytest.fixture(params=[False, True], ids=["light", "dark"])
def chapter(request, stay, address):
    page, _ = stay(f"{address}/{PAGE}", width=360, dark=request.param)
    page.evaluate("document.querySelectorAll('details.code-checks').forEach(one => { one.open = false })")
    return page


def test_a_long_cell_shows_its_beginning_and_a_button_shows_the_rest(chapter):
    box = chapter.locator(".long-code").first
    code, button = box.locator("pre"), box.locator("button.long-code-switch")
    short = code.bounding_box()["height"]
    assert button.get_attribute("aria-expanded") == "false"
    button.click()
    assert code.bounding_box()["height"] > 2 * short
    assert button.get_attribute("aria-expanded") == "true"
    button.focus()
    chapter.keyboard.press("Enter")
    assert code.bounding_box()["height"] == short


def test_checks_unfold(chapter):
    checks = chapter.locator("details.code-checks").first
    assert not checks.locator("pre").is_visible()
    checks.locator("summary").click()
    assert "assert" in checks.locator("pre").inner_text()


def test_the_switch_hides_all_code_and_the_next_page_remembers_it(chapter):
    cells = chapter.locator(".cell_input")
    button = chapter.locator("[onclick='switchCode()']").first
    button.click()
    assert not any(cell.is_visible() for cell in cells.all()[:20])
    assert button.get_attribute("aria-pressed") == "true"
    chapter.reload()
    assert not cells.first.is_visible()
    chapter.locator("[onclick='switchCode()']").first.click()
    assert cells.first.is_visible()


def test_folded_code_is_accessible(chapter, axe):
    assert axe(chapter, ".long-code, .code-checks") == []
