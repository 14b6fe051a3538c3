"""Replaced-token detection: what counts as replaced, and over which tokens the loss is a mean."""

import math

import pytest
import torch

from companion.data.batch import IGNORED
from companion.losses.replaced import replace_tokens, replaced_loss

INPUTS = torch.tensor([[5, 3, 7, 3, 0]])
TARGETS = torch.tensor([[IGNORED, 6, IGNORED, 8, IGNORED]])


def test_only_chosen_places_are_replaced():
    torch.manual_seed(0)
    corrupted, replaced = replace_tokens(INPUTS, TARGETS, torch.zeros(1, 5, 9))
    chosen = TARGETS != IGNORED
    assert torch.equal(corrupted[~chosen], INPUTS[~chosen])
    assert not replaced[~chosen].any()


def test_a_sample_that_is_the_original_counts_as_original():
    logits = torch.eye(9)[[0, 6, 0, 8, 0]][None] * 1000  # writes what stood there
    corrupted, replaced = replace_tokens(INPUTS, TARGETS, logits)
    assert corrupted.tolist() == [[5, 6, 7, 8, 0]]
    assert not replaced.any()


def test_samples_follow_the_generators_probabilities():
    draw, n = torch.Generator().manual_seed(0), 4000
    logits = torch.tensor([0.25, 0.75]).log().expand(1, n, 2)
    corrupted, _ = replace_tokens(torch.zeros(1, n).long(), torch.zeros(1, n).long(), logits, draw)
    assert abs(corrupted.float().mean().item() - 0.75) < 4 * math.sqrt(0.25 * 0.75 / n)


def test_the_loss_is_a_mean_over_the_counted_tokens():
    logits, replaced = torch.tensor([[2.0, -1.0, 9.0]]), torch.tensor([[True, False, False]])
    counted = torch.tensor([[True, True, False]])
    expected = (math.log1p(math.exp(-2)) + math.log1p(math.exp(-1))) / 2
    assert math.isclose(replaced_loss(logits, replaced, counted).item(), expected, abs_tol=1e-6)


def test_no_counted_token_is_refused():
    nothing = torch.zeros(1, 3, dtype=torch.bool)
    with pytest.raises(ValueError, match="got none"):
        replaced_loss(torch.zeros(1, 3), nothing, nothing)
