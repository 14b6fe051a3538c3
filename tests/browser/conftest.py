"""A real browser, a plain file server, and pages that remember what went wrong on them."""

import functools
import http.server
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from chromium import NoChromiumError, chromium
from playwright.sync_api import Browser, BrowserContext, Page
from serve import server

FAILED = pytest.StashKey[bool]()


@dataclass
class Log:
    """What a page asked for and complained about."""

    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("requestfailed", lambda request: self.errors.append(f"failed: {request.url}"))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda message: message.type == "error" and self.errors.append(message.text))

    def hosts(self) -> set[str]:
        """Every host that was asked, over any protocol."""
        addresses = (url.split("://", 1)[1] for url in self.requests if url.startswith(("http", "ws")))
        return {address.split("/", 1)[0] for address in addresses}


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests."""
    try:
        with chromium() as browser:
            yield browser
    except NoChromiumError as error:
        pytest.fail(f"the browser tests cannot run: {error}")


class Windows:
    """Windows for pages, each with nothing kept from another."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser
        self.contexts: list[BrowserContext] = []

    def open(self, url: str, width: int = 1100, dark: bool = False, touch: bool = False) -> tuple[Page, Log]:
        context = self.browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
            has_touch=touch,
            reduced_motion="reduce",
        )
        self.contexts.append(context)
        page, log = context.new_page(), Log()
        log.watch(page)
        page.goto(url)
        return page, log

    def close(self) -> None:
        while self.contexts:
            self.contexts.pop().close()


@pytest.fixture
def visit(browser: Browser):
    """Open an address in a window of its own: ``visit(url, width=…, dark=…) -> (page, log)``."""
    windows = Windows(browser)
    yield windows.open
    windows.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    return report


@pytest.fixture(scope="module")
def kept(browser: Browser):
    """The windows that the tests of a file share, and what each shows."""
    windows, opened = Windows(browser), {}
    yield windows, opened
    windows.close()


@pytest.fixture
def stay(request: pytest.FixtureRequest, kept):
    """Visit an address whose window stays for the other tests of the file; whoever fails leaves none behind.

    Loading a page costs more than most tests do. A test that stays begins by putting right what another may have left.
    """
    windows, opened = kept

    def return_to(url: str, width: int = 1100, dark: bool = False, touch: bool = False) -> tuple[Page, Log]:
        key = (url, width, dark, touch)
        if key not in opened:
            opened[key] = windows.open(*key)
        return opened[key]

    yield return_to
    if request.node.stash.get(FAILED, False):
        opened.clear()
        windows.close()


@pytest.fixture
def tap():
    """Tap until the page shows it: ``tap(gesture, shown)``; a browser kept waiting takes a tap for a long press."""

    def repeat(gesture: Callable[[], None], shown: Callable[[], object]) -> None:
        for _ in range(10):
            gesture()
            for _ in range(30):
                if shown():
                    return
                time.sleep(0.1)  # a tap's click comes later
        pytest.fail("ten taps were not answered")

    return repeat


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def _serve(folder: Path) -> http.server.ThreadingHTTPServer:
    handler = functools.partial(_Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.fixture(scope="session")
def book(root: Path) -> Path:
    """The built book: ``_build/html``, or what the environment variable BOOK_HTML names."""
    folder = Path(os.environ.get("BOOK_HTML", root / "_build" / "html"))
    if not (folder / "index.html").is_file():
        pytest.fail(f"there is no built book at {folder}: `make book` builds it, or name one in BOOK_HTML")
    return folder


@pytest.fixture(scope="session")
def address(book: Path) -> Iterator[str]:
    """Where the built book is served, by a plain file server."""
    server = _serve(book)
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="session")
def isolated(book: Path) -> Iterator[str]:
    """Where the built book is served with the headers that let its pages compute in several threads."""
    with server(book, 0) as pages:
        threading.Thread(target=pages.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{pages.server_port}"
        pages.shutdown()


@pytest.fixture(scope="session")
def colab() -> Path:
    """The Python of the environment with Colab's versions, whose kernel has the package: ``make colab`` makes them."""
    python = os.environ.get("COLAB_PYTHON")
    if not python:
        pytest.fail("there is no environment with Colab's versions: `make colab` makes one and runs these tests")
    return Path(python)


@pytest.fixture
def axe(root: Path):
    """Return the accessibility violations inside an element: ``axe(page, ".ca")``."""
    source = (root / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")

    def run(page: Page, selector: str) -> list[str]:
        if page.evaluate("typeof window.axe?.run") != "function":
            page.evaluate(source)
        result = page.evaluate("selector => axe.run(selector, { resultTypes: ['violations'] })", selector)
        return [f"{v['id']}: {[node['html'][:160] for node in v['nodes'][:3]]}" for v in result["violations"]]

    return run
