"""Equations of ``book/algorithms/assistants.ipynb``."""

import math
from typing import Any

import torch
from torch import Generator, Tensor

from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import between, distribution, normal, whole
from companion.losses.group_relative import group_advantages, grpo_loss

ADVANTAGE = Symbol(r"\hat{A}_i", "advantage of answer $i$: how far its reward is above the mean of its group")
RATIO = Symbol("w_t", "ratio of the policy's probability of token $t$ to that of the model that wrote it")
BACK = Symbol("v_t", "ratio of the reference's probability of token $t$ to the policy's")
REFERENCE = Symbol(r"\pi_{\mathrm{ref}}", "reference: the model that the training began with, frozen")


def _group(g: Generator) -> dict[str, Any]:
    return {"rewards": normal(g, whole(g, 2, 9))}


def _advantage_by_hand(rewards: Tensor) -> Tensor:
    n = len(rewards)
    mean = sum(rewards.tolist()) / n
    deviation = math.sqrt(sum((r - mean) ** 2 for r in rewards.tolist()) / n)
    return torch.tensor([(r - mean) / deviation for r in rewards.tolist()])


def _advantage_companion(rewards: Tensor) -> Tensor:
    return group_advantages(rewards[None])[0]


def _advantage_torch(rewards: Tensor) -> Tensor:
    return torch.nn.functional.layer_norm(rewards, rewards.shape, eps=0.0)


def _answers(g: Generator) -> dict[str, Any]:
    shape = (whole(g, 1, 4), whole(g, 2, 5))
    old = -normal(g, *shape).abs()
    lengths = [whole(g, 1, shape[1]) for _ in range(shape[0])]
    return {
        "now": old + 0.4 * normal(g, *shape),  # some ratios beyond the clip
        "old": old,
        "first": old + 0.4 * normal(g, *shape),
        "gains": normal(g, shape[0]),
        "real": torch.arange(shape[1]) < torch.tensor(lengths)[:, None],
        "epsilon": between(g, 0.1, 0.4),
        "beta": between(g, 0.0, 0.5),
    }


def _loss_by_hand(
    now: Tensor, old: Tensor, first: Tensor, gains: Tensor, real: Tensor, epsilon: float, beta: float
) -> float:
    total = 0.0
    for i in range(len(now)):
        length = int(real[i].sum())
        for t in range(length):
            w, v = math.exp(now[i, t] - old[i, t]), math.exp(first[i, t] - now[i, t])
            clipped = min(max(w, 1 - epsilon), 1 + epsilon)
            gain = min(w * float(gains[i]), clipped * float(gains[i]))
            total += (beta * (v - math.log(v) - 1) - gain) / length / len(now)
    return total


def _loss_companion(
    now: Tensor, old: Tensor, first: Tensor, gains: Tensor, real: Tensor, epsilon: float, beta: float
) -> Tensor:
    return grpo_loss(now, old, first, gains, real, epsilon=epsilon, beta=beta)


def _loss_torch(
    now: Tensor, old: Tensor, first: Tensor, gains: Tensor, real: Tensor, epsilon: float, beta: float
) -> Tensor:
    gain = gains[:, None].expand_as(now)
    w = torch.exp(now - old)
    beyond = torch.where(gain > 0, w > 1 + epsilon, w < 1 - epsilon)  # where it pays no more to move on
    limit = torch.where(gain > 0, 1 + epsilon, 1 - epsilon)
    per_token = torch.where(beyond, limit, w) * -gain + beta * (torch.expm1(first - now) - (first - now))
    return torch.stack([row[mask].mean() for row, mask in zip(per_token, real, strict=True)]).mean()


def _two(g: Generator) -> dict[str, Any]:
    tokens = whole(g, 2, 8)
    return {"policy": distribution(g, tokens), "reference": distribution(g, tokens)}


def _kl_by_hand(policy: Tensor, reference: Tensor) -> float:
    total = 0.0
    for p, q in zip(policy.tolist(), reference.tolist(), strict=True):
        total += p * (q / p - math.log(q / p) - 1)
    return total


def _kl_companion(policy: Tensor, reference: Tensor) -> Tensor:
    now, first = policy.log()[:, None], reference.log()[:, None]  # every token an answer of its own
    real, none = torch.ones_like(now, dtype=torch.bool), torch.zeros(1)
    tokens = (slice(i, i + 1) for i in range(len(now)))
    prices = [grpo_loss(now[i], now[i], first[i], none, real[i], beta=1) for i in tokens]
    return (policy * torch.stack(prices)).sum()


def _kl_torch(policy: Tensor, reference: Tensor) -> Tensor:
    found: Tensor = torch.distributions.kl_divergence(*map(torch.distributions.Categorical, (policy, reference)))
    return found


def _vote(g: Generator) -> dict[str, Any]:
    return {"p": between(g, 0.05, 0.95), "k": 2 * whole(g, 0, 6) + 1}


def _vote_by_hand(p: float, k: int) -> float:
    return sum(math.comb(k, i) * p**i * (1 - p) ** (k - i) for i in range(k + 1) if 2 * i > k)


def _vote_torch(p: float, k: int) -> Tensor:
    wins = torch.arange(k // 2 + 1, k + 1, dtype=torch.float64)
    log_probs: Tensor = torch.distributions.Binomial(k, torch.tensor(p, dtype=torch.float64)).log_prob(wins)
    return log_probs.exp().sum()


EQUATIONS = (
    Equation(
        label="eq-assistants-advantage",
        symbols=(
            ADVANTAGE,
            Symbol("r_i", "reward of answer $i$"),
            Symbol(r"\bar{r}", "mean reward of the group"),
            Symbol("G", "number of answers to one prompt: the size of the group"),
        ),
        draw=_group,
        by_hand=_advantage_by_hand,
        companion=_advantage_companion,
        library=_advantage_torch,
    ),
    Equation(
        label="eq-assistants-grpo",
        symbols=(
            Symbol(r"\mathcal{L}", "loss, to be minimised"),
            Symbol(r"\ell_{i,t}", "loss of token $t$ of answer $i$"),
            Symbol("|y_i|", "number of tokens of answer $i$"),
            RATIO,
            ADVANTAGE,
            Symbol(r"\epsilon", "how far the ratio may move before it stops counting"),
            Symbol(r"\beta", "price of leaving the reference"),
            BACK,
        ),
        draw=_answers,
        by_hand=_loss_by_hand,
        companion=_loss_companion,
        library=_loss_torch,
    ),
    Equation(
        label="eq-assistants-kl",
        symbols=(
            Symbol(r"\pi_\theta", "policy: the model that is trained"),
            REFERENCE,
            Symbol("v", "ratio of the reference's probability to the policy's"),
        ),
        draw=_two,
        by_hand=_kl_by_hand,
        companion=_kl_companion,
        library=_kl_torch,
    ),
    Equation(
        label="eq-assistants-vote",
        symbols=(
            Symbol("p", "probability that one answer is right"),
            Symbol("k", "number of answers, odd"),
        ),
        draw=_vote,
        by_hand=_vote_by_hand,
        library=_vote_torch,
    ),
)
