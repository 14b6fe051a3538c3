"""The gated delta rule: recurrent and parallel are one function, that of transformers."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from companion.nn.gated_delta import delta_parallel, delta_recurrent


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
