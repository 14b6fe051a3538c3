"""The experiments of the chapter on XLNet: stories in random orders, and attention by distance."""

import pytest
import torch

from companion.data.batch import IGNORED
from companion.lessons.xlnet.experiments import attention_by_distance, permuted

ROWS = torch.tensor([[4, 5, 6, 7, 8, 9], [4, 5, 6, IGNORED, IGNORED, IGNORED]])


def test_the_targets_are_the_tokens_at_the_predicted_places_and_never_padding():
    (batch,) = permuted([ROWS], seed=1)
    asked = batch.targets != IGNORED
    assert torch.equal(batch.targets[asked], ROWS.gather(1, batch.predict)[asked])


def test_one_seed_gives_one_order_and_another_gives_another():
    one, same, other = (next(permuted([ROWS.repeat(20, 1)], seed=seed)).order for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_attention_that_always_goes_one_to_the_left_is_all_at_distance_one():
    weights = torch.zeros(1, 1, 3, 3)
    weights[0, 0, 1, 0] = weights[0, 0, 2, 1] = 1
    real = torch.tensor([[False, True, True]])
    found = attention_by_distance(weights, torch.arange(3)[None], real, range(-2, 3))
    assert found.tolist() == [[0, 0, 0, 1, 0]]


def test_queries_that_are_not_real_do_not_count():
    weights = torch.rand(1, 2, 3, 3)
    real = torch.tensor([[True, False, False]])
    found = attention_by_distance(weights, torch.arange(3)[None], real, [0])
    assert found[:, 0].tolist() == pytest.approx(weights[0, :, 0, 0].tolist())
