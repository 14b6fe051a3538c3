"""Random inputs have the shape, the range and the repeatability that is said."""

import pytest
import torch
from torch import nn

from companion.lessons import random_inputs


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


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


def test_a_case_of_an_exercise_is_the_same_each_time():
    assert torch.equal(random_inputs.seeded(2, 3), random_inputs.seeded(2, 3))
    first, second = random_inputs.seeded_tensors((2, 3), (2, 3))
    assert torch.equal(first, random_inputs.seeded(2, 3))
    assert not torch.equal(first, second)
