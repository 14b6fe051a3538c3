"""ThroughTheLayers in Python: its cells are the logit lens, and what it refuses."""

import ast
import json
import re
from pathlib import Path

import pytest
import torch

from companion import widgets, zoo
from companion.metrics.lens import logit_lens
from companion.nn.capture import capture
from companion.widgets import ThroughTheLayers

TEXT = "Tom is in the garden. Anna is in the park. Where is Tom"


@pytest.fixture(scope="module")
def model():
    return zoo.load("storyworld-en")


@pytest.fixture(scope="module")
def view(model):
    return ThroughTheLayers(*model, TEXT)


@pytest.fixture(scope="module")
def lens(model):
    network, tokenizer = model
    with torch.no_grad(), capture(network) as record:
        network(torch.tensor([tokenizer.encode(TEXT).ids]))
    return logit_lens(network, record)


def test_each_cell_has_the_tokens_probabilities_and_length_of_the_lens(view, lens, model):
    _, tokenizer = model
    for level, places in enumerate(view.levels):
        for place, one in enumerate(places):
            labels = [view.labels[label] for label, _ in one["said"]]
            assert labels == [tokenizer.id_to_token(i) for i in lens.tokens[level, place].tolist()]
            assert [p for _, p in one["said"]] == pytest.approx(lens.probabilities[level, place].tolist(), abs=1e-4)
            assert one["norm"] == pytest.approx(lens.norms[level, place].item(), abs=0.01)


def test_the_named_writers_are_those_that_wrote_most(view, lens):
    one = view.levels[-1][-1]
    layer, head, wrote = one["heads"][0]
    assert wrote == pytest.approx(lens.heads[-1, :, :, -1].max().item(), abs=1e-3)
    assert lens.heads[-1, layer, head, -1].item() == pytest.approx(wrote, abs=1e-3)
    layer, wrote = one["networks"][0]
    assert lens.feed_forward[-1, :, -1].argmax() == layer
    assert view.levels[0][-1]["heads"] == view.levels[0][-1]["networks"] == []


def test_the_last_cell_is_looked_at_first(view, lens):
    assert (view.level, view.place) == (lens.norms.size(0) - 1, lens.norms.size(1) - 1)


def test_a_page_says_in_words_what_each_level_says(view):
    page = view.to_html()
    words = re.search(r"<figcaption>.*?</table>", page, re.S)[0]
    assert words.count("<tr>") == len(view.levels) + 1
    assert json.loads(re.search(r'application/json">(.*?)</script>', page, re.S)[1])["levels"] == view.levels


def test_a_model_that_says_no_next_token_is_refused():
    with pytest.raises(ValueError, match="a decoder that says a next token; got BertForPreTraining"):
        ThroughTheLayers(*zoo.load("storyworld-bert"), TEXT)


@pytest.mark.parametrize("options", [{"level": 5}, {"place": -2}])
def test_an_unknown_place_is_refused_with_its_value(model, options):
    (name, value), *_ = options.items()
    with pytest.raises(ValueError, match=f"{name} must be -1 to .*; got {value}"):
        ThroughTheLayers(*model, TEXT, **options)


def test_no_class_asks_a_trait_for_the_type_of_its_parts_while_it_is_made():
    """Colab's traitlets, 5.7, cannot be asked; in quotation marks an annotation stays a text."""
    package = Path(widgets.__file__).parent
    trees = {path.name: ast.parse(path.read_text(encoding="utf-8")) for path in package.glob("*.py")}
    asked = [
        f"{name}, line {node.lineno}"
        for name, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.annotation, ast.Subscript)
        and ast.unparse(node.annotation).startswith("t.")
    ]
    assert asked == []
