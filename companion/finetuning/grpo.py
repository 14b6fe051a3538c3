"""Training by GRPO: a model writes several answers to each prompt, a function rewards them, and the better ones gain.

Chapter: ``book/algorithms/assistants.ipynb``. Source: Shao et al. 2024, "DeepSeekMath", algorithm 1.
"""

import copy
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import nn

from companion.data.batch import IGNORED
from companion.generation import Sampling, generate
from companion.generation.sampling import left_padded
from companion.losses.causal import Completions, answer_log_probs, completions
from companion.losses.group_relative import group_advantages, grpo_loss
from companion.nn.checks import check_integer
from companion.nn.field_types import check_field_types

Reward = Callable[[int, list[int]], float]  # (number of the prompt, an answer to it) -> reward


@dataclass(frozen=True)
class Grpo:
    """Settings of a run.

    Attributes:
        steps: rounds of writing, rewarding and learning.
        prompts: prompts in each round.
        group_size: answers to each prompt, at least 2.
        updates: steps of the optimizer in each round, on the same answers.
        max_new_tokens: largest number of tokens of an answer.
        learning_rate: of AdamW, constant.
        epsilon: see :func:`companion.losses.group_relative.grpo_loss`.
        beta: see there.
    """

    steps: int = 40
    prompts: int = 8
    group_size: int = 8
    updates: int = 2
    max_new_tokens: int = 6
    learning_rate: float = 3e-4
    epsilon: float = 0.2
    beta: float = 0.04

    def __post_init__(self) -> None:
        """Raise ValueError on what is no count, on a group of one, and on a rate or a coefficient out of its range."""
        check_field_types(self)
        for name in ("steps", "prompts", "updates", "max_new_tokens"):
            check_integer(name, getattr(self, name))
        check_integer("group_size", self.group_size, least=2)
        for name in ("learning_rate", "epsilon", "beta"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be at least 0, and finite; got {getattr(self, name)}")


class Round(NamedTuple):
    """One round of a run, before its updates.

    Attributes:
        prompts: number of the prompt of each answer.
        answers: token ids that were written.
        rewards: of the answers.
    """

    prompts: list[int]
    answers: list[list[int]]
    rewards: list[float]


def write_answers(
    model: Any, prompts: Sequence[Sequence[int]], max_new_tokens: int, stop: int, decoding: Sampling
) -> list[list[int]]:
    """Answers that a model writes, one to each prompt, the token ``stop`` included where it was written.

    >>> from companion.models.gpt import GPT, GPTConfig
    >>> model = GPT(GPTConfig(vocab_size=9, context_length=8, n_layers=1, n_heads=2, d_model=8))
    >>> [len(answer) <= 3 for answer in write_answers(model, [[5], [3, 1, 4]], 3, 0, Sampling())]
    [True, True]

    Args:
        model: a causal model with a KV cache.
        prompts: token ids, of any lengths.
        max_new_tokens: largest number of tokens of an answer.
        stop: token that ends an answer.
        decoding: how tokens are chosen.

    Raises:
        ValueError: as :func:`companion.generation.generate`.
    """
    ids, real = left_padded(prompts)
    rows = generate(model, ids, max_new_tokens, attention_mask=real, decoding=decoding, stop=stop)[:, ids.size(1) :]
    return [row[: row.index(stop) + 1] if stop in row else row for row in rows.tolist()]


def grpo(
    policy: nn.Module,
    prompts: Sequence[Sequence[int]],
    reward: Reward,
    *,
    stop: int,
    settings: Grpo = Grpo(),
    seed: int = 0,
) -> list[Round]:
    """Train a model in place by GRPO, and return its rounds. The reference is the model as it was given.

    >>> from companion.models.gpt import GPT, GPTConfig
    >>> torch.manual_seed(0)  # doctest: +ELLIPSIS
    <torch...>
    >>> model = GPT(GPTConfig(vocab_size=9, context_length=8, n_layers=1, n_heads=2, d_model=8))
    >>> settings = Grpo(steps=30, prompts=1, max_new_tokens=1, learning_rate=0.05)
    >>> rounds = grpo(model, [[1, 2]], lambda number, answer: float(answer == [7]), stop=0, settings=settings)
    >>> sum(rounds[0].rewards) < sum(rounds[-1].rewards)  # 7 is what it learns to answer
    True

    Args:
        policy: a causal model with a KV cache.
        prompts: token ids of the prompts.
        reward: the number of a prompt and an answer, token ids -> reward.
        stop: token that ends an answer.
        settings: see :class:`Grpo`.
        seed: of the choice of prompts and of the answers.

    Raises:
        ValueError: when there are fewer prompts than a round takes, or as the loss and ``generate``.
    """
    if len(prompts) < settings.prompts:
        raise ValueError(f"a round takes {settings.prompts} prompts; there are {len(prompts)}")
    reference = copy.deepcopy(policy).eval()
    optimizer = torch.optim.AdamW(policy.parameters(), lr=settings.learning_rate, betas=(0.9, 0.95), weight_decay=0.0)
    draw, rounds = random.Random(seed), []
    for _ in range(settings.steps):
        chosen = [i for i in draw.sample(range(len(prompts)), settings.prompts) for _ in range(settings.group_size)]
        decoding = Sampling(seed=draw.getrandbits(62))
        answers = write_answers(policy, [prompts[i] for i in chosen], settings.max_new_tokens, stop, decoding)
        rewards = [reward(i, answer) for i, answer in zip(chosen, answers, strict=True)]
        rounds.append(Round(chosen, answers, rewards))
        batch = completions([prompts[i] for i in chosen], answers)
        _learn(policy, reference, optimizer, batch, rewards, settings)
    return rounds


def _learn(
    policy: nn.Module,
    reference: nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: Completions,
    rewards: Sequence[float],
    settings: Grpo,
) -> None:
    """The updates of one round."""
    advantages = group_advantages(torch.tensor(rewards).view(-1, settings.group_size)).flatten()
    real = batch.targets != IGNORED
    policy.eval()  # no dropout: the ratio compares the same network before and after
    with torch.no_grad():
        old, first = answer_log_probs(policy, batch), answer_log_probs(reference, batch)
    for _ in range(settings.updates):
        now = answer_log_probs(policy, batch)
        loss = grpo_loss(now, old, first, advantages, real, epsilon=settings.epsilon, beta=settings.beta)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
        optimizer.step()
