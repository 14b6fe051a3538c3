"""Measure pages: an attention page beside those of peers from PyPI, and the built book: the size of its pages, its
notebooks and its build. What a reader meets on the pages is measured by ``benchmarks/reader.py``.

Run by hand, with the book built: ``python benchmarks/pages.py``, or ``make bench``. Writes
``benchmarks/results/pages.json``.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from interleaved import OURS, MissingPeerError, compared, peer
from report import arguments, write
from torch import Tensor

from companion.widgets.attention_view import AttentionView

ROOT = Path(__file__).resolve().parents[1]
LAYERS, HEADS, TOKENS = 12, 12, 64
WEIGHED = (".html", ".css", ".js")  # what a page is made of, beside what it fetches on a click


def attention() -> Tensor:
    """Attention (layers, heads, query, key) of a model of BERT-base's size, the same each time."""
    scores = torch.randn(LAYERS, HEADS, TOKENS, TOKENS, generator=torch.Generator().manual_seed(0))
    return scores.mul_(0.25).softmax(-1)


LABELS = [f"token{number}" for number in range(TOKENS)]


def page_ours() -> str:
    """Our page: all heads, everything inline."""
    return AttentionView(LABELS, attention()).to_html()


def page_bertviz() -> str:
    """The head view of bertviz, which asks other hosts for its libraries when it is opened."""
    from bertviz import head_view

    page = head_view(list(attention()[:, None]), LABELS, html_action="return")
    return str(page.data)


def page_attnview() -> str:
    """The report of attnview."""
    import attnview

    layers = {("pattern", number): layer[None] for number, layer in enumerate(attention())}
    return str(attnview.render_html(attnview.AttentionStudy.from_cache(layers, tokens=LABELS)))


PAGES = {OURS: page_ours, "bertviz": page_bertviz, "attnview": page_attnview}


def maker(name: str) -> Callable[[], Callable[[], object]]:
    """A function that makes the program of a page, or says that its peer is missing."""

    def make() -> Callable[[], object]:
        if name != OURS:
            peer(name)
        return PAGES[name]

    return make


def of_peers(rounds: int) -> dict[str, Any]:
    """Seconds to write an attention page, and its size."""
    found = compared({name: maker(name) for name in PAGES}, rounds)
    sizes = {name: len(PAGES[name]().encode()) / 1e6 for name in found["seconds"]}
    ratios = {name: round(size / sizes[OURS], 3) for name, size in sizes.items() if name != OURS}
    return found | {"MB": {name: round(size, 3) for name, size in sizes.items()}, "size_ratios": ratios}


def of_book(built: Path) -> dict[str, Any]:
    """Weight of the book's pages, in MB; what several pages share is counted once beside them."""
    pages = [path.stat().st_size / 1e6 for path in built.glob("book/**/*.html")]
    shared = sum(path.stat().st_size for path in (built / "_static").rglob("*") if path.suffix in WEIGHED) / 1e6
    return {
        "pages": len(pages),
        "median_MB": round(statistics.median(pages), 3),
        "largest_MB": round(max(pages), 2),
        "shared_MB": round(shared, 2),
    }


def of_notebooks(outputs: Path) -> dict[str, float]:
    """Seconds that the notebooks took when they were run last, one at a time or side by side."""
    sys.path.append(str(ROOT / "book" / "_ext"))
    from stored_outputs import seconds

    found = seconds(outputs)
    slowest = max(found, key=lambda name: found[name])
    return {
        "notebooks": len(found),
        "sum_s": round(sum(found.values())),
        f"slowest_s, {slowest}": round(found[slowest]),
    }


def build_again() -> float:
    """Seconds of wall clock of a build of the pages where nothing was edited since the last."""
    started = time.monotonic()
    subprocess.run([sys.executable, str(ROOT / "tools" / "build_book.py")], check=True, stdout=subprocess.DEVNULL)
    return round(time.monotonic() - started, 1)


def main() -> None:
    """Measure all of it, and write it down; what needs the built book is left out where there is none."""
    rounds = arguments(__doc__, seeds=0, rounds=5).rounds
    table: dict[str, Any] = {"attention page": of_peers(rounds)}
    built = ROOT / "_build" / "html"
    if (built / "book").is_dir():
        table |= {
            "book": of_book(built),
            "notebooks": of_notebooks(ROOT / "_build" / "outputs"),
        }
        table["build_again_s"] = build_again()
    else:
        table["left_out"] = {"book": "not built: make book"}
    peers = {}
    for name in ("bertviz", "attnview"):
        try:
            peers[name] = peer(name)
        except MissingPeerError as error:
            print(f"{name}: {error}")
    write("pages", {"peers": peers, "table": table})


if __name__ == "__main__":
    main()
