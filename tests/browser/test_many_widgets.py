"""Twenty widgets on one page stay within bounds."""

import pytest

from companion import zoo
from companion.widgets import AttentionView, bundle
from companion.widgets.attention_view import styles
from companion.widgets.browser import SCRIPTS

pytestmark = pytest.mark.browser
HEAP = 60_000_000  # bytes for all of them together
NODES = 20 * 600


def test_twenty_widgets_share_a_page(browser, tmp_path):
    model, tokenizer = zoo.load("storyworld-en")
    texts = [f"{name} is in the park . Where is {name}" for name in ("Tom", "Anna", "Jack", "Mary")] * 5
    figures = [AttentionView.live(model, tokenizer, text)._in_book() for text in texts]
    page_script = bundle.script(SCRIPTS / "pages" / "attention_view.js")
    path = tmp_path / "twenty.html"
    path.write_text(f"<style>{styles()}</style>{''.join(figures)}<script>{page_script}</script>", encoding="utf-8")
    page = browser.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(path.as_uri())
    page.wait_for_function("document.querySelectorAll('.ca-stage canvas[aria-label]').length === 20")
    client = page.context.new_cdp_session(page)
    client.send("HeapProfiler.collectGarbage")
    assert client.send("Runtime.getHeapUsage")["usedSize"] < HEAP
    assert page.evaluate("document.querySelectorAll('*').length") < NODES
    last = page.locator("figure").nth(19)
    last.locator(".ca-token", has_text="park").click()
    said = last.locator(".ca-stage > canvas").get_attribute("aria-label") or ""
    assert said.startswith("Attention matrix, layer 0, head 0: park")
    assert errors == []
    page.close()
