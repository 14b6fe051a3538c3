"""A replay holds the attention of every checkpoint, and shows one."""

import json
import re

import numpy as np
import pytest

from companion.widgets import TrainingReplay, page

TOKENS = ["a", "b", "c"]
STEPS = [0, 10, 40]


def attention(seed: int) -> np.ndarray:
    weights = np.tril(np.random.default_rng(seed).random((2, 4, 3, 3)))
    return weights / weights.sum(-1, keepdims=True)


@pytest.fixture
def replay():
    return TrainingReplay(TOKENS, {step: attention(step) for step in STEPS}, {"loss": [3.0, 2, 0.5]}, layer=1, head=2)


def test_it_opens_at_the_last_checkpoint_with_the_shape_of_one(replay):
    assert (replay.frame, replay.steps, replay.shape) == (2, STEPS, [2, 4, 3, 3])


@pytest.mark.parametrize("frame", range(3))
def test_the_bytes_of_each_checkpoint_are_its_weights(replay, frame):
    replay.frame = frame
    found = page.weights(replay._state(), 1, 2)
    assert np.abs(found - attention(STEPS[frame])[1, 2]).max() < 1e-3


def test_without_a_script_the_page_says_what_the_last_checkpoint_looks_at(replay):
    best = attention(STEPS[-1])[1, 2][2].argmax()
    assert f"<tr><td>c</td><td>{TOKENS[best]}</td>" in replay.to_html()


def test_the_figure_names_the_widget_and_carries_steps_and_curves(replay):
    figure = replay._repr_mimebundle_()[0]["text/html"]
    assert 'data-widget="training_replay"' in figure
    state = json.loads(re.search(r'<script type="application/json">(.*?)</script>', figure)[1])
    assert (state["steps"], state["curves"], state["frame"]) == (STEPS, {"loss": [3.0, 2.0, 0.5]}, 2)


@pytest.mark.parametrize(
    ("frames", "curves", "words"),
    [
        ({}, {"loss": []}, "one or more checkpoints"),
        ({10: attention(0), 0: attention(1)}, {"loss": [1, 2]}, r"rising; got steps \[10, 0\]"),
        ({0: attention(0)}, {}, "got none"),
        ({0: attention(0)}, {"loss": [1, 2]}, "'loss' has 2"),
        ({0: attention(0)}, {"loss": [float("nan")]}, r"must be finite; got \[nan\] for 'loss'"),
        ({0: attention(0), 5: attention(0)[:1]}, {"loss": [1, 2]}, r"\(1, 4, 3, 3\) at step 5"),
        ({0: -attention(0)}, {"loss": [1]}, "must not be negative"),
    ],
)
def test_what_is_no_run_is_refused(frames, curves, words):
    with pytest.raises(ValueError, match=words):
        TrainingReplay(TOKENS, frames, curves)


def test_a_layer_or_a_checkpoint_that_is_not_there_is_refused(replay):
    with pytest.raises(ValueError, match="layer must be 0 to 1; got 2"):
        TrainingReplay(TOKENS, {0: attention(0)}, {"loss": [1]}, layer=2)
    with pytest.raises(ValueError, match="frame must be 0 to 2; got 3"):
        replay.frame = 3
    assert replay.frame == 2
