"""The parts that the equations' forms are made of: by hand and by PyTorch they are the same, and inputs are as said."""

import math

import pytest
import torch
from torch import nn

from companion.lessons import by_hand, by_torch, random_inputs, tiny_worlds
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


def test_what_is_drawn_lies_in_its_range_and_comes_again_from_the_same_seed(generator):
    assert all(2.0 <= random_inputs.between(generator, 2.0, 3.0) <= 3.0 for _ in range(20))
    assert {random_inputs.whole(generator, 1, 2) for _ in range(30)} == {1, 2}
    assert set(random_inputs.tokens(generator, 3, 50).tolist()) == {0, 1, 2}
    torch.testing.assert_close(random_inputs.distribution(generator, 4, 3).sum(-1), torch.ones(4, dtype=torch.float64))
    assert set(random_inputs.word(generator, "ab", 9)) <= set("ab")
    first, second = (random_inputs.normal(torch.Generator().manual_seed(3), 2) for _ in range(2))
    torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_a_randomised_module_has_no_zero_bias_and_learns_nothing(generator):
    module = random_inputs.randomised(nn.Linear(3, 2), generator)
    assert all(parameter.dtype == torch.float64 and parameter.all() for parameter in module.parameters())
    assert not any(parameter.requires_grad for parameter in module.parameters())


def test_pieces_and_cuts_are_all_of_them_in_order():
    assert random_inputs.pieces(["aba"]) == ["a", "b", "ab", "ba", "aba"]
    assert random_inputs.cuts(5, (2, 3)) == [(0, 2), (2, 3), (3, 5)]


def test_a_table_gives_each_text_its_probability_as_a_product(generator):
    joint = random_inputs.distribution(generator, 8).reshape(2, 2, 2)
    model = tiny_worlds.Table(joint)
    assert len(tiny_worlds.texts(2, 3)) == 8
    for text in tiny_worlds.texts(2, 3):
        ids = torch.tensor(text)
        logits = model(tiny_worlds.started(ids)[:, :-1])[0]
        assert math.exp(logits.gather(1, ids[:, None]).sum()) == pytest.approx(float(joint[text]))


def test_what_enters_a_part_is_what_the_part_before_it_gave(generator):
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    x = torch.ones(1, 3)
    torch.testing.assert_close(tiny_worlds.entering(model[1], lambda: model(x)), model[0](x))
    assert not model[1]._forward_pre_hooks
