"""The still picture of a widget holds the weights of the head that is shown, whatever form they travel in."""

from xml.etree import ElementTree

import pytest
import torch
from still_widgets import in_words, state_of, svg, words

from companion.widgets import AttentionView, page


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


def test_another_widget_says_its_words_without_its_scripts():
    words_alone = '<figure class="companion-widget" data-widget="other">Two heads.</figure>'
    assert in_words(page.figure("other", {"text": "</figure>"}, "Two heads.")) == words_alone


def test_a_figure_without_a_state_is_refused():
    with pytest.raises(ValueError, match="holds no state of a widget: '<figure>still</figure>'"):
        state_of("<figure>still</figure>")
