"""DPO: of two answers, the one that was chosen gains on the other, measured from the reference."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from companion.losses.preference import dpo_loss

NAMES = ("policy_chosen", "policy_rejected", "reference_chosen", "reference_rejected")


def numbers(seed: int = 0, batch: int = 4) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [-10 * torch.rand(batch, generator=generator, dtype=torch.double) for _ in NAMES]


def test_one_pair_by_hand():
    """The chosen answer went from 1/4 to 1/2 and the other from 1/4 to 1/8: a ratio of 4, so 4 to 1 at beta = 1."""
    probabilities = (1 / 2, 1 / 8, 1 / 4, 1 / 4)
    pair = [torch.tensor([math.log(p)], dtype=torch.double) for p in probabilities]
    assert dpo_loss(*pair, beta=1.0).item() == pytest.approx(-math.log(4 / 5))
    assert dpo_loss(*pair, beta=0.5).item() == pytest.approx(-math.log(2 / 3))


@given(seed=st.integers(0, 100), beta=st.floats(0.01, 5))
def test_the_loss_is_log_two_while_the_policy_is_the_reference(seed: int, beta: float):
    chosen, rejected, *_ = numbers(seed)
    assert dpo_loss(chosen, rejected, chosen, rejected, beta).item() == pytest.approx(math.log(2))


@given(seed=st.integers(0, 100))
def test_the_gradient_agrees_with_finite_differences(seed: int):
    chosen, rejected, *reference = numbers(seed)
    nudge = 1e-6
    chosen.requires_grad_()
    rejected.requires_grad_()
    dpo_loss(chosen, rejected, *reference, beta=0.3).backward()
    for place in range(len(chosen)):
        for number, tensor in enumerate((chosen, rejected)):
            ends = []
            for sign in (1, -1):
                pair = [chosen.detach().clone(), rejected.detach().clone()]
                pair[number][place] += sign * nudge
                pair[number].clamp_(max=0)
                ends.append(dpo_loss(*pair, *reference, beta=0.3).item())
            assert tensor.grad[place].item() == pytest.approx((ends[0] - ends[1]) / (2 * nudge), abs=1e-7)


def test_no_gradient_reaches_the_reference():
    tensors = [tensor.requires_grad_() for tensor in numbers()]
    dpo_loss(*tensors).backward()
    assert [tensor.grad is None for tensor in tensors] == [False, False, True, True]


def test_without_a_price_on_moving_nothing_is_learned():
    """For beta -> 0 the loss goes to log 2 as ``log 2 - beta h / 2``, h the mean lead, and its gradient to 0."""
    chosen, rejected, *reference = numbers()
    lead = (chosen - rejected - (reference[0] - reference[1])).mean().item()
    chosen.requires_grad_()
    loss = dpo_loss(chosen, rejected, *reference, beta=1e-5)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2) - 1e-5 * lead / 2, abs=1e-9)
    assert chosen.grad.abs().max().item() == pytest.approx(1e-5 / 2 / len(chosen), rel=1e-3)


def test_exchanging_the_answers_exchanges_the_verdict():
    chosen, rejected, reference_chosen, reference_rejected = numbers(batch=1)
    one = dpo_loss(chosen, rejected, reference_chosen, reference_rejected, 0.5).item()
    other = dpo_loss(rejected, chosen, reference_rejected, reference_chosen, 0.5).item()
    assert math.exp(-one) + math.exp(-other) == pytest.approx(1)


def test_a_lost_cause_is_still_finite():
    far = [torch.tensor([value]) for value in (-1e4, -1.0, -1.0, -1e4)]
    assert dpo_loss(*far, beta=1.0).item() == pytest.approx(2 * (1e4 - 1))


def test_half_precision_is_summed_in_single():
    assert dpo_loss(*[tensor.bfloat16() for tensor in numbers()]).dtype == torch.float32


@pytest.mark.parametrize("place", range(4))
def test_another_shape_is_refused_by_name(place: int):
    tensors = numbers()
    tensors[place] = tensors[place][:, None]
    with pytest.raises(ValueError, match=rf"\(batch,\), not empty, and alike; {NAMES[place]} is \(4, 1\)"):
        dpo_loss(*tensors)


def test_an_empty_batch_is_refused():
    with pytest.raises(ValueError, match=r"policy_chosen is \(0,\)"):
        dpo_loss(*numbers(batch=0))


@pytest.mark.parametrize("bad", [0.5, math.nan, -math.inf])
@pytest.mark.parametrize("place", range(4))
def test_what_is_no_log_probability_is_refused_by_name(place: int, bad: float):
    tensors = numbers()
    tensors[place][1] = bad
    with pytest.raises(ValueError, match=f"{NAMES[place]} has {bad}"):
        dpo_loss(*tensors)


@pytest.mark.parametrize("beta", [0.0, -1.0, math.nan, math.inf])
def test_beta_is_positive(beta: float):
    with pytest.raises(ValueError, match=f"beta must be positive and finite; got {beta}"):
        dpo_loss(*numbers(), beta=beta)
