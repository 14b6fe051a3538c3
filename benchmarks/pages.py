"""Measure the built book: the size of its pages, its notebooks and its build. What a reader meets on the pages is
measured by ``benchmarks/reader.py``, and an attention page beside those of others by ``benchmarks/viewers.py``.

Run by hand, with the book built: ``python benchmarks/pages.py``, or ``make bench``. Writes
``benchmarks/results/pages.json``.
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from report import arguments, write

ROOT = Path(__file__).resolve().parents[1]
WEIGHED = (".html", ".css", ".js")  # what a page is made of, beside what it fetches on a click


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


def of_each(outputs: Path) -> dict[str, float]:
    """Seconds that each notebook took when it was run last, one at a time or side by side."""
    sys.path.append(str(ROOT / "book" / "_ext"))
    from stored_outputs import seconds

    return {name: round(found, 1) for name, found in seconds(outputs).items()}


def of_notebooks(found: dict[str, float]) -> dict[str, float]:
    """Seconds of all notebooks."""
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
    """Measure all of it, and write it down, or that there is no book."""
    arguments(__doc__, seeds=0)
    built = ROOT / "_build" / "html"
    table: dict[str, Any] = {"left_out": {"book": "not built: make book"}}
    each = of_each(ROOT / "_build" / "outputs")
    if (built / "book").is_dir():
        table = {
            "book": of_book(built),
            "notebooks": of_notebooks(each),
            "build_again_s": build_again(),
        }
    # The longest are run first by whoever has not run any: book/_ext/stored_outputs.py.
    write("pages", {"table": table, "notebook_seconds": each})


if __name__ == "__main__":
    main()
