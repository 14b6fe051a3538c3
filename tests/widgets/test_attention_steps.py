"""AttentionSteps in Python: its numbers are the model's, and what it refuses."""

import base64
import json
import re
import zlib

import numpy as np
import pytest
import torch
from node import run_node
from torch import nn

from companion import zoo
from companion.data.tokenization import train_byte_bpe
from companion.models.t5 import T5, T5Config
from companion.nn.capture import capture
from companion.widgets import AttentionSteps
from companion.widgets.attention_steps import PAGE_BYTES, STEPS
from companion.widgets.live import Tracer

TEXT = "Tom is in the garden. Anna is in the park. Tom takes the key."
HOSTILE = "<script>window.hit=1</script>"


@pytest.fixture(scope="module")
def model():
    return zoo.load("storyworld-en")


@pytest.fixture(scope="module")
def attention(model):
    return Tracer(*model)(TEXT).attention


def state_of(page: str) -> dict:
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', page, re.S)[1])


def test_the_weights_of_every_head_are_those_that_the_model_used(model, attention):
    steps = AttentionSteps(*model, TEXT)
    layers, heads, n = steps.shape[:3]
    for steps.layer in range(layers):
        for steps.head in range(heads):
            for steps.query in (0, n // 2, n - 1):
                used = attention[steps.layer, steps.head, steps.query]
                assert np.abs(steps.row()["weight"] - used).max() < 0.004


def test_the_output_is_that_of_the_head(model):
    network, tokenizer = model
    steps = AttentionSteps(network, tokenizer, TEXT, layer=1, head=2, query=5)
    with torch.no_grad(), capture(network) as record:
        network(torch.tensor([tokenizer.encode(TEXT).ids]))
    assert np.abs(steps.row()["output"] - record.heads[1][0, 2, 5].numpy()).max() < 0.01


def test_what_may_not_be_read_is_minus_infinity_after_the_mask_and_has_no_weight(model):
    row = AttentionSteps(*model, TEXT, query=4).row()
    assert np.isneginf(row["masked"][5:]).all()
    assert np.isfinite(row["masked"][:5]).all()
    assert (row["weight"][5:] == 0).all()


def test_the_key_that_is_shown_first_has_the_largest_weight(model, attention):
    steps = AttentionSteps(*model, TEXT, layer=2, head=1, query=-1)
    assert steps.key == attention[2, 1, -1].argmax()
    assert steps.query == len(steps.tokens) - 1


def test_the_browser_computes_the_same_row(model, root, tmp_path):
    steps = AttentionSteps(*model, TEXT, layer=3, head=1, query=7)
    state = state_of(steps.to_html())
    (tmp_path / "state.json").write_text(json.dumps(state), encoding="utf-8")
    found = json.loads(run_node(root / "tests" / "widgets" / "frontend" / "steps_answers.js", tmp_path / "state.json"))
    for name, expected in steps.row().items():
        finite = np.isfinite(expected)
        assert np.array(found[name], dtype=float)[finite] == pytest.approx(expected[finite], abs=1e-4)


def test_a_page_holds_the_layers_that_fit_beginning_with_the_one_shown(model):
    steps = AttentionSteps(*model, " ".join([TEXT] * 6), layer=2)
    state = state_of(steps.to_html())
    assert 2 in state["layers"]
    assert len(state["layers"]) < len(steps.layers)
    assert len(state["products"]) + len(state["mask"]) <= PAGE_BYTES
    _, heads, n, d_k, d_v = state["shape"]
    numbers = zlib.decompress(base64.b64decode(state["products"]))
    assert len(numbers) == 2 * len(state["layers"]) * heads * n * (2 * d_k + d_v)


def test_a_page_says_in_words_what_no_script_draws(model):
    page = AttentionSteps(*model, TEXT, caption="One head.").to_html()
    words = re.search(r"<figcaption>.*?</table>", page, re.S)[0]
    assert words.startswith("<figcaption>One head. Layer 0, head 0: what the token")
    assert words.count("<tr>") == len(AttentionSteps(*model, TEXT).tokens) + 1


def test_markup_in_a_text_stays_text(model):
    page = AttentionSteps(*model, HOSTILE, caption=HOSTILE).to_html()
    assert HOSTILE not in page


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer": 9}, "layer must be 0 to 3; got 9"),
        ({"head": 4}, "head must be 0 to 3; got 4"),
        ({"query": 99}, "query must be 0 to 17; got 99"),
        ({"step": "guess"}, "step must be one of compare, scale, mask, softmax, add; got 'guess'"),
    ],
)
def test_an_unknown_choice_is_refused_with_its_value(model, options, message):
    with pytest.raises(ValueError, match=message):
        AttentionSteps(*model, TEXT, **options)


def test_a_choice_from_python_is_checked_too(model):
    steps = AttentionSteps(*model, TEXT, step=STEPS[2])
    with pytest.raises(ValueError, match="key must be 0 to 17; got 18"):
        steps.key = 18


def test_a_text_without_a_token_is_refused(model):
    tokenizer = train_byte_bpe(["a text"], 260)  # it adds none of its own
    with pytest.raises(ValueError, match="the text is empty"):
        AttentionSteps(model[0], tokenizer, "")


def test_a_model_of_an_encoder_and_a_decoder_is_refused(model):
    _, tokenizer = model
    sizes = {"context_length": 64, "n_layers": 1, "n_heads": 2, "d_model": 8}
    t5 = T5(T5Config(vocab_size=tokenizer.get_vocab_size(), **sizes)).eval()
    with pytest.raises(ValueError, match="needs one stack of layers; T5 has an encoder and a decoder"):
        AttentionSteps(t5, tokenizer, TEXT)


def test_a_model_that_adds_a_bias_to_its_scores_is_refused(model):
    class Reader(nn.Module):
        def __init__(self, t5):
            super().__init__()
            self.t5, self.config = t5, t5.config

        def forward(self, ids):
            return self.t5(ids, ids)

    _, tokenizer = model
    sizes = {"context_length": 64, "n_layers": 1, "n_heads": 2, "d_model": 8}
    reader = Reader(T5(T5Config(vocab_size=tokenizer.get_vocab_size(), **sizes))).eval()
    with pytest.raises(ValueError, match="products of queries and keys alone; Reader adds to them"):
        AttentionSteps(reader, tokenizer, TEXT)
