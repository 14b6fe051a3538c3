"""Each page of the built book: quiet, light, accessible, and whole on a phone.

A page is opened once. What holds for every page is asked of it there: no error, no request to another host, at most
1.5 MB and so many nodes, a first paint for which a line of 10 Mbit/s needs at most a second, no violation that
axe-core knows of, in both themes, and nothing cut off at 360 pixels.
"""

import math
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Response

pytestmark = pytest.mark.browser

PARTS = 20  # the pages are shared out, so that they are begun early and a fault is near
# Bytes that a page loads before its reader asks for anything, none of them compressed, and its nodes. A page of the
# appendix lists all there is of something, and the reference is looked up in, not read.
CHAPTER, INDEX, REFERENCE = (1_500_000, 8_000), (1_500_000, 18_000), (2_500_000, 32_000)
FONTS = 150_000  # bytes of the fonts among them
# What a first paint waits for: the page, though a part of it would do, the styles and scripts that block it, and the
# fonts that are asked for at once. The seconds are those of bytes and round trips; benchmarks/reader.py takes the time.
SECOND, LINE, ROUND_TRIP, AT_ONCE = 1.0, 10_000_000 / 8, 0.04, 6  # bytes and seconds; requests side by side
BLOCKING = """() => {
    const early = new Set([...document.querySelectorAll("link[rel=preload]")].map(one => one.href));
    const others = performance.getEntriesByType("resource")
        .filter(one => one.renderBlockingStatus === "blocking" || early.has(one.name));
    const all = [...performance.getEntriesByType("navigation"), ...others];
    return [all.reduce((sum, one) => sum + one.decodedBodySize, 0), others.length];
}"""

# Contrast is a matter of style, so one element of each kind is asked, with all that is in it; axe looks long at each.
# The pages have their styles in common: a kind that was found right on one of them is not asked again on another.
MARK = """known => {
    const asked = new Set(known), kinds = new Map();
    const kind = one => one ? `${one.tagName}.${[...one.classList].sort().join(".")}${one.style.cssText}` : "";
    for (const one of document.querySelectorAll("body *")) {
        one.removeAttribute("data-asked");
        if (one.closest("math, svg, script, style, .ca") || !one.checkVisibility()) continue;
        if (![...one.childNodes].some(node => node.nodeType === 3 && node.data.trim())) continue;
        const chain = [one, one.parentElement, one.closest(".admonition, table, figure, nav, pre, details, header")];
        const key = chain.map(kind).join(" < ");
        if (!asked.has(key) && !kinds.has(key)) kinds.set(key, one);
    }
    for (const one of kinds.values()) one.setAttribute("data-asked", "");
    axe.configure({ rules: [{ id: "color-contrast", selector: "[data-asked], [data-asked] *" }] });
    return [...kinds.keys()];
}"""
# All rules and the contrast in one theme are asked at once: axe makes its map of a page, which takes longest, once.
ALL = {"rules": {"color-contrast-enhanced": {"enabled": False}, "target-size": {"enabled": False}}}
CONTRAST = {"runOnly": ["color-contrast"]}
ASK = """async options => {
    const { violations } = await axe.run(document, { ...options, resultTypes: ["violations"] });
    // axe takes a formula for no text
    const isFormula = (id, { html }) => id === "empty-table-header" && html.includes("<math");
    for (const one of violations) one.nodes = one.nodes.filter(node => !isFormula(one.id, node));
    return violations.filter(one => one.nodes.length > 0).flatMap(({ id, nodes }) => id === "color-contrast"
        ? nodes.map(node => `${node.failureSummary.split("\\n")[1]} ${node.html}`)
        : [`${id}: ${nodes.slice(0, 3).map(node => node.html.slice(0, 160))}`]);
}"""
# The numbers of equations that their boxes cut.
NUMBERS = """() => [...document.querySelectorAll("div.math .eqno")].filter(one => {
    const range = document.createRange();
    range.selectNodeContents(one.firstChild);
    return range.getBoundingClientRect().right > one.parentElement.getBoundingClientRect().right + 1;
}).map(one => one.textContent)"""
# What is wider than the screen and can neither be scrolled nor is within what can.
CUT = """() => [...document.querySelectorAll("article :is(p, li, td, pre, .math, img, svg, table, .admonition)")]
    .filter(one => one.checkVisibility() && one.getBoundingClientRect().right > innerWidth + 1)
    .filter(one => { for (let box = one; box; box = box.parentElement) {
        if (/auto|scroll/.test(getComputedStyle(box).overflowX)) return false; }
        return true; })
    .map(one => one.outerHTML.slice(0, 160))"""


@pytest.fixture(scope="module")
def axe_source(root: Path) -> str:
    return (root / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


def pages(book: Path) -> list[str]:
    """The addresses of all pages below the root of the book."""
    return sorted(path.relative_to(book).as_posix() for path in book.rglob("*.html") if "_static" not in path.parts)


def limits(name: str) -> tuple[int, int]:
    """The bytes and the nodes that a page may have."""
    if "/appendix/" not in name:
        return CHAPTER
    return REFERENCE if "/api/" in name else INDEX


def until_painted(page: Page) -> float:
    """Seconds that the line needs for what a first paint waits for."""
    size, others = page.evaluate(BLOCKING)
    return (1 + math.ceil(others / AT_ONCE)) * ROUND_TRIP + size / LINE


def loaded(visit: Any, address: str) -> tuple[Page, Any, list[tuple[str, int]]]:
    """A page with everything that it loads by itself: each address, and its size."""
    responses: list[Response] = []
    page, log = visit("about:blank", width=1280)  # with the contents of the page beside it
    page.on("response", lambda response: responses.append(response))
    page.goto(address)
    page.wait_for_load_state("networkidle")
    return page, log, [(one.url, int(one.headers.get("content-length", 0))) for one in responses if one.ok]


@pytest.fixture(scope="module")
def known_right() -> dict[str, set[str]]:
    """The kinds of elements whose contrast was found right, by theme."""
    return {"light": set(), "dark": set()}


def violations(page: Page, known: dict[str, set[str]]) -> list[str]:
    """What axe-core finds on a page; of its contrast, in both themes, what is not known to be right."""
    found = []
    for theme, options in (("light", ALL), ("dark", CONTRAST)):
        page.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
        kinds = page.evaluate(MARK, sorted(known[theme]))
        if not kinds and options is CONTRAST:
            continue
        # preload: axe reads the style sheets once more, for one rule that looks for a lock of the screen's orientation.
        faults = page.evaluate(ASK, options | {"preload": not known["light"]})
        found += [f"{theme}: {one}" for one in faults]
        if not faults:
            known[theme] |= set(kinds)
    return found


@pytest.mark.parametrize("part", range(PARTS))
def test_every_page_is_quiet_light_accessible_and_whole_on_a_phone(visit, address, book, axe_source, known_right, part):
    names = pages(book)
    assert len(names) > PARTS
    faults: dict[str, list[Any]] = {}
    for name in names[part::PARTS]:
        page, log, sizes = loaded(visit, f"{address}/{name}")
        found: list[Any] = [*log.errors, *(log.hosts() - {address.removeprefix("http://")})]
        # The page of the search has been asked for the index that it loads, before it can show anything.
        is_search = name == "search.html"
        weight = sum(size for url, size in sizes if "searchindex.js" not in url)
        fonts = sum(size for url, size in sizes if "/fonts/" in url)
        nodes = page.evaluate("document.getElementsByTagName('*').length")
        heaviest, most = limits(name)
        found += [f"{weight} bytes"] * (weight > heaviest) + [f"{fonts} bytes of fonts"] * (fonts > FONTS)
        found += [f"{nodes} nodes"] * (nodes > most)
        if heaviest <= CHAPTER[0] and not is_search and (seconds := until_painted(page)) > SECOND:
            found.append(f"{seconds:.2f} s of a line of 10 Mbit/s before the first paint")
        found += [f"cut off: equation {one}" for one in page.evaluate(NUMBERS)]
        page.evaluate(axe_source)
        found += violations(page, known_right)
        page.set_viewport_size({"width": 360, "height": 800})
        found += [f"cut off: {one}" for one in page.evaluate(CUT)]
        if found:
            faults[name] = found
        page.close()
    assert faults == {}
