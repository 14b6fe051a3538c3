"""Queries, keys and values as they stand in the product give the very weights that the model used."""

import pytest
import torch
from small_models import random_ids, tiny_bert, tiny_gpt, tiny_t5, tiny_xlnet
from torch import nn

from companion.models.modern_decoder import ModernConfig, ModernDecoder
from companion.nn.capture import attention_layers, capture
from companion.nn.grouped_query_attention import GroupedQueryAttention
from companion.nn.positions import rotary, rotary_frequencies
from companion.nn.products import capture_products


def grouped() -> ModernDecoder:
    """Rotary positions, and two key/value heads for four query heads."""
    torch.manual_seed(0)
    sizes = {"n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "d_model": 16, "d_ff": 24}
    return ModernDecoder(ModernConfig(vocab_size=31, context_length=16, **sizes)).eval()


@pytest.mark.parametrize(
    "make",
    [tiny_gpt, tiny_bert, lambda: tiny_bert(family="albert"), grouped, tiny_xlnet],
    ids=["GPT", "BERT", "ALBERT", "rotary and grouped", "XLNet"],
)
def test_weights_computed_again_are_those_of_the_model(make):
    model = make()
    ids = random_ids(model, 1, 7)
    with torch.no_grad(), capture(model) as record, capture_products(model) as products:
        model(ids)
    assert len(products) == len(record.attention)
    for product, attention in zip(products, record.attention, strict=True):
        torch.testing.assert_close(product.weights(), attention, atol=1e-5, rtol=0)


def test_values_under_these_weights_are_the_heads_outputs():
    model = grouped()
    with torch.no_grad(), capture(model) as record, capture_products(model) as products:
        model(random_ids(model, 1, 7))
    torch.testing.assert_close(products[1].weights() @ products[1].value, record.heads[1], atol=1e-5, rtol=0)


def test_the_bias_of_relative_positions_is_kept():
    model = tiny_t5()
    with torch.no_grad(), capture_products(model) as products:
        model(random_ids(model, 1, 7), random_ids(model, 1, 3))
    assert all(product.bias is not None for product in products)


def test_a_sink_takes_its_part_of_the_weights():
    torch.manual_seed(0)
    layer = GroupedQueryAttention(16, 4, 2, 4, sinks=True)
    rotation = rotary(torch.arange(6)[None], rotary_frequencies(4))
    with torch.no_grad(), capture(layer) as record, capture_products(layer) as products:
        layer(torch.randn(1, 6, 16), rotation)
    assert products[0].weights().sum(-1).max() < 0.99
    torch.testing.assert_close(products[0].weights(), record.attention[0], atol=1e-6, rtol=0)


def test_a_second_run_replaces_the_record_of_the_first():
    model = tiny_gpt()
    with torch.no_grad(), capture_products(model) as products:
        for length in (4, 6):
            model(random_ids(model, 1, length))
    assert [product.query.size(-2) for product in products] == [6, 6]


def test_recording_leaves_nothing_behind_even_when_the_model_fails():
    model = tiny_gpt()
    with pytest.raises(ValueError, match="outside the vocabulary"), capture_products(model):
        model(torch.tensor([[10_000]]))
    assert not any("attend" in vars(layer) for layer in attention_layers(model))
    assert not model._forward_pre_hooks


def test_a_model_without_attention_is_refused():
    with pytest.raises(ValueError, match="Linear has no companion attention layer"), capture_products(nn.Linear(2, 2)):
        pass
