"""The cross-entropy is a mean over the positions that have a target."""

import pytest
import torch

from companion.data.batch import IGNORED
from companion.losses.cross_entropy import cross_entropy


def test_it_is_the_mean_surprisal_of_the_targets():
    logits = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([[0, 1, 2], [3, 4, 0]])
    expected = -logits.log_softmax(-1).gather(-1, targets[..., None]).mean()
    torch.testing.assert_close(cross_entropy(logits, targets), expected)


def test_positions_without_a_target_have_no_influence():
    logits = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([1, IGNORED, 3, IGNORED])
    torch.testing.assert_close(cross_entropy(logits, targets), cross_entropy(logits[::2], targets[::2]))


def test_half_precision_is_scored_in_single_precision():
    logits = torch.tensor([[8.0, -8.0]], dtype=torch.bfloat16)
    loss = cross_entropy(logits, torch.tensor([0]))
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(1.1e-7, rel=0.1)  # 0 in bfloat16


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"logits must be \(\*targets, vocab\); got \(2, 5\) for \(3,\)"):
        cross_entropy(torch.zeros(2, 5), torch.zeros(3).long())


def test_a_batch_without_any_target_is_refused():
    with pytest.raises(ValueError, match="each of the 2 targets is -100, padding; there is nothing to predict"):
        cross_entropy(torch.zeros(2, 5), torch.full((2,), IGNORED))
