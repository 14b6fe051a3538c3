"""Layers by hand and by PyTorch are the same."""

import pytest
import torch
from torch import nn

from companion.lessons import by_hand, by_torch, random_inputs
from companion.nn.attention import MultiHeadAttention
from companion.nn.feed_forward import FeedForward
from companion.nn.norms import RMSNorm


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("causal", [False, True])
def test_attention_by_hand_is_pytorchs(generator, causal):
    layer = random_inputs.randomised(MultiHeadAttention(8, 2), generator)
    x = random_inputs.normal(generator, 5, 8)
    torch.testing.assert_close(
        by_hand.multi_head_attention(x, x, layer, causal), by_torch.multi_head_attention(x, x, layer, causal)
    )


def test_norms_maps_and_networks_by_hand_are_pytorchs(generator):
    x = random_inputs.normal(generator, 5, 8)
    norm, rms = random_inputs.randomised(nn.LayerNorm(8), generator), random_inputs.randomised(RMSNorm(8), generator)
    linear = random_inputs.randomised(nn.Linear(8, 3), generator)
    network = random_inputs.randomised(FeedForward(8, 16, "relu"), generator)
    torch.testing.assert_close(by_hand.layer_norm(x, norm), by_torch.layer_norm(x, norm))
    torch.testing.assert_close(by_hand.rms_norm(x, rms), by_torch.rms_norm(x, rms))
    torch.testing.assert_close(by_hand.linear(x, linear), by_torch.linear(x, linear))
    torch.testing.assert_close(by_hand.relu_ffn(x, network), by_torch.relu_ffn(x, network))
    torch.testing.assert_close(by_hand.softmax(x), x.softmax(-1))
    torch.testing.assert_close(by_hand.gelu(x), nn.functional.gelu(x, approximate="tanh"))
