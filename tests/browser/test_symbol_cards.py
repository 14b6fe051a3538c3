"""Pointing at the symbols of equations: every equation of the book as it is set, and the card on a real page."""

from pathlib import Path

import pytest
import symbol_hover as hover
from equation_sources import sources
from mathematics import lines, mathml
from playwright.sync_api import Page

from companion.lessons import equation

pytestmark = pytest.mark.browser

PAGE = "book/algorithms/gpt.html"
FORWARD = "#equation-eq-gpt-forward"
CHAIN = "#equation-eq-gpt-chain-rule"

# By how many pixels, at most, a glyph, rule or word of each wrapped equation stands elsewhere, or is larger, than in
# the plain one before it; infinity where there are more or fewer. A box without width draws nothing. The space beside
# an operator depends on what it stands beside, so a class may move what follows by the width of a thin letter.
LETTER = 12
MOVED = """() => {
    const boxes = block => {
        const whole = block.querySelector("math").getBoundingClientRect();
        const parts = block.querySelectorAll("math :is(mi, mo, mn, mtext, mfrac, msqrt)");
        const drawn = [...parts].map(part => part.getBoundingClientRect()).filter(box => box.width > 0);
        return [whole, ...drawn].flatMap(box => [box.left - whole.left, box.top - whole.top, box.width, box.height]);
    };
    return [...document.querySelectorAll(".wrapped")].map(wrapped => {
        const [before, after] = [boxes(wrapped.previousElementSibling), boxes(wrapped)];
        if (before.length !== after.length) return Infinity;
        return Math.max(...before.map((number, place) => Math.abs(number - after[place])));
    });
}"""

# The symbols that a mouse somewhere on them would point at, for each equation.
REACHED = """() => {
    const places = [];
    for (let x = 0.05; x < 1; x += 0.1) for (let y = 0.1; y < 1; y += 0.2) places.push([x, y]);
    return [...document.querySelectorAll(".wrapped")].map(block => {
        block.scrollIntoView({ block: "center" });
        const reached = new Set();
        for (const symbol of block.querySelectorAll("math .llm-symbol")) {
            const number = Number(symbol.className.match(/llm-symbol-(\\d+)/)[1]);
            if (reached.has(number)) continue;
            const { left, top, width, height } = symbol.getBoundingClientRect();
            const under = ([x, y]) => document.elementFromPoint(left + x * width, top + y * height);
            if (places.some(place => under(place)?.closest(".llm-symbol") === symbol)) reached.add(number);
        }
        return [...reached].sort((a, b) => a - b);
    });
}"""


@pytest.fixture(scope="module")
def equations() -> list[tuple[str, str, str, list[int]]]:
    """Each equation: its label, its source, that with wrappers, and the places of the symbols that are in it."""
    found = []
    for label, source in sources().items():
        symbols = equation(label).symbols
        there = sorted({wrap.symbol for wrap in hover.wraps(source, symbols)})
        found.append((label, source, hover.hoverable(source, symbols), there))
    return found


@pytest.fixture
def every_equation(visit, root: Path, tmp_path: Path, equations) -> Page:
    """A page of every equation of the book, plain and wrapped, as the book sets it."""
    blocks = (
        f'<div class="{name}">{mathml(lines(tex), display=True)}</div>'
        for _, plain, wrapped, _ in equations
        for name, tex in (("plain", plain), ("wrapped", wrapped))
    )
    style = (root / "book" / "_static" / "mathematics.css").read_text(encoding="utf-8")
    (tmp_path / "index.html").write_text(
        f'<!doctype html><meta charset="utf-8"><style>{style}</style>' + "\n".join(blocks), encoding="utf-8"
    )
    page, log = visit((tmp_path / "index.html").as_uri(), width=1280)
    assert log.errors == []
    return page


def test_every_equation_of_the_book_is_set_as_without_wrappers_and_its_symbols_can_be_pointed_at(
    every_equation: Page, equations
):
    assert every_equation.locator("math").count() == 2 * len(equations)
    assert every_equation.locator("merror").count() == 0
    moved, reached = every_equation.evaluate(MOVED), every_equation.evaluate(REACHED)
    for (label, _, _, there), pixels, found in zip(equations, moved, reached, strict=True):
        assert pixels < LETTER, label
        assert found == there, label


@pytest.fixture
def gpt(stay, address):
    """Open the chapter and wait for its mathematics; the card is then ``.symbol-card``."""

    def open_page(**settings) -> Page:
        page, _ = stay(f"{address}/{PAGE}", **settings)
        page.keyboard.press("Escape")
        page.mouse.move(2, 2)
        page.evaluate("document.fonts.ready.then(() => null)")
        return page

    return open_page


def symbol(page: Page, block: str, number: int, at: int = 0):
    """A symbol of an equation, on the screen."""
    found = page.locator(f"{block} math .llm-symbol-{number}").nth(at)
    found.evaluate("one => one.scrollIntoView({ block: 'center', inline: 'center' })")
    return found


def said(page: Page) -> str:
    """The meaning that the card shows; nothing if there is no card."""
    meaning = page.locator(".symbol-card-shown .symbol-card-meaning")
    return meaning.inner_text() if meaning.count() else ""


def test_the_mouse_shows_meaning_and_shape_and_lights_the_symbol_everywhere(gpt):
    page = gpt()
    symbol(page, FORWARD, 1).hover()
    row = page.locator(f"{FORWARD} + details tbody tr").nth(1)
    for place, part in enumerate(("tex", "meaning", "shape")):
        assert page.locator(f".symbol-card-{part}").inner_html() == row.locator("td").nth(place).inner_html()
    assert page.locator(f"{FORWARD} .llm-lit").count() == page.locator(f"{FORWARD} math .llm-symbol-1").count() == 2
    assert page.locator(f"{FORWARD} .llm-here").count() == 1
    page.mouse.move(2, 2)
    page.wait_for_selector(".symbol-card-shown", state="detached")
    assert page.locator(".llm-lit").count() == 0


def test_the_mouse_may_move_onto_the_card_and_escape_closes_it(gpt):
    page = gpt()
    symbol(page, FORWARD, 1).hover()
    page.locator(".symbol-card-shown").hover()
    page.wait_for_timeout(500)
    assert page.locator(".symbol-card-shown").count() == 1
    page.keyboard.press("Escape")
    assert page.locator(".symbol-card-shown").count() == 0


def test_the_innermost_symbol_is_shown(gpt):
    page = gpt()
    box = symbol(page, CHAIN, 3).bounding_box()
    page.mouse.move(box["x"] + 3, box["y"] + box["height"] / 2)
    assert said(page).startswith("probability of a token")
    symbol(page, CHAIN, 1, at=2).hover()
    assert not said(page).startswith("probability")
    assert said(page)


def test_arrow_keys_walk_through_the_symbols_in_their_order(gpt):
    page = gpt()
    block = page.locator(CHAIN)
    block.focus()
    assert block.get_attribute("role") == "group"
    assert "arrow keys" in block.get_attribute("aria-label")
    count = page.locator(f"{CHAIN} math .llm-symbol").count()
    here = "([...document.querySelectorAll('SYMBOLS')].findIndex(one => one.classList.contains('llm-here')))"
    here = here.replace("SYMBOLS", f"{CHAIN} math .llm-symbol")
    seen = []
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "ArrowLeft", "End", "ArrowRight", "Home"):
        page.keyboard.press(key)
        page.wait_for_timeout(50)  # what scrolled has told so
        seen.append(page.evaluate(here))
        assert said(page)
    assert seen == [0, 1, 0, 0, count - 1, count - 1, 0]
    page.keyboard.press("Escape")
    assert not said(page)
    page.keyboard.press("ArrowLeft")
    assert page.evaluate(here) == count - 1
    page.keyboard.press("Tab")
    assert not said(page)


def text_without_symbols(page) -> tuple[float, float]:
    """A point of the screen on a line of plain text, as far from every symbol as the screen allows."""
    x, y = page.evaluate(
        """() => {
            const boxes = [...document.querySelectorAll("math .llm-symbol")].map(s => s.getBoundingClientRect());
            const near = y => Math.min(...boxes.map(b => Math.max(b.top - y, y - b.bottom, 0)));
            const heights = [...Array(Math.floor(innerHeight / 10)).keys()].map(n => 10 * n + 5);
            const plain = heights.filter(y => document.elementFromPoint(180, y)?.closest("article p, article li"));
            return [180, plain.sort((a, b) => near(b) - near(a))[0]];
        }"""
    )
    return x, y


def test_a_finger_opens_the_card_beside_a_small_symbol_too_and_closes_it_elsewhere(gpt, tap):
    page = gpt(width=360, touch=True)
    box = symbol(page, FORWARD, 1).bounding_box()
    tap(lambda: page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] - 4), lambda: said(page))
    page.evaluate("window.scrollTo(0, 0)")
    page.wait_for_function("!document.querySelector('.symbol-card-shown')")  # it went off the screen with its symbol
    tap(symbol(page, FORWARD, 1).tap, lambda: said(page))
    tap(lambda: page.touchscreen.tap(*text_without_symbols(page)), lambda: not said(page))


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_card_of_every_symbol_is_readable_and_on_the_screen(gpt, axe, width, dark):
    page = gpt(width=width, dark=dark)
    for edge in ("start", "end"):
        outside = page.evaluate(
            """edge => [...document.querySelectorAll("math .llm-symbol")].filter(symbol => {
                symbol.scrollIntoView({ block: edge, inline: "nearest" });
                symbol.dispatchEvent(new PointerEvent("pointerover", { bubbles: true, pointerType: "mouse" }));
                const box = document.querySelector(".symbol-card-shown").getBoundingClientRect();
                return box.left < 0 || box.top < 0 || box.right > document.documentElement.clientWidth
                    || box.bottom > window.innerHeight || box.height < 30;
            }).map(symbol => symbol.textContent)""",
            edge,
        )
        assert outside == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.locator(".symbol-card-shown").count() == 1
    assert axe(page, ".symbol-card") == []
    assert axe(page, CHAIN) == []
