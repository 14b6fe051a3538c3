"""Measure AttentionView: from keystroke to picture in the built book and in JupyterLab, and its pages' size and speed.

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
import time
from importlib.metadata import version
from pathlib import Path

import nbformat
import torch
from playwright.sync_api import Page, TimeoutError

from companion.widgets import AttentionView

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


def a_page(browser, tokens: int) -> dict[str, float | int]:
    """12 layers × 12 heads of random attention as one page: its size, and how long it takes to write and to draw."""
    generator = torch.Generator().manual_seed(SEED)
    attention = torch.randn(12, 12, tokens, tokens, generator=generator).mul_(0.25).softmax(-1)
    labels = [f"token{i}" for i in range(tokens)]
    writes, draws, hovers, layers = [], [], [], []
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "page.html"
        for _ in range(3):
            start = time.perf_counter()
            path.write_text(AttentionView(labels, attention).to_html(), encoding="utf-8")
            writes.append(time.perf_counter() - start)
            page = browser.new_page(viewport={"width": 1100, "height": 900})
            page.goto(path.as_uri())
            page.wait_for_function("document.querySelector('.ca-stage canvas')?.getAttribute('aria-label')")
            draws.append(page.evaluate(f"async () => {{ {FRAMES} return performance.now() }}"))
            hovers.append(page.evaluate(f"async () => {{ {HOVER} }}"))
            layers.append(page.evaluate(f"async () => {{ {LAYER} }}"))
            nodes = page.evaluate("document.querySelectorAll('*').length")
            heap = page.evaluate("performance.memory.usedJSHeapSize / 1e6")
            page.close()
        size = path.stat().st_size / 1e6
    return {
        "MB": round(size, 2),
        "write_s": round(statistics.median(writes), 2),
        "draw_ms": round(statistics.median(draws)),
        "hover_ms": round(statistics.median(hovers)),
        "layer_ms": round(statistics.median(layers)),
        "elements": nodes,
        "heap_MB": round(heap, 1),
    }


FRAMES = "await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));"
HOVER = f"""const token = document.querySelectorAll('.ca-token')[7], start = performance.now();
token.dispatchEvent(new PointerEvent('pointerover', {{ bubbles: true }})); {FRAMES} return performance.now() - start;"""
LAYER = f"""const layer = document.querySelector('.ca select'), start = performance.now();
layer.value = 5; layer.dispatchEvent(new Event('change')); {FRAMES} return performance.now() - start;"""


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
        results["pages_of_144_heads"] = {
            n: show(f"page of {n} tokens", a_page(browser, n)) for n in (32, 64, 128, 256, 512)
        }
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
