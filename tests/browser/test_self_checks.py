"""Questions to check oneself, in a real browser: a choice explains itself, by mouse and by keyboard, with no script."""

import pytest

pytestmark = pytest.mark.browser

PAGE = "book/concepts/attention.html"


@pytest.fixture(params=[False, True], ids=["light", "dark"])
def question(request, stay, address):
    page, _ = stay(f"{address}/{PAGE}", width=360, dark=request.param)
    page.evaluate("document.querySelectorAll('.self-check details').forEach(one => { one.open = false })")
    return page, page.locator(".self-check").first


def opened(question) -> list[int]:
    return question.evaluate("one => [...one.querySelectorAll('details')].flatMap((d, i) => d.open ? [i] : [])")


def test_a_choice_shows_what_is_said_of_it_and_closes_the_other(question):
    _, first = question
    choices = first.locator("summary")
    choices.nth(0).click()
    assert opened(first) == [0]
    assert first.locator(".self-check-why").nth(0).is_visible()
    choices.nth(1).click()
    assert opened(first) == [1]


def test_one_answer_says_that_it_is_right_and_the_others_that_they_are_not(question):
    _, first = question
    said = []
    for choice in first.locator("summary").all():
        choice.click()
        said.append(first.locator("details[open] .self-check-verdict").inner_text())
    assert said.count("Right.") == 1
    assert set(said) == {"Right.", "Not so."}


def test_the_keyboard_is_enough(question):
    page, first = question
    first.locator("summary").nth(0).focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert opened(first) == [1]


def test_an_open_question_is_accessible_and_no_wider_than_the_screen(question, axe):
    page, first = question
    first.locator("summary").nth(2).click()
    assert axe(page, ".self-check") == []
    assert page.evaluate("document.documentElement.scrollWidth") == 360
