"""Grouped-query attention is multi-head attention whose key/value heads are shared; its sinks are those of gpt-oss."""

from typing import Any

import pytest
import torch
from families import stir

from companion.nn.attention import MultiHeadAttention, scaled_dot_product_attention
from companion.nn.capture import capture
from companion.nn.grouped_query_attention import GroupedQueryAttention
from companion.nn.masks import causal_mask, window_mask
from companion.nn.positions import rotary, rotary_frequencies


@pytest.mark.parametrize("n_kv_heads", [1, 2, 3, 6])
def test_grouped_heads_are_many_heads_whose_keys_and_values_are_repeated(n_kv_heads):
    torch.manual_seed(0)
    grouped = GroupedQueryAttention(24, 6, n_kv_heads, 4, bias=True).eval()
    many = MultiHeadAttention(24, 6).eval()
    for ours, theirs in ((grouped.query, many.query), (grouped.key, many.key), (grouped.value, many.value)):
        for name in ("weight", "bias"):
            heads = getattr(ours, name).detach().unflatten(0, (-1, 4))  # (heads, d_head, …)
            repeated = heads.repeat_interleave(6 // heads.size(0), 0).flatten(0, 1)
            setattr(theirs, name, torch.nn.Parameter(repeated))
    many.output.weight, many.output.bias = grouped.output.weight, torch.nn.Parameter(torch.zeros(24))
    x = torch.randn(2, 7, 24)
    still = rotary(torch.arange(7)[None], torch.zeros(2))  # nothing turns
    torch.testing.assert_close(grouped(x, still), many(x, causal=True))


# Sinks


def gpt_oss(heads: int, kv_heads: int, d_head: int, d_model: int, biases: bool) -> tuple[GroupedQueryAttention, Any]:
    """Our layer with sinks and gpt-oss's, with the same random weights."""
    import transformers
    from transformers.models.gpt_oss.modeling_gpt_oss import GptOssAttention

    config = transformers.GptOssConfig(
        hidden_size=d_model,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=d_head,
        attention_bias=biases,
        attn_implementation="eager",
    )
    theirs = GptOssAttention(config, 0).eval()
    torch.nn.init.zeros_(theirs.sinks)
    stir(theirs)
    if biases:
        torch.nn.init.zeros_(theirs.o_proj.bias)  # our output matrix has none
    names = {"q_proj": "query", "k_proj": "key", "v_proj": "value", "o_proj": "output"}
    weights = {"sinks": theirs.sinks.data}
    for name, weight in theirs.state_dict().items():
        part, _, kind = name.partition(".")
        if part in names and (part, kind) != ("o_proj", "bias"):
            weights[f"{names[part]}.{kind}"] = weight
    ours = GroupedQueryAttention(d_model, heads, kv_heads, d_head, bias=biases, sinks=True).eval()
    ours.load_state_dict(weights)
    return ours.double(), theirs.double()


SINKS = [(4, 2, 6, 16, False), (3, 1, 4, 10, True), (5, 5, 2, 12, False)]


@pytest.mark.parametrize("shape", SINKS)
def test_sinks_are_those_of_gpt_oss(shape):
    torch.manual_seed(0)
    ours, theirs = gpt_oss(*shape)
    x = torch.randn(2, 7, shape[3]).double()
    cos, sin = rotary(torch.arange(7)[None], rotary_frequencies(shape[2]))
    near = causal_mask(7) & window_mask(7, 7, 4)
    hidden = torch.zeros(7, 7).double().masked_fill(~near, -torch.inf)[None, None]
    expected, maps = theirs(x, (cos[:, 0].double(), sin[:, 0].double()), hidden)
    found = ours(x, (cos, sin), window_mask(7, 7, 4))
    with capture(ours) as record:
        watched = ours(x, (cos, sin), window_mask(7, 7, 4))
    for output in (found, watched):
        torch.testing.assert_close(output, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(record.attention[0], maps, rtol=0, atol=1e-12)


def test_what_a_sink_takes_is_missing_from_all_positions_alike():
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 1, 2, 5, 4).double().unbind()
    _, plain = scaled_dot_product_attention(query, key, value)
    _, weights = scaled_dot_product_attention(query, key, value, sink=torch.tensor([[[1.0]], [[-1.0]]]))
    left = weights.sum(-1, keepdim=True)
    assert (left < 1).all()
    torch.testing.assert_close(weights / left, plain)


def test_a_sink_of_minus_infinity_is_none():
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 1, 2, 5, 4).unbind()
    with_sink = scaled_dot_product_attention(query, key, value, sink=torch.tensor(-torch.inf))
    torch.testing.assert_close(with_sink, scaled_dot_product_attention(query, key, value))


def test_a_query_that_may_attend_to_nothing_gives_all_to_the_sink():
    layer = GroupedQueryAttention(8, 2, 1, 4, sinks=True)
    output = layer(torch.randn(1, 3, 8), rotary(torch.arange(3)[None], torch.ones(2)), torch.zeros(1, 1, 1, 3).bool())
    assert (output == 0).all()


def test_sinks_learn():
    layer = GroupedQueryAttention(8, 2, 1, 4, sinks=True)
    layer(torch.randn(1, 3, 8), rotary(torch.arange(3)[None], torch.ones(2))).square().sum().backward()
    assert layer.sinks.grad.abs().min() > 0
