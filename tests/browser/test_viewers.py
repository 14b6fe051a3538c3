"""The benchmark of attention viewers does with our page what a reader does with it."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

from interleaved import OURS
from viewer_drawing import LAYER, TOKEN, VIEWERS, used
from viewer_pages import WRITERS, attention

pytestmark = pytest.mark.browser
TOKENS = TOKEN + 2


def test_it_turns_to_another_layer_and_looks_at_a_token(browser, tmp_path):
    path = tmp_path / "page.html"
    labels = [f"token{number}" for number in range(TOKENS)]
    path.write_text(WRITERS[OURS](labels, attention(LAYER + 1, 1, TOKENS)), encoding="utf-8")
    page = browser.new_page()
    found = used(page, VIEWERS[OURS], path, TOKENS)
    said = page.get_attribute(".ca-stage canvas", "aria-label")
    page.close()
    assert said.startswith(f"Attention matrix, layer {LAYER}, head 0: token{TOKEN} to token")
    assert all(value > 0 for value in found.values())
