"""Measure the models of the built book in a browser: what is loaded, how long it takes, and time and memory per text.

Times of texts are processor time, which other programs on the machine do not lengthen; what a reader waits is longer.
Run by hand, with the book built: ``python benchmarks/page_models.py``. Writes ``benchmarks/results/page_models.json``.
"""

import argparse
import json
import os
import platform
import threading
import time
from http.server import ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from playwright.sync_api import Browser, Page
from widget import ROOT, _quiet, chromium, show

from companion import zoo
from companion.nn.capture import capture
from companion.widgets.live import Tracer, without_padding

LENGTHS = (16, 32, 64, 128)
RUNS = 7
WORDS = "we saw the film twice and the ending that nobody had expected made the whole room laugh again "
TEXTS = (
    "Paris is the capital of France.",
    "The animal did not cross the street because it was too tired.",
    "When Mary and John went to the store, John gave a drink to Mary.",
    "I went to the bank of the river and sat down.",
    "We saw the film twice, and both times the ending made the whole room laugh.",
)
ASK = """async ([name, text]) => {
  const answer = await companionLive.run(name, text);
  return { ids: answer.ids, attention: Array.from(answer.attention), shape: answer.shape };
}"""
TIME = """async ([name, text, runs]) => {
  const started = performance.now();
  for (let k = 0; k < runs; k += 1) await companionLive.run(name, text);
  return performance.now() - started;
}"""


def of_length(tokenizer, tokens: int) -> str:
    """The beginning of a text that has so many tokens, those that the tokenizer adds among them."""
    words = (WORDS * tokens).split()
    return next(
        text
        for text in (" ".join(words[:count]) for count in range(1, len(words)))
        if len(tokenizer.encode(text).ids) >= tokens
    )


def renderers(browser: Browser) -> list[dict]:
    """The browser's processes that run pages and their workers."""
    found = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    return [one for one in found if one["type"] == "renderer"]


def processor_ms(browser: Browser) -> float:
    """Processor time of these processes so far."""
    return 1000 * sum(one["cpuTime"] for one in renderers(browser))


def memory_mb(browser: Browser) -> int:
    """Resident memory of these processes; on Linux."""
    found = [Path(f"/proc/{one['id']}/status").read_text() for one in renderers(browser)]
    return round(sum(int(status.split("VmRSS:")[1].split()[0]) for status in found) / 1024)


def a_model(browser: Browser, page: Page, address: str, name: str, tokenizer) -> dict:
    """Load a model in a fresh page, then put texts of several lengths to it."""
    page.goto(f"{address}/book/index.html")
    page.wait_for_function("window.companionLive")
    memory, start = memory_mb(browser), processor_ms(browser)
    entry = page.evaluate("name => companionLive.catalogue.models[name]", name)
    wait = page.evaluate(TIME, [name, "The first text.", 1])
    result = {"MB": round(entry["bytes"] / 1e6, 1), "load_cpu_ms": round(processor_ms(browser) - start)}
    result["load_wait_ms"] = round(wait)
    for tokens in LENGTHS:
        start = processor_ms(browser)
        page.evaluate(TIME, [name, of_length(tokenizer, tokens), RUNS])
        result[f"{tokens}_tokens_cpu_ms"] = round((processor_ms(browser) - start) / RUNS)
    result["memory_MB"] = memory_mb(browser) - memory
    return result


def exactness(page: Page, name: str, model, tokenizer) -> dict[str, float]:
    """How far the attention in the page is from that of torch, over several texts."""
    differences = []
    for text in TEXTS:
        answer = page.evaluate(ASK, [name, text])
        with torch.no_grad(), capture(model) as record:
            model(torch.tensor([answer["ids"]]))
        expected = torch.cat(record.attention).numpy()
        differences.append(np.abs(np.reshape(answer["attention"], answer["shape"]) - expected).ravel())
    whole = np.concatenate(differences)
    return {"attention_max": round(float(whole.max()), 5), "attention_mean": round(float(whole.mean()), 6)}


def in_the_kernel(model, tokenizer) -> dict[str, int]:
    """The same texts in Python, with the same attention."""
    trace = Tracer(model, tokenizer)
    result = {}
    for tokens in LENGTHS:
        text = of_length(tokenizer, tokens)
        start = time.process_time()
        for _ in range(RUNS):
            trace(text)
        result[f"{tokens}_tokens_cpu_ms"] = round(1000 * (time.process_time() - start) / RUNS)
    return result


def measure(browser: Browser, address: str, name: str) -> dict:
    """All that is measured of one model, and how much longer the page takes than the kernel."""
    model, tokenizer = zoo.load(name)
    tokenizer = without_padding(tokenizer)
    page = browser.new_context().new_page()
    found = a_model(browser, page, address, name, tokenizer) | exactness(page, name, model, tokenizer)
    page.context.close()
    kernel = in_the_kernel(model, tokenizer)
    ratios = {key: round(found[key] / kernel[key], 1) for key in kernel}
    return {"page": found, "kernel": kernel, "page_to_kernel": ratios}


def main() -> None:
    """Measure each model, print it, and write it down."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--book", type=Path, default=ROOT / "_build" / "html", help="the built book")
    parser.add_argument("--models", nargs="+", default=["minilm-l6", "smollm2-135m"], help="names in the zoo")
    arguments = parser.parse_args()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _quiet(arguments.book.resolve()))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    results = {
        "command": "python benchmarks/page_models.py",
        "versions": {"python": platform.python_version(), "torch": version("torch")},
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 1),
    }
    with chromium() as browser:
        results["versions"]["chromium"] = browser.version
        address = f"http://127.0.0.1:{server.server_port}"
        for name in arguments.models:
            results[name] = show(name, measure(browser, address, name))
    target = ROOT / "benchmarks" / "results" / "page_models.json"
    target.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(f"written to {target.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
