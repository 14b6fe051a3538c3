"""Notes in the margin: level with their paragraph on a desktop, below it on a phone and on paper, over nothing."""

import pytest

pytestmark = pytest.mark.browser

PAGE = "book/concepts/attention.html"
PLACES = """() => [...document.querySelectorAll(".noted")].map(one => {
    const [text, note] = [...one.children].map(part => part.getBoundingClientRect());
    return { text: text.toJSON(), note: note.toJSON() };
})"""
# What stands in the article and is drawn over a note: other notes, and what is wider than the text.
COVERED = """() => {
    const boxes = [...document.querySelectorAll(".margin-note")].map(one => [one, one.getBoundingClientRect()]);
    const others = document.querySelectorAll("article :is(p, li, pre, img, svg, table, figure, .margin-note)");
    return boxes.flatMap(([note, a]) => [...others]
        .filter(one => !note.contains(one) && !one.contains(note) && one.checkVisibility())
        .filter(one => { const b = one.getBoundingClientRect();
            return b.left < a.right && a.left < b.right && b.top < a.bottom && a.top < b.bottom; })
        .map(one => `${note.textContent.trim()} / ${one.outerHTML.slice(0, 120)}`));
}"""


@pytest.mark.parametrize("width", [1280, 1920])
def test_on_a_desktop_a_note_stands_beside_the_beginning_of_its_paragraph(stay, address, width):
    page, log = stay(f"{address}/{PAGE}", width=width)
    places = page.evaluate(PLACES)
    assert len(places) > 3
    for place in places:
        assert place["note"]["left"] > place["text"]["right"]
        assert place["note"]["right"] <= width
        assert abs(place["note"]["top"] - place["text"]["top"]) < 20
    assert page.evaluate(COVERED) == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert log.errors == []


def test_the_pages_contents_make_room_for_a_note_that_is_on_the_screen(stay, address):
    page, _ = stay(f"{address}/{PAGE}", width=1280)
    page.locator(".margin-note").nth(3).scroll_into_view_if_needed()
    page.evaluate("document.querySelectorAll('.margin-note')[3].scrollIntoView({block: 'center'})")
    page.wait_for_selector(".bd-sidebar-secondary.hide")


@pytest.mark.parametrize("media", ["screen", "print"])
def test_on_a_phone_and_on_paper_a_note_follows_its_paragraph(visit, address, media):
    page, _ = visit(f"{address}/{PAGE}", width=360 if media == "screen" else 1280)
    page.emulate_media(media=media)
    for place in page.evaluate(PLACES):
        assert place["note"]["top"] >= place["text"]["bottom"] - 8
        assert place["note"]["left"] >= place["text"]["left"] - 1
        assert place["note"]["right"] <= place["text"]["right"] + 1


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_note_has_no_violation_that_axe_knows_of(stay, axe, address, dark):
    page, _ = stay(f"{address}/{PAGE}", width=1280, dark=dark)
    assert axe(page, ".noted") == []
