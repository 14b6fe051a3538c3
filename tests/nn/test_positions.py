"""Sinusoidal positions turn by the same angle for the same distance, and a model may begin with them."""

import math

import pytest
import torch

from companion.models.gpt import GPT, GPTConfig
from companion.nn.initialization import sinusoidal_initialization
from companion.nn.masks import causal_mask, order_mask
from companion.nn.positions import sinusoidal_positions


def test_the_waves_are_those_of_the_paper():
    table = sinusoidal_positions(50, 8)
    for p in (0, 1, 49):
        for i in range(4):
            angle = p / 10_000 ** (2 * i / 8)
            assert table[p, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-6)
            assert table[p, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-6)


def test_how_alike_two_positions_are_depends_on_their_distance_alone():
    table = sinusoidal_positions(64, 32).double()
    alike = table @ table.T  # (64, 64)
    for distance in (0, 1, 7, 30):
        diagonal = alike.diagonal(distance)
        assert torch.allclose(diagonal, diagonal[:1].expand_as(diagonal), atol=1e-4)


def test_a_start_changes_both_tables_and_nothing_else():
    torch.manual_seed(0)
    model = GPT(GPTConfig(vocab_size=500, context_length=16, n_layers=1, n_heads=2, d_model=32))
    before = {name: p.clone() for name, p in model.named_parameters()}
    sinusoidal_initialization(model, scale=0.2)
    changed = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert changed == {"token_embedding.weight", "position_embedding.weight"}
    assert torch.allclose(model.position_embedding.weight, 0.2 * sinusoidal_positions(16, 32, base=1000))
    assert model.token_embedding.weight.std().item() == pytest.approx(0.2, rel=0.05)


@pytest.mark.parametrize("arguments", [(0, 8), (4, 7), (4, 0)])
def test_impossible_sizes_are_refused(arguments):
    with pytest.raises(ValueError, match="d_model even"):
        sinusoidal_positions(*arguments)


def test_a_base_of_one_and_a_scale_of_nothing_are_refused():
    with pytest.raises(ValueError, match="base must be above 1; got 1"):
        sinusoidal_positions(4, 8, base=1)
    with pytest.raises(ValueError, match="scale must be above 0; got 0"):
        sinusoidal_initialization(GPT(GPTConfig(5, 4, 1, 1, 8)), scale=0)


# Orders of prediction


def test_a_position_may_see_those_of_lower_rank():
    mask = order_mask(torch.tensor([2, 0, 1]))
    assert mask.tolist() == [[False, True, True], [False, False, False], [False, True, False]]


def test_its_own_content_is_seen_only_when_that_is_said():
    order = torch.tensor([[3, 1, 0, 2]])
    assert not order_mask(order).diagonal(dim1=1, dim2=2).any()
    assert torch.equal(order_mask(order, own=True), order_mask(order) | torch.eye(4, dtype=torch.bool))


def test_from_left_to_right_it_is_the_causal_mask():
    assert torch.equal(order_mask(torch.arange(6), own=True), causal_mask(6))


def test_those_of_one_rank_are_told_together():
    order = torch.tensor([0, 1, 1])
    assert order_mask(order).tolist() == [[False, False, False], [True, False, False], [True, False, False]]
    assert order_mask(order, own=True)[1:].all()


def test_ranks_that_are_no_integers_are_refused():
    with pytest.raises(TypeError, match="order must be integers, the rank of each position; got torch.float32"):
        order_mask(torch.rand(3))


def test_an_order_of_nothing_is_refused():
    with pytest.raises(ValueError, match=r"its length not 0; got shape \(2, 0\)"):
        order_mask(torch.zeros(2, 0, dtype=torch.long))
