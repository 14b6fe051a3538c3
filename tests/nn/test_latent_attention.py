"""Multi-head latent attention keeps latents, computes what DeepSeek-V3's does, and can be read in two ways."""

from typing import Any

import pytest
import torch
from families import stir

from companion.nn.capture import capture
from companion.nn.kv_cache import KVCache
from companion.nn.latent_attention import LatentAttention, LatentSizes
from companion.nn.masks import causal_mask
from companion.nn.positions import rotary, rotary_frequencies

SHAPES = [
    (16, LatentSizes(n_heads=4, d_latent=6, d_head=8, d_rotary=4, d_value=5)),
    (10, LatentSizes(n_heads=1, d_latent=3, d_head=2, d_rotary=2, d_value=7, d_query_latent=5)),
    (12, LatentSizes(n_heads=3, d_latent=8, d_head=4, d_rotary=6, d_value=4, d_query_latent=9)),
]


def paired(rows: int) -> torch.Tensor:
    """Order of the rotary rows of the released weights, which pair neighbours: even ones first."""
    return torch.cat([torch.arange(0, rows, 2), torch.arange(1, rows, 2)])


def pair(d_model: int, sizes: LatentSizes) -> tuple[LatentAttention, Any]:
    """Our layer and DeepSeek-V3's with the same random weights."""
    import transformers
    from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3Attention

    config = transformers.DeepseekV3Config(
        hidden_size=d_model,
        num_attention_heads=sizes.n_heads,
        num_key_value_heads=sizes.n_heads,
        q_lora_rank=sizes.d_query_latent,
        kv_lora_rank=sizes.d_latent,
        qk_nope_head_dim=sizes.d_head,
        qk_rope_head_dim=sizes.d_rotary,
        v_head_dim=sizes.d_value,
        attn_implementation="eager",
    )
    theirs = DeepseekV3Attention(config, 0).eval()
    stir(theirs)
    weights, ours = theirs.state_dict(), LatentAttention(d_model, sizes).eval()
    down, turning = weights["kv_a_proj_with_mqa.weight"].split([sizes.d_latent, sizes.d_rotary])
    up = weights["kv_b_proj.weight"].view(sizes.n_heads, -1, sizes.d_latent)
    keys, values = up.split([sizes.d_head, sizes.d_value], dim=1)
    queries = weights["q_b_proj.weight" if sizes.d_query_latent else "q_proj.weight"]
    plain, rotating = queries.view(sizes.n_heads, -1, queries.size(1)).split([sizes.d_head, sizes.d_rotary], dim=1)
    order = paired(sizes.d_rotary)
    state = {
        "query.weight": torch.cat([plain, rotating[:, order]], dim=1).flatten(0, 1),
        "down.weight": down,
        "rotary_key.weight": turning[order],
        "latent_norm.weight": weights["kv_a_layernorm.weight"],
        "key_up.weight": keys.flatten(0, 1),
        "value_up.weight": values.flatten(0, 1),
        "output.weight": weights["o_proj.weight"],
    }
    if sizes.d_query_latent:
        state |= {"query_down.weight": weights["q_a_proj.weight"], "query_norm.weight": weights["q_a_layernorm.weight"]}
    ours.load_state_dict(state)
    return ours.double(), theirs.double()


def turned(length: int, sizes: LatentSizes, start: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    return rotary(torch.arange(start, start + length)[None], rotary_frequencies(sizes.d_rotary))


@pytest.mark.parametrize(("d_model", "sizes"), SHAPES)
def test_the_layer_is_that_of_transformers(d_model, sizes):
    torch.manual_seed(0)
    ours, theirs = pair(d_model, sizes)
    x, rotation = torch.randn(2, 7, d_model).double(), turned(7, sizes)
    cos, sin = (torch.cat([part[:, 0]] * 2, dim=-1).double() for part in rotation)
    hidden = torch.zeros(7, 7).double().masked_fill(~causal_mask(7), -torch.inf)[None, None]
    expected, maps = theirs(x, (cos, sin), hidden)
    with capture(ours) as record:
        found = ours(x, rotation)
    assert torch.allclose(found, expected, atol=1e-6)  # theirs has the norms and the softmax in single precision
    assert torch.allclose(record.attention[0], maps, atol=1e-6)


@pytest.mark.parametrize(("d_model", "sizes"), SHAPES)
def test_absorbed_matrices_compute_the_same(d_model, sizes):
    torch.manual_seed(0)
    layer, x, rotation = LatentAttention(d_model, sizes).double(), torch.randn(2, 7, d_model).double(), turned(7, sizes)
    assert torch.allclose(layer.absorbed(x, rotation), layer(x, rotation), atol=1e-12)


def test_the_cache_holds_latents_and_continues_a_text():
    torch.manual_seed(0)
    d_model, sizes = SHAPES[0]
    layer, x, cache = LatentAttention(d_model, sizes).double(), torch.randn(1, 6, 16).double(), KVCache(8)
    whole = layer(x, turned(6, sizes))
    first = layer(x[:, :4], turned(4, sizes), cache=cache)
    rest = layer.absorbed(x[:, 4:], turned(2, sizes, start=4), cache=cache)
    assert torch.allclose(torch.cat([first, rest], dim=1), whole, atol=1e-12)
    assert sum(part.numel() for part in cache.filled()) == 6 * (sizes.d_latent + sizes.d_rotary)


@pytest.mark.parametrize(("name", "value"), [("d_rotary", 3), ("n_heads", 0), ("d_query_latent", 0)])
def test_sizes_out_of_range_are_refused(name, value):
    sizes = {"n_heads": 2, "d_latent": 4, "d_head": 4, "d_rotary": 2, "d_value": 4}
    with pytest.raises(ValueError, match=str(value)):
        LatentSizes(**sizes | {name: value})
