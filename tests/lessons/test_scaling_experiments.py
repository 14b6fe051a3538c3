"""What the chapter on scaling runs: stories whose forced tokens are known, runs, and texts that repeat."""

import pytest
import torch

from companion.data.batch import IGNORED
from companion.lessons.scaling import experiments
from companion.lessons.scaling.experiments import exact_matches, exam, repeating_texts, right_where_forced


class Oracle(torch.nn.Module):
    """A model whose first choice is always the next token of the exam."""

    def __init__(self, rows: torch.Tensor, size: int) -> None:
        super().__init__()
        self.rows, self.size, self.done = rows, size, 0

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        targets = self.rows[self.done : self.done + len(ids), 1:].clamp_min(0)
        self.done += len(ids)
        return torch.nn.functional.one_hot(targets, self.size).float()


def test_a_forced_token_is_one_that_the_world_gives_probability_one():
    asked = exam()
    assert asked.forced.any()
    assert not asked.forced.all()
    assert not asked.forced[asked.rows[:, 1:] == IGNORED].any()


def test_the_floor_is_the_entropy_of_the_world():
    assert exam().floor == pytest.approx(0.30, abs=0.02)


def test_a_model_that_knows_the_story_is_right_at_every_forced_token():
    asked = exam()
    right = right_where_forced(Oracle(asked.rows, 100), asked)
    assert all(one.all() for one in right)
    assert sum(map(len, right)) == asked.forced.sum()


@pytest.mark.parametrize(("length", "fraction"), [(1, 0.8), (2, 3 / 4), (3, 2 / 3), (5, 0.0)])
def test_exact_match_counts_runs_of_right_tokens(length, fraction):
    right = [torch.tensor([True, True, True, True, False])]
    assert exact_matches(right, (length,)) == pytest.approx({length: fraction})


def test_lengths_beyond_every_text_are_left_out():
    assert exact_matches([torch.tensor([True])], (1, 2)) == {1: 1.0}


def test_a_run_counts_its_parameters_and_tokens():
    run = experiments.train(16, stories=16, seed=1)
    assert run.parameters == 2 * (12 * 16**2 + 13 * 16) + 2 * 16
    assert run.tokens == sum(len(story.tokens) for story in experiments.WORLD.stories(16, "scaling/1"))


def test_a_run_of_the_same_seed_is_the_same_run():
    assert experiments.train(8, 16, seed=2) == experiments.train(8, 16, seed=2)


def test_a_passage_has_no_token_twice_and_comes_again():
    texts, periods = repeating_texts(50, seed=1)
    for text, period in zip(texts, periods.tolist(), strict=True):
        assert text[:period].unique().numel() == period
        assert torch.equal(text[period:], text[:-period])


def test_passages_differ_in_length():
    periods = repeating_texts(200, seed=1)[1]
    assert (periods.min(), periods.max()) == experiments.PERIODS


def test_checkpoints_hold_the_attention_of_each_layer():
    first, last = experiments.learn_to_copy(2, seed=0, steps=2, every=2, d_model=16)
    assert (first.step, last.step) == (0, 2)
    assert [weights.shape for weights in last.attention] == [(4, experiments.LENGTH, experiments.LENGTH)] * 2
    assert first.loss == pytest.approx(torch.tensor(float(experiments.CHOICES)).log().item(), abs=0.5)
