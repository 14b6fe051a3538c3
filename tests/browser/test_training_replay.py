"""A training run, played in a real browser."""

import numpy as np
import pytest

from companion.widgets import TrainingReplay

pytestmark = pytest.mark.browser

TOKENS = ["<b>a</b>", "b", "c", "d"]
STEPS = [0, 10, 20, 80]


def attention(step: int) -> np.ndarray:
    weights = np.tril(np.random.default_rng(step).random((2, 3, 4, 4)))
    return weights / weights.sum(-1, keepdims=True)


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    curves = {"loss": [3.1, 2.9, 0.7, 0.1], "right": [0.1, 0.2, 0.8, 1.0]}
    replay = TrainingReplay(TOKENS, {step: attention(step) for step in STEPS}, curves, layer=1, head=2)
    path = tmp_path_factory.mktemp("page") / "replay.html"
    path.write_text(replay.to_html(), encoding="utf-8")
    return path.as_uri()


def shows(page, step: int) -> None:
    """Wait until the picture is that of a checkpoint, number and all."""
    row = attention(step)[1, 2, -1]
    words = f"{TOKENS[-1]} to {TOKENS[row.argmax()]}, {row.max():.3f}"
    page.wait_for_function("words => document.querySelector('.ca-stage canvas').ariaLabel?.includes(words)", arg=words)


def test_it_opens_at_the_end_and_each_checkpoint_can_be_reached_by_slider_and_keys(visit, url):
    page, log = visit(url)
    shows(page, 80)
    slider = page.get_by_label("Checkpoint")
    slider.fill("0")
    shows(page, 0)
    slider.press("ArrowRight")
    shows(page, 10)
    assert page.inner_text(".ca-at") == "step 10 · loss 2.9 · right 0.2"
    assert slider.get_attribute("aria-valuetext") == page.inner_text(".ca-at")
    assert log.errors == []


def test_a_click_on_the_curves_leads_to_the_nearest_checkpoint(visit, url):
    page, _ = visit(url)
    shows(page, 80)
    box = page.locator(".ca-curves").bounding_box()
    page.mouse.click(box["x"] + 0.22 * box["width"], box["y"] + 30)
    shows(page, 20)


def test_playing_begins_anew_runs_to_the_end_and_can_be_halted(visit, url):
    page, _ = visit(url)
    page.get_by_role("button", name="Play").click()
    page.wait_for_function("document.querySelector('.ca-at').textContent.startsWith('step 10 ')")
    page.get_by_role("button", name="Pause").click()
    at = page.inner_text(".ca-at")
    page.wait_for_timeout(900)
    assert page.inner_text(".ca-at") == at
    page.get_by_role("button", name="Play").click()
    page.wait_for_function("document.querySelector('.ca-at').textContent.startsWith('step 80 ')")
    page.get_by_role("button", name="Play").wait_for()
    shows(page, 80)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1100, 360])
def test_it_is_accessible_and_no_wider_than_its_screen(visit, axe, url, dark, width):
    page, log = visit(url, width=width, dark=dark)
    shows(page, 80)
    assert axe(page, "body") == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert log.errors == []
