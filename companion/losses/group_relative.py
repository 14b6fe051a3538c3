"""Group relative policy optimisation (GRPO): of several answers to one prompt, those above the mean reward gain.

Chapter: ``book/algorithms/assistants.ipynb``. Sources: Shao et al. 2024, "DeepSeekMath", section 4.1; Schulman et al.
2017, "Proximal Policy Optimization Algorithms", section 3 (the clipped ratio).
"""

import math

import torch
from torch import Tensor

from companion.data.batch import upcast


def group_advantages(rewards: Tensor) -> Tensor:
    """Group relative advantages: each reward minus the mean of its group, divided by the group's standard deviation.

    ``A_i = (r_i - mean(r)) / std(r)`` (Shao et al. 2024, section 4.1.2), with the deviation over all answers of the
    group. A group whose answers all have the same reward says nothing: its advantages are 0.

    >>> group_advantages(torch.tensor([[1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]]))
    tensor([[ 1.7321, -0.5774, -0.5774, -0.5774],
            [ 0.0000,  0.0000,  0.0000,  0.0000]])

    Args:
        rewards: (groups, size), size >= 2: one row for each prompt, one column for each of its answers.

    Returns:
        advantages, (groups, size).

    Raises:
        ValueError: when a group has fewer than two answers, or a reward is not finite.
    """
    if rewards.dim() != 2 or rewards.size(1) < 2:
        raise ValueError(f"rewards must be (groups, size >= 2); got {tuple(rewards.shape)}")
    if not bool(torch.isfinite(rewards).all()):
        raise ValueError(f"rewards must be finite; got {float(rewards[~torch.isfinite(rewards)][0])}")
    above = upcast(rewards) - upcast(rewards).mean(1, keepdim=True)
    alike = (rewards == rewards[:, :1]).all(1, keepdim=True)  # exactly, where the mean is rounded
    deviation = above.square().mean(1, keepdim=True).sqrt()
    return torch.where(alike, 0.0, above / deviation.masked_fill(alike, 1.0))


def grpo_loss(
    policy: Tensor,
    old: Tensor,
    reference: Tensor,
    advantages: Tensor,
    real: Tensor,
    *,
    epsilon: float = 0.2,
    beta: float = 0.04,
) -> Tensor:
    """GRPO loss, to be minimised: clipped policy gradient plus a price on leaving the reference.

    At token t of answer i, with ``w = pi(t) / pi_old(t)`` and ``v = pi_ref(t) / pi(t)``::

        l = -min(w A_i, clip(w, 1 - epsilon, 1 + epsilon) A_i) + beta (v - log v - 1)

    The loss is the mean of l over the tokens of each answer, and of that over the answers (Shao et al. 2024, eq. 3 and
    4, with the sign turned). The second term estimates ``KL(pi || pi_ref)`` and is never negative.

    >>> old = torch.tensor([[0.5, 0.5]]).log()
    >>> real = torch.ones(1, 2, dtype=torch.bool)
    >>> grpo_loss(old, old, old, torch.tensor([1.0]), real)  # nothing has moved yet: minus the advantage
    tensor(-1.)
    >>> grpo_loss(old + 1, old, old, torch.tensor([1.0]), real, beta=0)  # clipped: no more than 1.2 times
    tensor(-1.2000)

    Args:
        policy: (answers, length), log-probability of each token under the model that is trained.
        old: the same under the model that wrote the answers; it gets no gradient.
        reference: the same under the model that the training began with; it gets no gradient.
        advantages: (answers,), see :func:`group_advantages`.
        real: boolean (answers, length), True = a token of the answer; each row has one.
        epsilon: how far a ratio may move before it stops counting, above 0.
        beta: price of leaving the reference, at least 0.

    Raises:
        ValueError: when the shapes differ, an answer is empty, a log-probability of a token is not finite, or a setting
            is outside its range.
    """
    given = {"policy": policy, "old": old, "reference": reference}
    for name, values in given.items():
        if values.dim() != 2 or values.shape != real.shape or len(advantages) != len(values):
            raise ValueError(
                f"all must be (answers, length) as real, {tuple(real.shape)}; {name} is {tuple(values.shape)}"
            )
        if not bool(torch.isfinite(values[real]).all()):
            raise ValueError(f"log-probabilities must be finite; {name} has one that is not")
    if not bool(real.any(1).all()):
        raise ValueError("each answer must have a token; one has none")
    if not 0 < epsilon < math.inf or not 0 <= beta < math.inf:
        raise ValueError(f"epsilon must be positive and beta at least 0, both finite; got {epsilon} and {beta}")
    now, before, first = (upcast(values).masked_fill(~real, 0.0) for values in given.values())
    ratio = (now - before.detach()).exp()
    gain = advantages[:, None]
    kept = torch.minimum(ratio * gain, ratio.clamp(1 - epsilon, 1 + epsilon) * gain)
    behind = first.detach() - now  # log v
    losses = (beta * (behind.exp() - behind - 1) - kept).masked_fill(~real, 0.0)
    return (losses.sum(1) / real.sum(1)).mean()
