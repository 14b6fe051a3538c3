"""Disentangled attention scores words and distances apart, as DeBERTa does."""

from typing import Any

import pytest
import torch
from families import real_tokens, stir

from companion.nn.capture import capture
from companion.nn.disentangled_attention import DisentangledAttention, distance_index

NAMES = {
    "query": "query_proj",
    "key": "key_proj",
    "value": "value_proj",
    "distance_key": "pos_key_proj",
    "distance_query": "pos_query_proj",
}


def pair(d_model: int, n_heads: int, span: int) -> tuple[DisentangledAttention, Any]:
    """Our layer and the self-attention of DeBERTa v2 with the same random weights; the output matrix is outside it."""
    import transformers
    from transformers.models.deberta_v2.modeling_deberta_v2 import DisentangledSelfAttention

    config = transformers.DebertaV2Config(
        hidden_size=d_model,
        num_attention_heads=n_heads,
        relative_attention=True,
        pos_att_type=["c2p", "p2c"],
        max_relative_positions=span,
        position_buckets=-1,
    )
    theirs = DisentangledSelfAttention(config).eval()
    stir(theirs)
    ours = DisentangledAttention(d_model, n_heads).eval()
    for name, of in NAMES.items():
        getattr(ours, name).load_state_dict(getattr(theirs, of).state_dict())
    torch.nn.init.eye_(ours.output.weight)
    torch.nn.init.zeros_(ours.output.bias)
    return ours.double(), theirs.double()


@pytest.mark.parametrize(("d_model", "n_heads", "span", "length"), [(18, 3, 4, 11), (10, 1, 16, 9), (20, 5, 2, 7)])
def test_the_layer_is_that_of_transformers(d_model, n_heads, span, length):
    torch.manual_seed(0)
    ours, theirs = pair(d_model, n_heads, span)
    real = real_tokens(3, length)
    x, distances = torch.randn(3, length, d_model).double(), torch.randn(2 * span, d_model).double()
    distance = distance_index(length, length) - length  # i - j; theirs clamps it
    allowed = real[:, None, None, :].expand(-1, 1, length, -1)
    expected, maps = theirs(x, allowed, output_attentions=True, relative_pos=distance[None], rel_embeddings=distances)
    with capture(ours) as record:
        found = ours(x, distances, real[:, None, None, :])
    assert torch.allclose(found, expected, atol=1e-6)  # theirs takes the root of the scale in single precision
    assert torch.allclose(record.attention[0], maps, atol=1e-6)
    assert torch.allclose(ours(x, distances, real[:, None, None, :]), expected, atol=1e-6)


def test_a_shifted_text_attends_as_before():
    torch.manual_seed(0)
    layer, distances = DisentangledAttention(12, 3), torch.randn(6, 12)
    x = torch.randn(1, 5, 12)
    padded = torch.cat([torch.randn(1, 4, 12), x], dim=1)
    real = torch.arange(9)[None, None, None] >= 4
    assert torch.allclose(layer(padded, distances, real)[:, 4:], layer(x, distances), atol=1e-6)


def test_far_distances_are_one():
    assert distance_index(9, span=2)[:, 0].tolist() == [2, 3, 3, 3, 3, 3, 3, 3, 3]
    assert distance_index(9, span=2)[0].tolist() == [2, 1, 0, 0, 0, 0, 0, 0, 0]


def test_heads_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="got 12 and 5"):
        DisentangledAttention(12, 5)
