"""The lengths, drafts, timings and the test of the chapter on inference."""

import pytest
import torch

from companion.generation.draws import seeded_draw
from companion.lessons.inference import experiments


def test_counts_drawn_from_the_distribution_pass_and_others_do_not():
    probabilities = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    counts = experiments.sampled(lambda draw: draw(probabilities), 2000, seed=0)
    assert experiments.chi_square(counts, dict(enumerate(probabilities.tolist()))) > 0.01
    assert experiments.chi_square(counts, {0: 0.4, 1: 0.4, 2: 0.2}) < 1e-6


def test_p_values_of_right_counts_are_spread_evenly():
    probabilities = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    expected = dict(enumerate(probabilities.tolist()))
    values = [
        experiments.chi_square(experiments.sampled(lambda draw: draw(probabilities), 200, seed), expected)
        for seed in range(60)
    ]
    assert 0.35 < sum(values) / len(values) < 0.65


def test_rare_outcomes_are_counted_together():
    expected = {"often": 0.98, **{str(i): 0.002 for i in range(10)}}
    assert experiments.chi_square({"often": 490, "0": 10}, expected) == pytest.approx(1.0)


def test_an_outcome_that_cannot_come_is_an_error():
    with pytest.raises(ValueError, match=r"no probability came: \['c'\]"):
        experiments.chi_square({"a": 1, "c": 1}, {"a": 1.0})


def test_drafts_are_distributions_over_the_world():
    drafts = experiments.story_drafts((1, 3), stories=30)
    for draft in drafts.values():
        assert draft([0, 5, 7]).sum().item() == pytest.approx(1, abs=1e-4)


def test_a_remembered_target_is_asked_once():
    asked = []

    def target(text, proposed):
        asked.append(text)
        return torch.ones(1, 2)

    again = experiments.remembered(target)
    assert again([1], []) is again([1], [])
    assert len(asked) == 1


def test_an_order_is_the_seeds_and_has_all_values():
    assert experiments.shuffled([1, 2, 3, 4], 1) == experiments.shuffled([1, 2, 3, 4], 1)
    assert experiments.shuffled(range(9), 1) != experiments.shuffled(range(9), 2)


def test_the_help_texts_have_uneven_lengths():
    lengths = experiments.help_lengths(40)
    assert len(lengths) == 40
    assert max(lengths) > 5 * min(lengths)


def test_a_draw_is_what_is_counted():
    assert sum(experiments.sampled(lambda draw: draw(torch.tensor([0.5, 0.5])), 10, seed=1).values()) == 10
    assert seeded_draw(0)(torch.tensor([0.0, 1.0])) == 1
