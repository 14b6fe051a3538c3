"""The decoder's decode step: the numbers of the forward pass, and out of the way wherever it could not be."""

import pytest
import torch

from companion.finetuning.lora import add_lora
from companion.generation import GREEDY, Sampling, generate
from companion.models.modern_decode_step import ModernDecodeStep
from companion.models.modern_decoder import ModernConfig, ModernDecoder
from companion.nn.capture import capture
from companion.nn.positions import RopeScaling, YarnScaling

SIZES = {"vocab_size": 31, "context_length": 24, "n_layers": 3, "n_heads": 4, "d_model": 16}
PROMPT = torch.tensor([[3, 1, 4, 1, 5]])


def decoder(seed=0, **changes):
    torch.manual_seed(seed)
    model = ModernDecoder(ModernConfig(**SIZES | changes))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)  # biases and norms too, and far from uniform attention
    return model.eval()


def begun(model):
    """The step after the prompt."""
    cache = model.new_cache()
    with torch.no_grad():
        model(PROMPT, cache=cache)
    return model.decode_step(cache)


@pytest.mark.parametrize(
    "changes",
    [
        *({}, {"tied": False}, {"n_kv_heads": 2}, {"n_kv_heads": 1, "d_head": 6, "d_ff": 7}, {"n_layers": 1}),
        *({"family": "qwen2"}, {"family": "mistral", "norm_eps": 1e-2}, {"rope_base": 50.0}),
        *({"rope_scaling": RopeScaling(2.0, 8)}, {"rope_scaling": YarnScaling(4.0, 8)}),
    ],
    ids=str,
)
def test_each_step_has_the_logits_of_the_forward_pass(changes):
    model = decoder(**changes)
    step, ids = begun(model), PROMPT
    assert isinstance(step, ModernDecodeStep)
    for token in (9, 2, 6, 5, 30, 0):
        ids = torch.cat([ids, torch.tensor([[token]])], 1)
        with torch.no_grad():
            expected = model(ids)[:, -1]
        torch.testing.assert_close(torch.from_numpy(step(token))[None], expected, rtol=1e-4, atol=1e-5)
    assert step.length == ids.size(1)


@pytest.mark.parametrize("decoding", [GREEDY, Sampling(seed=3), Sampling(temperature=0.7, top_k=9, seed=5)])
def test_a_single_text_has_the_tokens_that_it_has_without_a_cache(decoding):
    model = decoder(n_kv_heads=2)
    with_step = generate(model, PROMPT, 19, decoding=decoding)  # up to the end of the context
    assert with_step.tolist() == generate(model, PROMPT, 19, decoding=decoding, use_cache=False).tolist()


def test_a_full_context_is_no_place_for_another_token():
    model = decoder(context_length=6)
    step = begun(model)
    step(1)
    with pytest.raises(IndexError, match="the context of 6 tokens is full"):
        step(1)


@pytest.mark.parametrize(
    "changes",
    [{"family": "mistral", "window": 4}, {"family": "mixtral", "n_experts": 2}, {"family": "qwen3"},
     {"family": "stablelm"}],
    ids=str,
)  # fmt: skip
def test_a_decoder_of_other_parts_has_no_step(changes):
    assert begun(decoder(**changes)) is None


def test_no_step_is_taken_where_a_part_is_watched_replaced_or_in_other_numbers():
    model = decoder()
    with capture(model):
        assert begun(model) is None
    assert begun(decoder().double()) is None
    adapted = decoder()
    add_lora(adapted, "query", rank=2)
    assert begun(adapted.eval()) is None
