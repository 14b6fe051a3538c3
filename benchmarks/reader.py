"""Measure what a reader meets on the built pages: weight and first paint on a line of 10 Mbit/s, how much of a chapter
is code and where its first widget stands, what a phone has to scroll, what the search finds, contrast, accessibility.

Run by hand, with the book built: ``python benchmarks/reader.py``. Writes ``benchmarks/results/reader.json`` and prints
the same as a table.
"""

import statistics
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from report import arguments, write

ROOT = Path(__file__).resolve().parents[1]
for folder in ("tools", "book/_ext"):
    sys.path.append(str(ROOT / folder))

LINE, LATENCY = 10_000_000 / 8, 40  # bytes per second, milliseconds
LETTERS = {"figure": 13, "drawing": 12}  # pixels of the smallest letters where a picture has its natural size
QUERIES = {
    "attention": "concepts/attention.html",
    "注意力": "concepts/attention.html",
    "KV cache": "algorithms/gpt.html",
}
LOOKED_AT = ("index", "attention", "gpt", "rise", "losses", "glossary")  # pages that axe reads whole, in both themes

BEFORE_PAINT = """() => {
    const early = new Set([...document.querySelectorAll("link[rel=preload]")].map(one => one.href));
    const others = performance.getEntriesByType("resource")
        .filter(one => one.renderBlockingStatus === "blocking" || early.has(one.name));
    const all = [...performance.getEntriesByType("navigation"), ...others];
    return all.reduce((sum, one) => sum + one.decodedBodySize, 0) / 1e6;
}"""
CODE = """() => {
    const article = document.querySelector("article").getBoundingClientRect();
    const cells = document.querySelectorAll("article .cell_input .highlight pre");
    const seen = [...cells].filter(one => one.checkVisibility());
    const lines = seen.flatMap(one => {
        const box = one.getBoundingClientRect(), text = one.textContent.trimEnd().split("\\n");
        return text.slice(0, Math.max(1, Math.round(text.length * Math.min(1, box.height / one.scrollHeight))));
    });
    const height = seen.reduce((sum, one) => sum + one.getBoundingClientRect().height, 0);
    const widget = document.querySelector("article .ca, article figure.companion-widget");
    const top = widget ? (widget.getBoundingClientRect().top - article.top) / article.height : null;
    return { lines: lines.length, asserts: lines.filter(one => /^\\s*assert\\b/.test(one)).length,
             height: height / article.height, widget: top,
             widgets: document.querySelectorAll("article figure.companion-widget").length };
}"""
PHONE = """letters => {
    const shown = one => one.checkVisibility();
    const wide = document.querySelectorAll("article :is(pre, div.math, .output, .wide-figure, table)");
    const boxes = [...wide].filter(shown);
    const sizes = [...document.querySelectorAll("article .wide-figure")].filter(shown).map(one => {
        const natural = Number.parseFloat(one.style.getPropertyValue("--natural"));
        const image = [...one.querySelectorAll("img")].find(shown);
        const kind = one.classList.contains("drawing") ? "drawing" : "figure";
        return letters[kind] * image.getBoundingClientRect().width / natural;
    });
    return { sideways: document.documentElement.scrollWidth > innerWidth + 1 ? 1 : 0,
             scrolled: boxes.filter(one => one.scrollWidth > one.clientWidth + 1).length,
             screens: document.documentElement.scrollHeight / innerHeight,
             letters: sizes.length ? Math.min(...sizes) : null };
}"""


def places(built: Path, chapters: bool = False) -> list[str]:
    """Addresses of the pages below the root of the site, in the order of their names; or of the chapters alone."""
    found = [path.relative_to(built).as_posix() for path in sorted(built.glob("book/**/*.html"))]
    return [place for place in found if not chapters or (place.count("/") == 2 and "/appendix/" not in place)]


@contextmanager
def opened(browser: Any, address: str, width: int = 1280, slow: bool = False) -> Iterator[tuple[Any, list[Any]]]:
    """A page in a browser that has seen none before, with all that it loads by itself, and its responses."""
    context = browser.new_context(viewport={"width": width, "height": 900}, reduced_motion="reduce")
    page, responses = context.new_page(), list[Any]()
    page.on("response", lambda response: responses.append(response))
    if slow:
        line = {"offline": False, "latency": LATENCY, "downloadThroughput": LINE, "uploadThroughput": LINE}
        context.new_cdp_session(page).send("Network.emulateNetworkConditions", line)
    page.goto(address, timeout=120_000)
    page.wait_for_load_state("networkidle", timeout=120_000)
    yield page, responses
    context.close()


def weight(browser: Any, address: str) -> dict[str, float]:
    """Megabytes, requests and nodes of a page, uncompressed, and what it needs and takes until its first paint."""
    with opened(browser, address, slow=True) as (page, responses):
        paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0")
        return {
            "MB": sum(len(response.body()) for response in responses if response.ok) / 1e6,
            "requests": len(responses),
            "nodes": page.evaluate("document.getElementsByTagName('*').length"),
            "MB before the first paint": page.evaluate(BEFORE_PAINT),
            "first_paint_s": paint / 1000,
        }


def code(browser: Any, address: str) -> dict[str, float | None]:
    """How much of a page is code that is seen, how much of that are checks, and where its first widget begins."""
    with opened(browser, address) as (page, _):
        found: dict[str, float | None] = page.evaluate(CODE)
        said = page.locator("article .cell_output").all_inner_texts()
        return found | {"verdicts": sum("✗ Your function" in text for text in said)}


def phone(browser: Any, address: str) -> dict[str, float | None]:
    """What is wider than a phone, how many screens a page has, and its smallest letter in a picture, in pixels."""
    with opened(browser, address, width=360) as (page, _):
        found: dict[str, float | None] = page.evaluate(PHONE, LETTERS)
        return found


def ranks(browser: Any, site: str) -> dict[str, int]:
    """Place of the page that teaches it among the results of a query; 0 where it is not among them."""
    found = {}
    for query, wanted in QUERIES.items():
        with opened(browser, f"{site}search.html?q={query}") as (page, _):
            page.locator("#search-results p.search-summary").wait_for()
            links = page.locator("#search-results ul.search li > a")
            addresses = links.evaluate_all("all => all.map(one => one.getAttribute('href'))")
            found[query] = next((n for n, one in enumerate(addresses, 1) if wanted in one), 0)
    return found


def violations(browser: Any, site: str, built: Path) -> dict[str, int]:
    """Rules of axe-core that some page breaks, with the number of nodes, over both themes."""
    source = (ROOT / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
    found: dict[str, int] = {}
    for place in places(built):
        if Path(place).stem not in LOOKED_AT:
            continue
        with opened(browser, site + place) as (page, _):
            page.evaluate(source)
            for theme in ("light", "dark"):
                page.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
                for one in page.evaluate("axe.run(document).then(found => found.violations)"):
                    found[one["id"]] = found.get(one["id"], 0) + len(one["nodes"])
    return found


def contrast() -> dict[str, float]:
    """The lowest contrast of a colour of the figures to the page, in each theme (WCAG 2)."""
    from figure_themes import THEMES

    paper = {"light": "#fdfdfb", "dark": "#14181d"}
    return {
        theme: round(min(_ratio(colour, paper[theme]) for colour in colours.values()), 2)
        for theme, colours in THEMES.items()
    }


def _ratio(first: str, second: str) -> float:
    """Contrast of two colours."""
    low, high = sorted(map(_luminance, (first, second)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    """Relative luminance of a colour."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def of_all(browser: Any, site: str, pages: list[str], measure: Callable[[Any, str], Mapping[str, float | None]]) -> Any:
    """The median, the sum and the worst of each number over pages, and the page that has it."""
    found = {place: measure(browser, site + place) for place in pages}
    table = {}
    for name in next(iter(found.values())):
        values = {place: one[name] for place, one in found.items() if one[name] is not None}
        numbers = [float(value) for value in values.values() if value is not None]
        worst = (min if name == "letters" else max)(values, key=lambda place: values[place] or 0)
        table[name] = {
            "median": round(statistics.median(numbers), 2),
            "sum": round(sum(numbers), 2),
            "worst": values[worst],
            "page": Path(worst).stem,
        }
    return table


def main() -> None:
    """Measure all of it, print it and write it down."""
    arguments(__doc__, seeds=0)
    built = ROOT / "_build" / "html"
    if not (built / "book").is_dir():
        sys.exit("No book yet: run 'make book' first.")
    from chromium import chromium
    from serve import server

    with server(built, 0) as pages, chromium() as browser:
        threading.Thread(target=pages.serve_forever, daemon=True).start()
        site = f"http://127.0.0.1:{pages.server_port}/"
        chapters = places(built, chapters=True)
        table = {
            "weight": of_all(browser, site, places(built), weight),
            "code": of_all(browser, site, chapters, code),
            "phone": of_all(browser, site, places(built), phone),
            "search": ranks(browser, site),
            "axe": violations(browser, site, built),
            "contrast": contrast(),
        }
        pages.shutdown()
    for kind, numbers in table.items():
        for name, value in numbers.items():
            print(f"{kind:10}{name:28}{value}")
    write("reader", {"pages": len(places(built)), "chapters": len(chapters), "table": table})


if __name__ == "__main__":
    main()
