"""Tokens are selected at random in each row: as many as wanted, all candidates equally likely."""

import pytest
import torch

from companion.losses.selection import check_fraction, compact, pick, ranks, rounded


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_rounding_keeps_the_number_in_expectation():
    drawn = rounded(torch.full((20_000,), 4.3), seeded())
    assert set(drawn.tolist()) == {4, 5}
    assert drawn.double().mean().item() == pytest.approx(4.3, abs=0.02)


def test_a_whole_number_is_not_rounded():
    assert set(rounded(torch.full((1000,), 4.0), seeded()).tolist()) == {4}


def test_ranks_are_positions_in_the_sorted_row():
    assert ranks(torch.tensor([[0.3, 0.1, 0.2], [5.0, 6.0, 4.0]])).tolist() == [[2, 0, 1], [1, 2, 0]]


def test_as_many_candidates_are_picked_as_wanted_and_nothing_else():
    candidates = torch.tensor([[True, True, False, True]] * 4)
    chosen = pick(candidates, torch.arange(4), seeded())
    assert chosen.sum(1).tolist() == [0, 1, 2, 3]
    assert not bool((chosen & ~candidates).any())


def test_every_candidate_is_picked_equally_often():
    candidates = torch.tensor([[True, False, True, True, True]] * 8000)
    often = pick(candidates, torch.full((8000,), 1), seeded()).double().mean(0)
    assert often.tolist() == pytest.approx([0.25, 0, 0.25, 0.25, 0.25], abs=0.025)


def test_kept_values_move_to_the_front_in_order():
    values, real = compact(torch.tensor([[1, 2, 3], [4, 5, 6]]), torch.tensor([[0, 1, 1], [1, 0, 0]]).bool())
    assert values.tolist() == [[2, 3], [4, 0]]
    assert real.tolist() == [[True, True], [True, False]]


@pytest.mark.parametrize("value", [0, 1, -0.5, float("nan")])
def test_a_fraction_outside_0_and_1_is_refused_by_its_name(value):
    with pytest.raises(ValueError, match=rf"noise_density must be in \(0, 1\); got {value}"):
        check_fraction("noise_density", value)
