"""TwoModels in Python: what it compares, what two models answer, what it refuses, and what it writes."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
import torch

from companion import zoo
from companion.finetuning.heads import TokenClassifier
from companion.metrics.divergence import head_divergence, jensen_shannon
from companion.models.gpt import GPT, GPTConfig
from companion.nn.capture import capture
from companion.widgets import TwoModels

TEXT = "Tom is in the garden . Anna is in the park . [SEP] Where is Tom [MASK] ."
LAYERS = [0, 2]


@pytest.fixture(scope="module")
def pair():
    return zoo.load("storyworld-bert"), zoo.load("storyworld-bert-small")


@pytest.fixture
def view(pair):
    return TwoModels.live(*pair, TEXT, layers=LAYERS, layer=1, head=2, query="[MASK]")


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    scores = 2 * torch.randn(*shape, shape[-1], generator=torch.Generator().manual_seed(seed))
    return scores.softmax(-1).numpy()


@torch.no_grad()
def run(one, text: str) -> tuple[list[torch.Tensor], torch.Tensor]:
    """(attention by layer, scores at the last mask), by the model itself."""
    model, tokenizer = one
    ids = torch.tensor([tokenizer.encode(text).ids])
    segments = (ids == tokenizer.token_to_id("[SEP]")).cumsum(1).roll(1, 1).clamp(max=1)
    segments[:, 0] = 0
    with capture(model) as record:
        logits, _ = model(ids, segments)
    place = (ids[0] == tokenizer.token_to_id("[MASK]")).nonzero().max()
    return list(record.attention), logits[0, place]


def test_the_weights_of_both_are_those_of_the_models(view, pair):
    for side, one in enumerate(pair):
        expected = torch.cat(run(one, TEXT)[0]).numpy()
        assert np.abs(view.weights(side) - expected).max() < 1e-3


def test_paired_heads_have_the_divergence_of_torch_and_so_has_one_head_with_all(view, pair):
    teacher, student = (run(one, TEXT)[0] for one in pair)
    expected = head_divergence([teacher[layer] for layer in LAYERS], student)
    assert np.abs(view.divergence() - expected.numpy()).max() < 1e-3
    view.compare = "chosen"
    chosen = teacher[view.layer][0, view.head]
    expected = jensen_shannon(chosen, torch.cat(student)).mean(-1)
    assert np.abs(view.divergence() - expected.numpy()).max() < 1e-3


def test_what_both_put_behind_the_mask_is_listed_with_their_divergence(view, pair):
    (_, first), (_, second) = (run(one, TEXT) for one in pair)
    p, q = first.double().softmax(0), second.double().softmax(0)
    assert view.prediction["mask"] == "[MASK]"
    assert view.prediction["divergence"] == pytest.approx((p * (p / q).log2()).sum().item(), rel=1e-4)
    tokenizer = pair[0][1]
    for one in view.prediction["chances"]:
        number = tokenizer.token_to_id(one["token"])
        assert (one["before"], one["after"]) == pytest.approx((p[number].item(), q[number].item()), abs=1e-5)
    best = {tokenizer.id_to_token(int(number)) for scores in (p, q) for number in scores.topk(5).indices}
    assert {one["token"] for one in view.prediction["chances"]} == best


def test_it_opens_at_a_head_of_the_second_beside_its_partner(view):
    assert (view.layer, view.head, view.other_layer, view.other_head) == (2, 2, 1, 2)
    assert view.tokens[view.query] == "[MASK]"


def test_a_new_text_is_read_by_both_and_one_that_cannot_be_is_told(view):
    view.text = "Anna is in the park ."
    assert (view.shown, view.error, view.tokens[1]) == ("Anna is in the park .", "", "Anna")
    assert view.prediction == {"mask": "[MASK]", "chances": [], "divergence": None}
    before = view.first
    view.text = "Tom " * 500
    assert "the model reads at most" in view.error
    assert (view.shown, view.first) == ("Anna is in the park .", before)
    view.text = "Anna is in the [MASK] ."
    assert (view.error, view.shown) == ("", "Anna is in the [MASK] .")
    assert view.prediction["chances"]


def test_an_exception_in_a_model_leaves_the_view_alive(view, monkeypatch):
    monkeypatch.setattr(type(view._runs), "__call__", lambda *_: 1 / 0)
    view.text = "Anna"
    assert view.error == "ZeroDivisionError: division by zero"


def test_models_that_go_on_are_compared_at_the_next_token():
    torch.manual_seed(0)
    model, tokenizer = zoo.load("storyworld-en")
    other = GPT(GPTConfig(tokenizer.get_vocab_size(), context_length=64, n_layers=4, n_heads=2, d_model=8)).eval()
    view = TwoModels.live((model, tokenizer), (other, tokenizer), "Tom is in the")
    assert view.names == ["storyworld-en", "GPT"]
    assert view.prediction["mask"] == ""
    assert view.prediction["divergence"] > 0.1
    assert view.compare == "chosen"  # of 4 and of 2 heads, so no two have the same number
    assert view.divergence().shape == (4, 2)
    assert "data-model" not in view._repr_mimebundle_()[0]["text/html"]


def test_a_model_that_predicts_no_token_is_shown_without_a_prediction(pair):
    (model, tokenizer), _ = pair
    tagger = TokenClassifier(model.bert, ["O", "B-GIVER"]).eval()
    view = TwoModels.live((model, tokenizer), (tagger, tokenizer), TEXT)
    assert view.prediction == {"mask": "", "chances": [], "divergence": None}
    assert view.divergence().max() < 1e-6


def test_two_models_of_one_name_are_told_apart(pair):
    assert TwoModels.live(pair[0], pair[0], TEXT).names == ["storyworld-bert 1", "storyworld-bert 2"]


def test_other_vocabularies_are_refused_by_a_token(pair):
    with pytest.raises(
        ValueError, match="both models must read the same tokens; of 54 and [0-9]+ tokens, '.+' has the id"
    ):
        TwoModels.live(pair[0], zoo.load("storyworld-en"), TEXT)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({}, r"the models have 4 and 2 layers: layers must name, .*; got None"),
        ({"layers": [0]}, r"each of the second model's 2 layers; got \[0\]"),
        ({"layers": [0, 4]}, r"layers must be 0 to 3, those of the first model; got 4 in \[0, 4\]"),
        ({"layers": LAYERS, "layer": 2}, "layer must be 0 to 1; got 2"),
        ({"layers": LAYERS, "head": -1}, "head must be 0 to 2; got -1"),
        ({"layers": LAYERS, "query": 3}, "query must be 0 to 2; got 3"),
        ({"layers": LAYERS, "query": "z"}, "query must be the label of a token, a, b, c; got 'z'"),
        (
            {"layers": LAYERS, "names": ["same", "same"]},
            r"names must be two different ones, .*; got \['same', 'same'\]",
        ),
    ],
)
def test_what_cannot_be_shown_is_refused_by_its_value(how, message):
    with pytest.raises(ValueError, match=message):
        TwoModels(["a", "b", "c"], drawn(4, 3, 3), drawn(2, 3, 3), **how)


def test_attention_over_other_tokens_is_refused_by_its_side():
    with pytest.raises(ValueError, match="second is over 4 tokens, but 3 tokens were given"):
        TwoModels(["a", "b", "c"], drawn(1, 1, 3), drawn(1, 1, 4))
    with pytest.raises(ValueError, match="at least one token; got none"):
        TwoModels([], drawn(1, 1, 3), drawn(1, 1, 3))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("other_layer", 2, "other_layer must be 0 to 1; got 2"),
        ("head", 3, "head must be 0 to 2; got 3"),
        ("query", -2, "query must be a place, or -1 for the last; got -2"),
    ],
)
def test_a_choice_from_outside_is_refused_and_the_one_before_stays(name, value, message):
    view = TwoModels(["a", "b", "c"], drawn(4, 3, 3), drawn(2, 3, 3), layers=LAYERS)
    before = getattr(view, name)
    with pytest.raises(ValueError, match=message):
        setattr(view, name, value)
    assert getattr(view, name) == before


def test_heads_of_other_numbers_are_not_paired():
    view = TwoModels(["a", "b", "c"], drawn(2, 3, 3), drawn(2, 2, 3))
    with pytest.raises(ValueError, match="only where both have as many; got 3 and 2"):
        view.compare = "paired"


def test_many_weights_travel_coarsely_and_keep_their_divergence():
    first, second = drawn(6, 6, 48), drawn(6, 6, 48, seed=1)
    view = TwoModels([f"t{i}" for i in range(48)], first, second)
    assert view.encodings == ["uint8", "uint8"]
    expected = jensen_shannon(torch.from_numpy(first), torch.from_numpy(second)).mean(-1)
    assert np.abs(view.divergence() - expected.numpy()).max() < 0.01


def test_in_the_book_it_names_both_models_and_says_in_words_what_it_shows(view):
    figure = view._repr_mimebundle_()[0]["text/html"]
    start = (
        '<figure class="companion-widget" data-widget="two_models" data-model="storyworld-bert storyworld-bert-small">'
    )
    assert figure.startswith(start)
    numbers = re.findall(r"<td>(\d\.\d{3})</td>", figure.split("<p>")[1])
    assert [float(number) for number in numbers] == pytest.approx(view.divergence().ravel().tolist(), abs=6e-4)
    assert "<td>2 and 1</td>" in figure
    ours, theirs = view.weights(0)[2, 2, view.query], view.weights(1)[1, 2, view.query]
    assert f"<td>garden</td><td>{ours[5]:.3f}</td><td>{theirs[5]:.3f}</td><td>{ours[5] - theirs[5]:+.3f}</td>" in figure


def test_a_page_of_its_own_has_the_weights_and_no_model(view):
    page = view.to_html()
    state = json.loads(re.search(r'<script type="application/json">(.*?)</script>', page, re.S)[1])
    assert (state["is_live"], state["layers"], state["shapes"]) == (False, LAYERS, [[4, 4], [2, 4]])
    assert 'data-model="' not in page
    assert "<th>head 3</th>" in page


def test_markup_in_tokens_names_and_caption_stays_text():
    hostile = "<script>alert(1)</script>"
    view = TwoModels([hostile, "b"], drawn(1, 1, 2), drawn(1, 1, 2), names=[hostile, "other"], caption=hostile)
    assert view._repr_mimebundle_()[0]["text/html"].count("<script") == 1


def test_the_still_picture_needs_no_torch():
    code = (
        "import sys; from companion.widgets import TwoModels; import numpy as np;"
        "TwoModels(['a'], np.ones((1, 1, 1, 1)), np.ones((1, 1, 1, 1))); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
