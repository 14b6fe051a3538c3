"""What a model gave in the place of attention weights is refused in words that say how to get them."""

import numpy as np
import pytest
import torch
import transformers

from companion.widgets import AttentionView, TwoModels
from companion.widgets.encoding import as_array

HOW = "attn_implementation='eager' and output_attentions=True"
MAP = torch.full((1, 1, 2, 2), 0.5)
SIZES = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
SIZES |= {"intermediate_size": 16}
IDS = torch.tensor([[1, 2]])
NOTHING = {
    "None": None,
    "no layer": (),
    "a list of no layer": [],
    "layers of None": (None, None),
    "a list of None": [None],
    "one layer of two": (MAP, None),
    "the second of two": (None, MAP),
}
VIEWS = {
    "one text": lambda given: AttentionView(["a", "b"], given),
    "cross": lambda given: AttentionView.encoder_decoder(["a", "b"], ["a", "b"], {"cross": given}),
    "encoder": lambda given: AttentionView.encoder_decoder(["a", "b"], ["a", "b"], {"cross": MAP, "encoder": given}),
    "the first of two": lambda given: TwoModels(["a", "b"], given, MAP),
    "the second of two": lambda given: TwoModels(["a", "b"], MAP, given),
}


@pytest.mark.parametrize("given", NOTHING.values(), ids=NOTHING)
@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_no_weights_are_told_how_to_be_had(view, given):
    with pytest.raises(ValueError, match=HOW):
        view(given)


def bert():
    return transformers.BertModel(transformers.BertConfig(**SIZES)).eval()


def gpt2():
    config = transformers.GPT2Config(vocab_size=50, n_embd=16, n_head=2, n_layer=2, n_positions=8)
    return transformers.GPT2LMHeadModel(config).eval()


def llama():
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES)).eval()


@pytest.mark.parametrize("make", [bert, gpt2, llama])
@pytest.mark.parametrize("options", [{}, {"output_attentions": True}], ids=["not asked for", "fused"])
def test_so_are_those_of_a_model_of_transformers_with_a_fused_kernel(make, options):
    model = make()
    model.set_attn_implementation("sdpa")
    with pytest.raises(ValueError, match=HOW):
        AttentionView(["a", "b"], model(IDS, **options).attentions)


@pytest.mark.parametrize("make", [bert, gpt2, llama])
def test_with_eager_attention_the_weights_are_shown(make):
    model = make()
    model.set_attn_implementation("eager")
    assert AttentionView(["a", "b"], model(IDS, output_attentions=True).attentions).shape == [2, 2, 2, 2]


def test_the_whole_output_is_told_from_its_attention():
    model = bert()
    with pytest.raises(ValueError, match=r"such as `outputs.attentions` .*; got BaseModelOutput"):
        AttentionView(["a", "b"], model(IDS))


@pytest.mark.parametrize("given", [{}, {"attentions": (MAP,)}, "attention", 0.5, object(), iter([MAP])], ids=type)
def test_what_is_no_array_and_no_list_is_named_by_its_type(given):
    with pytest.raises(
        ValueError, match=f"attention must be an array or a list by layer.*; got {type(given).__name__}"
    ):
        AttentionView(["a", "b"], given)


@pytest.mark.parametrize(
    "given", [((MAP, MAP), (MAP, MAP)), [[MAP]], ["ab"], [{}]], ids=["generated", "a list", "text", "dict"]
)
def test_layers_that_are_no_arrays_are_named(given):
    with pytest.raises(
        ValueError, match=r"each layer of attention must be one array of numbers; got (tuple|list|str|dict)"
    ):
        as_array(given)


@pytest.mark.parametrize(
    "given",
    [MAP.tolist(), MAP.numpy(), [MAP[0].numpy()], np.float64(MAP).tolist()],
    ids=["lists", "numpy", "by layer", "double"],
)
def test_numbers_in_any_form_are_weights(given):
    assert as_array(given).shape == (1, 1, 2, 2)


STRINGS = {
    "tokens": lambda: AttentionView("ab", MAP),
    "source": lambda: AttentionView.encoder_decoder("ab", ["a", "b"], {"cross": MAP}),
    "target": lambda: AttentionView.encoder_decoder(["a", "b"], "ab", {"cross": MAP}),
    "tokens of two": lambda: TwoModels("ab", MAP, MAP),
}


@pytest.mark.parametrize("make", STRINGS.values(), ids=STRINGS)
def test_a_text_is_not_taken_for_its_tokens(make):
    with pytest.raises(ValueError, match="must be a list, not a string, which is a list of characters; got 'ab'"):
        make()
