"""The still picture of a widget holds the weights of the head that is shown, whatever form they travel in."""

from xml.etree import ElementTree

import pytest
import torch
from still_widgets import state_of, svg, without_script, words

from companion import zoo
from companion.widgets import AttentionSteps, AttentionView, TrainingReplay


def shades(view: AttentionView) -> list[float]:
    """The weights that are drawn, row by row."""
    figure = view._repr_mimebundle_()[0]["text/html"]
    picture = ElementTree.fromstring(svg(state_of(figure)))
    return [float(one.get("fill-opacity", "")) for one in picture.iter() if one.get("fill-opacity")]


def test_the_chosen_head_of_the_chosen_layer_is_drawn():
    attention = torch.eye(2).repeat(2, 2, 1, 1)
    attention[1, 0] = torch.tensor([[0.25, 0.75], [0.5, 0.5]])
    assert shades(AttentionView(["a", "b"], attention, layer=1, head=0)) == [0.25, 0.75, 0.5, 0.5]


def test_weights_that_travel_coarsely_are_drawn_to_a_few_hundredths():
    attention = torch.randn(6, 6, 48, 48, generator=torch.Generator().manual_seed(0)).softmax(-1)
    found = shades(AttentionView([f"t{i}" for i in range(48)], attention))
    drawn = attention[0, 0].flatten()
    assert AttentionView([f"t{i}" for i in range(48)], attention).encoding == "uint8"
    assert len(found) <= len(drawn)
    assert sum(found) == pytest.approx(48, abs=2)


def test_the_words_name_the_caption_the_layer_and_the_head():
    figure = AttentionView(["a"], [[[[1.0]]]], caption="One word.")._repr_mimebundle_()[0]["text/html"]
    assert words(state_of(figure)).startswith("One word. Attention of layer 0, head 0:")


def test_of_a_replay_the_last_checkpoint_is_drawn():
    early, late = (torch.tensor([[[[1.0, 0.0], [part, 1 - part]]]]) for part in (0.5, 0.25))
    assert shades(TrainingReplay(["a", "b"], {0: early, 10: late}, {"loss": [2, 1]})) == [1.0, 0.25, 0.75]


def test_of_cross_attention_the_rectangle_is_drawn_with_both_texts():
    attention = torch.tensor([[[[0.25, 0.75], [0.5, 0.5], [1.0, 0.0]]]])
    view = AttentionView.encoder_decoder(["a", "b"], ["x", "y", "z"], {"cross": attention})
    assert shades(view) == [0.25, 0.75, 0.5, 0.5, 1.0]
    state = state_of(view._repr_mimebundle_()[0]["text/html"])
    assert words(state).startswith("Attention of cross-attention, layer 0, head 0:")
    drawn = [one.text for one in ElementTree.fromstring(svg(state)).iter("{http://www.w3.org/2000/svg}text")]
    assert drawn == ["x", "y", "z", "a", "b", "cross-attention, layer 0, head 0"]


def test_a_figure_without_a_state_is_refused():
    with pytest.raises(ValueError, match="holds no state of a widget: '<figure>still</figure>'"):
        state_of("<figure>still</figure>")


def test_a_widget_that_is_no_map_keeps_its_words_and_loses_its_numbers():
    figure = AttentionSteps(*zoo.load("storyworld-en"), "Tom is")._repr_mimebundle_()[0]["text/html"]
    still = without_script(figure)
    assert "<table>" in still
    assert "<figcaption>" in still
    assert "<script" not in still
