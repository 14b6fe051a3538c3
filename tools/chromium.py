"""The Chromium that the browser tests, the benchmarks and the PDF of the book use."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Error, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
HELP = (
    "a Chromium is needed: name one in the environment variable CHROMIUM, "
    "or install one (`apt-get install chromium`, or `python -m playwright install chromium`)"
)
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--no-first-run",
    # No page of its own for what an address bar suggests: every window would start a process for it.
    "--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup",
)


class NoChromiumError(RuntimeError):
    """There is no Chromium, or it does not start; the message says how to get one."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Open a Chromium without a window: the one that CHROMIUM names, the system's, or playwright's own.

    Raises:
        NoChromiumError: when there is none.
    """
    named = os.environ.get("CHROMIUM")
    if named and not Path(named).is_file():
        raise NoChromiumError(f"CHROMIUM names {named}, which is not there; {HELP}")
    program = named or next(filter(None, map(shutil.which, NAMES)), None)
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=program, args=list(QUIET))
        except Error as error:
            raise NoChromiumError(f"{HELP}\n{error}") from error
        yield browser
        browser.close()
