"""The cross-entropy is a mean over the positions that have a target."""

import pytest
import torch

from companion.data.batch import IGNORED
from companion.losses.cross_entropy import ROWS, cross_entropy, linear_cross_entropy


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


def drawn(rows, vocab, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    hidden, weight = (torch.randn(size, width, generator=generator).requires_grad_() for size in (rows, vocab))
    return hidden, weight, torch.randint(vocab, (rows,), generator=generator)


@pytest.mark.parametrize("rows", [1, ROWS - 1, ROWS, 2 * ROWS + 3])
@pytest.mark.parametrize("without", [0, 1], ids=["all scored", "one in three without a target"])
def test_without_logits_value_and_gradients_are_the_same(rows, without):
    hidden, weight, targets = drawn(rows, 37, 5)
    targets[1::3] = IGNORED if without else targets[1::3]
    found, expected = [], []
    for results, loss in (
        (found, linear_cross_entropy(hidden, weight, targets)),
        (expected, cross_entropy(hidden @ weight.T, targets)),
    ):
        results.extend([loss.detach(), *torch.autograd.grad(3 * loss, (hidden, weight))])
    torch.testing.assert_close(found, expected)


def test_without_logits_half_precision_is_scored_in_single_precision():
    hidden, weight, targets = drawn(40, 37, 5)
    with torch.autocast("cpu", torch.bfloat16):
        loss = linear_cross_entropy(hidden, weight, targets)
    gradients = torch.autograd.grad(loss, (hidden, weight))
    assert {loss.dtype, *(gradient.dtype for gradient in gradients)} == {torch.float32}
    torch.testing.assert_close(loss, cross_entropy(hidden @ weight.T, targets), rtol=0.02, atol=0.02)


@pytest.mark.parametrize(
    ("hidden", "targets", "message"),
    [
        ((2, 5), (3,), r"hidden must be \(\*targets, 5\); got \(2, 5\) for \(3,\)"),
        ((2, 4), (2,), r"hidden must be \(\*targets, 5\); got \(2, 4\) for \(2,\)"),
    ],
)
def test_without_logits_shapes_that_do_not_fit_are_refused(hidden, targets, message):
    with pytest.raises(ValueError, match=message):
        linear_cross_entropy(torch.zeros(hidden), torch.zeros(7, 5), torch.zeros(targets, dtype=torch.long))


def test_without_logits_a_batch_without_any_target_is_refused():
    with pytest.raises(ValueError, match="each of the 2 targets is -100, padding"):
        linear_cross_entropy(torch.zeros(2, 5), torch.zeros(7, 5), torch.full((2,), IGNORED))


@pytest.mark.parametrize("wide", [False, True])
def test_a_target_that_is_no_token_is_named(wide):
    def loss(targets):
        hidden = torch.eye(4)[None, :3]
        return linear_cross_entropy(hidden, torch.eye(4), targets) if wide else cross_entropy(hidden, targets)

    for wrong in (4, -1):
        with pytest.raises(ValueError, match=f"a target must be 0 to 3, or -100 for none; got {wrong}"):
            loss(torch.tensor([[0, wrong, IGNORED]]))
    with pytest.raises(ValueError, match="targets must be integers; got torch.float32"):
        loss(torch.tensor([[0.0, 1.0, 2.0]]))
    few = torch.tensor([[0, 1, IGNORED]], dtype=torch.int32)
    assert loss(few) == loss(few.long())
