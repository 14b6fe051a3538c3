"""The gated delta rule: recurrent and parallel are one function, and rule and layer are those of transformers."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from families import stir
from torch import Tensor

from companion.nn.gated_delta import GatedDeltaNet, delta_parallel, delta_recurrent


def parts(batch: int, heads: int, length: int, d_key: int, d_value: int) -> list[Tensor]:
    torch.manual_seed(length)
    query, key = torch.randn(2, batch, heads, length, d_key).double().unbind()
    value = torch.randn(batch, heads, length, d_value).double()
    decay, rate = torch.rand(2, batch, heads, length).double().unbind()
    return [query, F.normalize(key, dim=-1), value, 0.5 + decay / 2, rate]


SHAPES = [(2, 3, 11, 4, 5), (1, 1, 1, 3, 2), (1, 2, 40, 8, 8)]


@pytest.mark.parametrize("shape", SHAPES)
def test_all_at_once_is_one_after_the_other(shape):
    given = parts(*shape)
    assert torch.allclose(delta_parallel(*given), delta_recurrent(*given), atol=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_rule_is_that_of_transformers(shape):
    from transformers.models.qwen3_next.modeling_qwen3_next import torch_recurrent_gated_delta_rule

    query, key, value, decay, rate = parts(*shape)
    turned = [x.transpose(1, 2) for x in (query, key, value, decay.log(), rate)]
    expected, _ = torch_recurrent_gated_delta_rule(*turned)
    found = delta_recurrent(query / shape[3] ** 0.5, key, value, decay, rate)
    assert torch.allclose(found.transpose(1, 2), expected, atol=1e-5)  # theirs computes in single precision


def test_a_rate_of_zero_writes_nothing():
    query, key, value, decay, rate = parts(1, 1, 6, 3, 3)
    assert not delta_recurrent(query, key, value, decay, torch.zeros_like(rate)).any()


def test_a_full_correction_answers_the_key_with_the_value():
    _, key, value, decay, rate = parts(1, 2, 6, 3, 4)
    assert torch.allclose(delta_recurrent(key, key, value, decay, torch.ones_like(rate)), value, atol=1e-10)


# The layer around it


def pair(d_model: int, heads: int, d_head: int, kernel: int) -> tuple[GatedDeltaNet, Any]:
    """Our layer and Qwen3-Next's, with the same random weights."""
    import transformers
    from transformers.models.qwen3_next.modeling_qwen3_next import Qwen3NextGatedDeltaNet

    config = transformers.Qwen3NextConfig(
        hidden_size=d_model,
        linear_num_value_heads=heads,
        linear_num_key_heads=heads,
        linear_key_head_dim=d_head,
        linear_value_head_dim=d_head,
        linear_conv_kernel_dim=kernel,
    )
    theirs, ours = Qwen3NextGatedDeltaNet(config, 0).eval(), GatedDeltaNet(d_model, heads, d_head, kernel=kernel).eval()
    stir(theirs)
    weights = theirs.state_dict()
    by_head = weights["in_proj_qkvz.weight"].view(heads, 4, d_head, d_model)
    state = {f"{name}.weight": by_head[:, i].flatten(0, 1) for i, name in enumerate(("query", "key", "value", "gate"))}
    rate, decay = weights["in_proj_ba.weight"].view(heads, 2, d_model).unbind(1)
    state |= {"rate.weight": rate, "decay.weight": decay, "mix": weights["conv1d.weight"]}
    state |= {"log_speed": weights["A_log"], "offset": weights["dt_bias"]}
    state |= {"norm.weight": weights["norm.weight"], "output.weight": weights["out_proj.weight"]}
    ours.load_state_dict(state)
    return ours, theirs


LAYERS = [(16, 2, 6, 4), (10, 1, 4, 2), (12, 3, 2, 3)]


@pytest.mark.parametrize("shape", LAYERS)
def test_the_layer_is_that_of_transformers(shape):
    torch.manual_seed(0)
    ours, theirs = pair(*shape)
    x = torch.randn(2, 9, shape[0])
    torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=1e-5)


def test_later_tokens_never_change_earlier_outputs():
    torch.manual_seed(0)
    layer = GatedDeltaNet(8, 2, 4)
    x = torch.randn(1, 9, 8)
    longer = torch.cat([x[:, :6], torch.randn(1, 3, 8)], dim=1)
    assert torch.equal(layer(x)[:, :6], layer(longer)[:, :6])


def test_a_new_layer_forgets_slowly():
    layer = GatedDeltaNet(8, 4, 4)
    decay = (-layer.log_speed.exp() * F.softplus(layer.offset)).exp()
    assert ((decay > 0.65) & (decay < 1)).all()
