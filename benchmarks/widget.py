"""Measure AttentionView: from keystroke to picture in the built book and in JupyterLab. Its page without a model is
measured by ``benchmarks/viewers.py``.

Run by hand, with the book built: ``python benchmarks/widget.py``. Writes ``benchmarks/results/widget.json``.
"""

import argparse
import contextlib
import functools
import http.server
import json
import os
import platform
import statistics
import sys
import tempfile
import threading
from importlib.metadata import version
from pathlib import Path

import nbformat
from playwright.sync_api import Page, TimeoutError

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))
from chromium import chromium

from notebook_servers import jupyterlab

ROOT = Path(__file__).resolve().parents[1]
SEED = 0
KEYSTROKES = 25
TEXT = "Tom is in the garden. Anna is in the park. Anna "
MORE = "goes to the garden. Tom takes the key"
# From the keystroke to the second frame after the tokens are there: what the reader waits for.
WATCH = """where => {
  window.waits = [];
  const view = document.querySelector(where);
  const box = view.querySelector('textarea'), strip = view.querySelector('.ca-strip');
  let start = null;
  box.addEventListener('input', () => { start = performance.now(); }, true);
  new MutationObserver(() => {
    if (start === null) return;
    const from = start; start = null;
    requestAnimationFrame(() => requestAnimationFrame(() => window.waits.push(performance.now() - from)));
  }).observe(strip, { childList: true });
}"""


def type_and_wait(page: Page, where: str) -> dict[str, float | int]:
    """Type one letter after the other into a view, each after the answer to the one before, and report the waits."""
    view = page.locator(where).first
    box = view.locator("textarea")
    box.fill(TEXT)
    page.wait_for_timeout(4000)  # the model is loaded and warm
    page.evaluate(WATCH, where)
    box.focus()
    page.keyboard.press("Control+End")
    for number, letter in enumerate(MORE[:KEYSTROKES], 1):
        page.keyboard.type(letter)
        page.wait_for_function("n => window.waits.length >= n", arg=number)
    waits = sorted(page.evaluate("window.waits"))
    return {
        "keystrokes": len(waits),
        "median_ms": round(statistics.median(waits), 1),
        "p90_ms": round(waits[int(0.9 * len(waits))], 1),
        "tokens": view.locator(".ca-token").count(),
        "status": view.locator(".ca-status").inner_text(),
    }


def in_the_page(browser, folder: Path) -> dict[str, float | int]:
    """The built book, over a plain file server."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _quiet(folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    page = browser.new_page()
    page.goto(f"http://127.0.0.1:{server.server_port}/book/index.html")
    page.wait_for_selector(".ca-token")
    result = type_and_wait(page, "figure[data-model=storyworld-en] .ca")
    server.shutdown()
    page.close()
    return result


def _quiet(folder: Path) -> functools.partial:
    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    return functools.partial(Handler, directory=str(folder))


def run_first_cell(page: Page) -> None:
    """Run it, again where JupyterLab drops a request that came before its kernel was connected."""
    for _ in range(6):
        page.locator(".jp-CodeCell .cm-content").first.click()
        page.keyboard.press("Shift+Enter")
        with contextlib.suppress(TimeoutError):
            page.wait_for_selector(".ca-token", timeout=20_000)
            return
    raise RuntimeError("JupyterLab did not show the widget")


def in_jupyterlab(browser) -> dict[str, float | int]:
    """A kernel's round trip, through a real server and a real browser."""
    cell = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\nfrom companion import zoo\n"
        f"from companion.widgets import AttentionView\nAttentionView.live(*zoo.load('storyworld-en'), {TEXT!r})"
    )
    with tempfile.TemporaryDirectory() as name:
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
        nbformat.write(notebook, Path(name) / "live.ipynb")
        with jupyterlab(Path(name), {}) as address:
            page = browser.new_page(viewport={"width": 1300, "height": 1000})
            page.goto(address("live.ipynb"))
            page.wait_for_selector(".jp-CodeCell .cm-content", timeout=120_000)
            page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status='idle']", timeout=60_000)
            run_first_cell(page)
            result = type_and_wait(page, ".ca")
            page.close()
    return result


def main() -> None:
    """Measure everything, print it, and write it down."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--book", type=Path, default=ROOT / "_build" / "html", help="the built book")
    book = parser.parse_args().book.resolve()
    packages = ("torch", "ipywidgets", "anywidget", "jupyterlab", "playwright", "large-language-models-live")
    results = {
        "command": "python benchmarks/widget.py",
        "seed": SEED,
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
        "cores": os.cpu_count(),
    }
    with chromium() as browser:
        results["versions"]["chromium"] = browser.version
        results["book_keystroke_to_picture"] = show("in the page", in_the_page(browser, book))
        results["jupyterlab_keystroke_to_picture"] = show("in JupyterLab", in_jupyterlab(browser))
    target = ROOT / "benchmarks" / "results" / "widget.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(f"written to {target.relative_to(ROOT)}")


def show(name: str, result: dict) -> dict:
    """Print one line of results and hand it on."""
    print(f"{name}: {', '.join(f'{key} {value}' for key, value in result.items())}", flush=True)
    return result


if __name__ == "__main__":
    main()
