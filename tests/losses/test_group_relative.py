"""GRPO: an answer competes with the answers to its own prompt; a token that has moved far enough stops paying."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from companion.losses.group_relative import group_advantages, grpo_loss


def numbers(seed: int = 0, answers: int = 3, length: int = 4) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Log-probabilities under policy, old and reference, advantages, and the mask of answers of several lengths."""
    g = torch.Generator().manual_seed(seed)
    old = -torch.rand(answers, length, generator=g, dtype=torch.double) * 3
    policy, reference = (old + 0.5 * torch.randn(old.shape, generator=g, dtype=torch.double) for _ in range(2))
    gains = torch.randn(answers, generator=g, dtype=torch.double)
    real = torch.arange(length) < torch.randint(1, length + 1, (answers, 1), generator=g)
    return policy, old, reference, gains, real


def test_rewards_one_and_three_zeros_by_hand():
    found = group_advantages(torch.tensor([[1.0, 0.0, 0.0, 0.0]], dtype=torch.double))
    root = math.sqrt(3)
    torch.testing.assert_close(found, torch.tensor([[root, -1 / root, -1 / root, -1 / root]], dtype=torch.double))


def test_a_group_with_equal_rewards_has_no_advantages():
    assert group_advantages(torch.full((1, 7), 0.1)).tolist() == [[0.0] * 7]


@given(seed=st.integers(0, 100), size=st.integers(2, 9), scale=st.floats(0.1, 100), shift=st.floats(-10, 10))
def test_neither_the_scale_nor_the_zero_of_the_rewards_matters(seed: int, size: int, scale: float, shift: float):
    rewards = torch.randn(2, size, generator=torch.Generator().manual_seed(seed), dtype=torch.double)
    found = group_advantages(rewards)
    torch.testing.assert_close(group_advantages(rewards * scale + shift), found, rtol=1e-6, atol=1e-6)
    assert found.mean(1).abs().max() < 1e-9


@pytest.mark.parametrize("rewards", [torch.zeros(3), torch.zeros(2, 1), torch.tensor([[1.0, math.nan]])])
def test_rewards_that_make_no_groups_are_refused(rewards: Tensor):
    with pytest.raises(ValueError, match="rewards must be"):
        group_advantages(rewards)


@given(seed=st.integers(0, 100))
def test_the_loss_is_that_of_trl_s_documentation(seed: int):
    """Its loss type "grpo": per-token losses averaged over each completion, then over the completions."""
    policy, old, reference, gains, real = numbers(seed)
    mask = real.double()
    coef_1 = torch.exp(policy - old)
    coef_2 = torch.clamp(coef_1, 1 - 0.2, 1 + 0.2)
    per_token = -torch.min(coef_1 * gains[:, None], coef_2 * gains[:, None])
    per_token = per_token + 0.04 * (torch.exp(reference - policy) - (reference - policy) - 1)
    expected = ((per_token * mask).sum(-1) / mask.sum(-1)).mean()
    assert grpo_loss(policy, old, reference, gains, real).item() == pytest.approx(expected.item())


@given(seed=st.integers(0, 50))
def test_the_gradient_agrees_with_finite_differences(seed: int):
    policy, *rest = numbers(seed)
    policy.requires_grad_()
    (slope,) = torch.autograd.grad(grpo_loss(policy, *rest), policy)
    nudge = 1e-6
    for place in [(0, 0), (1, 0), (2, 1)]:
        ends = []
        for sign in (1, -1):
            moved = policy.detach().clone()
            moved[place] += sign * nudge
            ends.append(grpo_loss(moved, *rest).item())
        assert slope[place].item() == pytest.approx((ends[0] - ends[1]) / (2 * nudge), abs=1e-6)


def test_at_first_the_gradient_is_that_of_the_plain_policy_gradient():
    _, old, _, gains, real = numbers()
    policy = old.clone().requires_grad_()
    (slope,) = torch.autograd.grad(grpo_loss(policy, old, old, gains, real), policy)
    expected = -gains[:, None] * real / real.sum(1, keepdim=True) / len(gains)
    torch.testing.assert_close(slope, expected)


@pytest.mark.parametrize(
    ("gain", "moved", "pays"), [(1, 0.3, False), (1, -0.3, True), (-1, -0.3, False), (-1, 0.3, True)]
)
def test_beyond_the_clip_only_the_way_back_has_a_gradient(gain: float, moved: float, pays: bool):
    old = torch.tensor([[-1.0]], dtype=torch.double)
    policy = (old + moved).requires_grad_()
    loss = grpo_loss(policy, old, old, torch.tensor([float(gain)]), torch.ones(1, 1, dtype=torch.bool), beta=0)
    assert bool(torch.autograd.grad(loss, policy)[0]) is pays


def test_padding_changes_nothing_and_gets_no_gradient():
    policy, old, reference, gains, real = numbers()
    spoilt = policy.masked_fill(~real, -math.inf).requires_grad_()
    loss = grpo_loss(spoilt, old, reference, gains, real)
    assert loss.item() == pytest.approx(grpo_loss(policy, old, reference, gains, real).item())
    assert torch.autograd.grad(loss, spoilt)[0][~real].abs().sum() == 0


def test_no_gradient_reaches_what_is_frozen():
    policy, old, reference, gains, real = numbers()
    for tensor in (policy, old, reference):
        tensor.requires_grad_()
    grpo_loss(policy, old, reference, gains, real).backward()
    assert [tensor.grad is None for tensor in (policy, old, reference)] == [False, True, True]


@given(seed=st.integers(0, 50), beta=st.floats(0.01, 2))
def test_without_advantages_only_the_price_is_left_and_it_is_not_negative(seed: int, beta: float):
    policy, old, reference, gains, real = numbers(seed)
    assert grpo_loss(policy, old, reference, 0 * gains, real, beta=beta) >= 0
    assert grpo_loss(policy, old, policy, 0 * gains, real, beta=beta).item() == 0


def test_what_does_not_fit_is_refused():
    policy, old, reference, gains, real = numbers()
    with pytest.raises(ValueError, match=r"\(answers, length\).*old is"):
        grpo_loss(policy, old[:, :2], reference, gains, real)
    with pytest.raises(ValueError, match="each answer must have a token"):
        grpo_loss(policy, old, reference, gains, real & (torch.arange(3) > 0)[:, None])
    with pytest.raises(ValueError, match="log-probabilities must be finite; reference"):
        grpo_loss(policy, old, reference * math.inf, gains, real)
    for wrong in ({"epsilon": 0.0}, {"beta": -1.0}):
        with pytest.raises(ValueError, match="epsilon must be positive"):
            grpo_loss(policy, old, reference, gains, real, **wrong)
