"""Exercises of ``book/formulas/distillation_losses.ipynb``."""

import torch
import torch.nn.functional as F
from torch import Tensor

from companion.lessons.exercise_check import Exercise, Mistake


def _two_distributions() -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    cases = []
    for k in (3, 5, 4):
        p, q = (torch.randn(k, generator=generator).exp() for _ in range(2))
        p[0] = 0.0
        cases.append((p / p.sum(), q / q.sum()))
    return [*cases, (torch.tensor([0.5, 0.5, 0.0]), torch.tensor([1.0, 0.0, 0.0]))]


def _kl(p: Tensor, q: Tensor) -> Tensor:
    there = p > 0
    return (p[there] * (p[there] / q[there]).log()).sum()


KL = Exercise(
    name="kl-divergence",
    task=(
        "From the distributions `p` and `q`, (K,) each, return KL(p || q) in nats; where p is 0 a class adds nothing, "
        "and where q alone is 0 the divergence is infinite."
    ),
    reference=_kl,
    cases=_two_distributions,
    mistakes=(
        Mistake(
            lambda p, q: (p * (p / q).log()).sum(),
            "Where p is 0 you compute 0 times minus infinity, which is not a number. Such a class adds nothing.",
        ),
        Mistake(
            lambda p, q: _kl(q, p),
            "That is KL(q || p). The expectation is under p, the first.",
        ),
        Mistake(
            lambda p, q: -(p[p > 0] * q[p > 0].log()).sum(),
            "That is the cross-entropy. Take the entropy of p off.",
        ),
        Mistake(
            lambda p, q: _kl(p, q.clamp(min=1e-9)),
            "You never say infinity: q was kept away from 0. A distribution that rules out what happens is infinitely "
            "far.",
        ),
        Mistake(
            lambda p, q: (p[(p > 0) & (q > 0)] * (p / q)[(p > 0) & (q > 0)].log()).sum(),
            "You leave out the classes where q is 0. There the divergence is infinite, unless p is 0 as well.",
        ),
    ),
)


def _two_models() -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    cases = []
    for n, k in ((1, 3), (2, 5), (4, 4)):
        student, teacher = (1 + 2 * torch.randn(n, k, generator=generator) for _ in range(2))
        cases.append((student, teacher))
    return cases


def _limit(student: Tensor, teacher: Tensor) -> Tensor:
    gap = student - teacher
    return (gap - gap.mean(-1, keepdim=True)) / student.size(-1)


LIMIT = Exercise(
    name="hot-gradient",
    task=(
        "From the logits of `student` and `teacher`, (n, K) each, return what the gradient of T^2 KL at each position "
        "approaches as T grows, (n, K)."
    ),
    reference=_limit,
    cases=_two_models,
    mistakes=(
        Mistake(
            lambda student, teacher: (student - teacher) / student.size(-1),
            "The logits are to be centred: take the mean of each row away, or the entries do not sum to 0.",
        ),
        Mistake(
            lambda student, teacher: _limit(student, teacher) * student.size(-1),
            "The K is missing: at high temperature each of the K probabilities is near 1 / K.",
        ),
        Mistake(
            lambda student, teacher: -_limit(student, teacher),
            "The sign is turned round: where the student's logit is too high, the gradient is positive.",
        ),
        Mistake(
            lambda student, teacher: torch.zeros_like(student),
            "Without the factor T^2 it would vanish. With it, the limit is not 0.",
        ),
    ),
)


def _targets() -> list[tuple[Tensor, Tensor, Tensor, float]]:
    generator = torch.Generator().manual_seed(2)
    cases = []
    for (student, teacher), alpha in zip(_two_models(), (0.9, 0.3, 0.6), strict=True):
        x = torch.randint(student.size(-1), (len(student),), generator=generator)
        cases.append((student, teacher, x, alpha))
    return cases


def _mix(student: Tensor, teacher: Tensor, x: Tensor, alpha: float) -> Tensor:
    y = F.one_hot(x, student.size(-1))
    return student.softmax(-1) - (1 - alpha) * y - alpha * teacher.softmax(-1)


MIX = Exercise(
    name="mixed-gradient",
    task=(
        "From the logits of `student` and `teacher`, (n, K) each, the right classes `x` (n,) and `alpha`, return the "
        "gradient (n, K) of (1 - alpha) hard + alpha soft at each position, at temperature 1 and without autograd."
    ),
    reference=_mix,
    cases=_targets,
    mistakes=(
        Mistake(
            lambda student, teacher, x, alpha: _mix(student, teacher, x, 1 - alpha),
            "You have exchanged the weights: alpha belongs to the teacher.",
        ),
        Mistake(
            lambda student, teacher, x, alpha: _mix(student, teacher, x, 0.0),
            "The teacher has no part in it: that is the gradient of the hard loss.",
        ),
        Mistake(
            lambda student, teacher, x, alpha: _mix(student, teacher, x, 1.0),
            "The labels have no part in it: that is the gradient of the soft loss.",
        ),
        Mistake(
            lambda student, teacher, x, alpha: _mix(
                student, 1e4 * F.one_hot(teacher.argmax(-1), teacher.size(-1)).float(), x, alpha
            ),
            "You take the teacher's answer alone. What it teaches are all of its probabilities.",
        ),
    ),
)


def _vectors() -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(3)
    return [(2 * torch.randn(d, generator=generator), 3 * torch.randn(d, generator=generator)) for d in (2, 3, 5)]


def _turn(s: Tensor, t: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(s)
    one, other = F.normalize(s, dim=0), F.normalize(t, dim=0)
    return ((one @ other) * one - other) / length


TURN = Exercise(
    name="cosine-gradient",
    task=(
        "From the vectors `s` of the student and `t` of the teacher, (d,) each, return the gradient of 1 - cos(s, t) "
        "by s, (d,), without autograd."
    ),
    reference=_turn,
    cases=_vectors,
    mistakes=(
        Mistake(
            lambda s, t: _turn(s, t) * s.norm(),
            "The longer s is, the less a step turns it: divide by its length.",
        ),
        Mistake(
            lambda s, t: -t / t.norm() / s.norm(),
            "You hold the length of s for a constant. Take off what points along s itself.",
        ),
        Mistake(
            lambda s, t: -_turn(s, t),
            "That is the gradient of the cosine. The loss is 1 minus it.",
        ),
        Mistake(
            lambda s, t: _turn(t, s),
            "You differentiate by the teacher's vector. The teacher does not change.",
        ),
    ),
)


def _scores() -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(4)
    return [
        (torch.randn(h, n, n, generator=generator), 2 * torch.randn(h, n, n, generator=generator))
        for h, n in ((1, 3), (2, 4), (3, 2))
    ]


def _unseen(s: Tensor, t: Tensor) -> Tensor:
    return (s - t).mean(-1).square().mean()


UNSEEN = Exercise(
    name="unseen-scores",
    task=(
        "From the scores before the softmax of student `s` and teacher `t`, (heads, n, n) each, return the part of "
        "their mean squared difference that no softmax over the keys can see, a scalar."
    ),
    reference=_unseen,
    cases=_scores,
    mistakes=(
        Mistake(
            lambda s, t: (s - t).square().mean(),
            "That is the whole. Only what is the same for all keys of a query is cancelled.",
        ),
        Mistake(
            lambda s, t: (s - t).square().mean() - _unseen(s, t),
            "That is the part that the softmax does see. You are asked for the rest.",
        ),
        Mistake(
            lambda s, t: (s - t).mean(-2).square().mean(),
            "Your mean runs over the queries. The softmax runs over the keys, the last axis.",
        ),
        Mistake(
            lambda s, t: (s - t).mean().square(),
            "Each query has a mean of its own: square the means first, and average the squares.",
        ),
    ),
)


EXERCISES = (
    KL,
    LIMIT,
    MIX,
    TURN,
    UNSEEN,
)
