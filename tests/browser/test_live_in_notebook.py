"""The live widget in the classic notebook, whose widgets speak the protocol of Colab's: ipywidgets 7."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import Browser, Page, WebSocket

from notebook_servers import classic_notebook
from notebooks import METADATA

pytestmark = pytest.mark.colab

LIVE = """\
from companion import zoo
from companion.widgets import AttentionView

view = AttentionView.live(*zoo.load("storyworld-en"), "Tom is in the")
view"""
# Jupyter's servers drop what is above 1,000 messages per second; of the bytes they count only those that are printed.
MESSAGES, KEYSTROKES = 1000, 10  # per second; people type more slowly
ENVELOPES = 8000  # bytes for the heads of a keystroke's messages, the tokens and what is likely next
PICTURE = "document.querySelector('.ca-stage canvas').toDataURL()"
COLOURS = """() => {
  const canvas = document.querySelector('.ca-stage canvas');
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  return new Set(new Uint32Array(data.buffer)).size;
}"""


class Live(NamedTuple):
    """The page, and how many bytes each message from the kernel had."""

    page: Page
    received: list[int]

    def python(self, code: str) -> str:
        """What a cell prints that is put at the end and run."""
        run = """code => {
          const cell = Jupyter.notebook.insert_cell_at_bottom('code');
          cell.set_text(code);
          cell.execute();
        }"""
        count = self.page.locator(".code_cell").count()
        self.page.evaluate(run, code)
        printed = self.page.locator(".code_cell").nth(count).locator(".output_stdout")
        return printed.inner_text(timeout=60_000).strip()


@pytest.fixture(scope="module")
def live(colab: Path, tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[Live]:
    """A view that its kernel answers, drawn."""
    folder = tmp_path_factory.mktemp("live")
    nbformat.write(new_notebook(cells=[new_code_cell(LIVE)], metadata=METADATA), folder / "live.ipynb")
    received: list[int] = []

    def listen(socket: WebSocket) -> None:
        socket.on("framereceived", lambda payload: received.append(len(payload)))

    with classic_notebook(folder, colab) as address:
        page = browser.new_page(viewport={"width": 1200, "height": 1000})
        page.on("websocket", listen)
        page.goto(address("live.ipynb"), wait_until="commit")
        page.wait_for_function("window.Jupyter?.notebook?.kernel?.info_reply?.protocol_version", timeout=120_000)
        page.evaluate("Jupyter.notebook.execute_all_cells()")
        page.wait_for_selector(".ca-token", timeout=180_000)
        yield Live(page, received)
        page.close()


def test_the_view_is_drawn_and_not_its_still_picture(live: Live):
    assert live.page.locator(".ca").count() == 1
    assert live.page.locator(".ca-token").count() == len(live.python("print(*view.tokens, sep='\\n')").split("\n"))
    assert "kernel" in live.page.inner_text(".ca-status")
    assert live.page.evaluate(COLOURS) > 10


def test_a_text_that_is_typed_is_answered_by_the_kernel(live: Live):
    before = live.page.locator(".ca-token").count()
    box = live.page.locator(".ca textarea")
    box.press("Control+End")
    box.press_sequentially(" garden. Anna is in the", delay=50)
    live.page.wait_for_function("n => document.querySelectorAll('.ca-token').length > n + 2", arg=before)
    live.page.wait_for_function("!document.querySelector('.ca-status').classList.contains('ca-busy')")
    assert live.python("print(view.answered)") == box.input_value() == "Tom is in the garden. Anna is in the"


def test_a_head_that_is_chosen_is_drawn_and_known_to_python_and_the_other_way_round(live: Live):
    first = live.page.evaluate(PICTURE)
    live.page.get_by_label("Head", exact=True).select_option(index=1)
    live.page.wait_for_function(f"before => {PICTURE} !== before", arg=first)
    second = live.page.evaluate(PICTURE)
    assert live.python("print(view.head)") == "1"
    live.python("view.layer = view.layer + 1\nprint(view.layer)")
    live.page.wait_for_function(f"before => {PICTURE} !== before", arg=second)


def test_a_keystroke_costs_one_picture_in_a_few_messages(live: Live):
    box = live.page.locator(".ca textarea")
    box.press("Control+End")
    live.page.wait_for_timeout(1000)
    del live.received[:]
    box.press(".")
    live.page.wait_for_function("document.querySelector('.ca-status').textContent.includes('kernel')")
    live.page.wait_for_timeout(2000)
    received = list(live.received)
    assert 0 < len(received) * KEYSTROKES < MESSAGES / 10
    assert sum(received) < int(live.python("print(len(view.attention))")) + ENVELOPES
