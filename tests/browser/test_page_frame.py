"""The frame of a page on a phone: the contents open at the chapter, figures can be read, tables keep their columns."""

import pytest

pytestmark = pytest.mark.browser

PAGE = "book/algorithms/distillation.html"
SMALLEST = 0.83  # of the size at which a figure was drawn, where its numbers have 13 pixels: 11
DRAWN = 0.72  # of a drawing, whose letters are larger
DRAWINGS = "book/concepts/transformer.html"


@pytest.fixture(params=[False, True], ids=["light", "dark"])
def phone(request, stay, address):
    page, log = stay(f"{address}/{PAGE}", width=360, dark=request.param, touch=True)
    page.evaluate("document.querySelectorAll('dialog[open]').forEach(one => one.close())")
    assert log.errors == []
    return page


def test_the_contents_open_at_the_chapter(phone):
    phone.locator(".primary-toggle").first.click()
    drawer = phone.locator("#pst-primary-sidebar-modal")
    drawer.wait_for()
    phone.wait_for_function(
        """() => { const box = document.querySelector("#pst-primary-sidebar-modal a.current[href='#']")
            .getBoundingClientRect(); return box.top > 0 && box.bottom < innerHeight && box.left >= 0; }"""
    )


def test_a_figure_is_as_wide_as_its_numbers_need_and_scrolls_by_keyboard_where_that_is_wider(phone):
    figures = phone.locator(".wide-figure:not(.drawing)")
    assert figures.count() > 3
    for figure in figures.all():
        image = figure.locator("img:visible")
        assert image.count() == 1  # the copy of one theme
        natural = figure.evaluate("one => Number.parseFloat(one.style.getPropertyValue('--natural'))")
        assert image.evaluate("one => one.getBoundingClientRect().width") > SMALLEST * natural - 1
        if figure.evaluate("one => one.scrollWidth > one.clientWidth + 1"):
            assert figure.get_attribute("tabindex") == "0"
    assert phone.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_drawing_has_the_colours_of_the_theme_and_its_letters_stay_large(visit, address, dark):
    page, _ = visit(f"{address}/{DRAWINGS}", width=360, dark=dark)
    drawings = page.locator(".wide-figure.drawing")
    assert drawings.count() > 0
    for drawing in drawings.all():
        image = drawing.locator("img:visible")
        assert image.count() == 1
        assert image.get_attribute("src").endswith(".dark.svg") == dark
        natural = drawing.evaluate("one => Number.parseFloat(one.style.getPropertyValue('--natural'))")
        assert image.evaluate("one => one.getBoundingClientRect().width") > DRAWN * natural - 1
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_a_table_that_a_cell_prints_keeps_its_lines(phone):
    tables = phone.locator(".cell_output .columns pre")
    assert tables.count() > 0
    assert {one.evaluate("one => getComputedStyle(one).whiteSpace") for one in tables.all()} == {"pre"}
