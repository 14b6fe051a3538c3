"""Every branch of a program that draws, with its probability; and seeded draws."""

import pytest
import torch

from companion.generation.draws import outcomes, seeded_draw


def test_the_probabilities_of_all_outcomes_sum_to_one():
    thirds = torch.tensor([1.0, 1.0, 1.0], dtype=torch.float64) / 3

    def program(draw):
        return tuple(draw(thirds) for _ in range(1 + draw(thirds)))

    found = outcomes(program)
    assert len(found) == 3 + 9 + 27
    assert sum(found.values()) == pytest.approx(1)
    assert found[(0,)] == pytest.approx(1 / 9)


def test_a_choice_without_probability_is_never_made():
    assert outcomes(lambda draw: draw(torch.tensor([0.0, 1.0, 0.0]))) == {1: 1.0}


def test_a_seed_draws_the_same_again():
    half = torch.tensor([0.5, 0.5])
    runs = [[draw(half) for _ in range(20)] for draw in (seeded_draw(3), seeded_draw(3), seeded_draw(4))]
    assert runs[0] == runs[1] != runs[2]
