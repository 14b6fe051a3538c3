"""The traits of one picture: of a text, of two, and of what a model was seen to do."""

import numpy as np
import pytest

from companion.widgets.encoding import EXACT_VALUES
from companion.widgets.live import AttentionTrace
from companion.widgets.picture import half_characters_shown, kinds_of, picture_of, traced

EVEN = np.full((2, 1, 2, 2), 0.5, np.float32)
CROSS = np.full((1, 3, 2, 4), 0.25, np.float32)


def test_the_maps_of_all_kinds_follow_each_other_in_one_encoding():
    found = kinds_of(list("abcd"), list("xy"), {"cross": CROSS, "decoder": EVEN}, "decoder")
    assert found["kinds"] == [{"kind": "decoder", "shape": [2, 1, 2, 2]}, {"kind": "cross", "shape": [1, 3, 2, 4]}]
    weights = np.frombuffer(found["attention"], np.float16)
    assert weights.tolist() == [0.5] * EVEN.size + [0.25] * CROSS.size
    assert found["shape"] == [2, 1, 2, 2]


def test_kinds_that_are_too_many_weights_together_travel_coarsely_together():
    n = 128
    maps = {kind: np.full((3, 1, n, n), 1 / n, np.float32) for kind in ("encoder", "decoder")}
    assert 2 * maps["encoder"].size > EXACT_VALUES > maps["encoder"].size
    found = kinds_of(["a"] * n, ["b"] * n, maps, "encoder")
    assert (found["encoding"], len(found["attention"])) == ("uint8", 2 * maps["encoder"].size)


def test_what_a_model_was_seen_to_do_is_a_picture_of_one_text_or_of_two():
    facts = {"next_tokens": [], "mask": "", "device": "", "latency_ms": 1.0}
    one = AttentionTrace(["a", "b"], EVEN, segments=[0, 1], model_layers=5, **facts)
    assert traced(one) == {**picture_of(["a", "b"], EVEN, [0, 1]), "model_layers": 5}
    two = AttentionTrace(list("abcd"), CROSS, target=list("xy"), maps={"cross": CROSS, "decoder": EVEN}, **facts)
    assert traced(two)["kind"] == "cross"
    assert traced(two, "decoder")["shape"] == [2, 1, 2, 2]


@pytest.mark.parametrize(("token", "shown"), [("a\ud83d", "a⟨D83D⟩"), ("\udc00", "⟨DC00⟩"), ("😀", "😀")])
def test_half_of_a_character_has_its_code(token, shown):
    assert half_characters_shown(token) == shown
