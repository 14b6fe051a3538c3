"""Equations of ``book/formulas/distillation_losses.ipynb``: divergence from a teacher's probabilities."""

import math
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor
from torch.distributions import Categorical, kl_divergence

from companion.distillation.losses import hinton_loss, soft_target_loss
from companion.distillation.outputs import ModelOutputs
from companion.lessons import by_torch
from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import between, distribution, normal, whole

TEMPERATURE = Symbol("T", "temperature")


CLASSES = Symbol("K", "number of classes")


STUDENT = Symbol("z^S_k", "the student's logit of class $k$")


SOFT_LOSS = Symbol(
    r"\mathcal{L}_{\mathrm{soft}}", "soft loss: divergence of the student from the soft targets, times $T^2$"
)


def _kl_by_hand(p: Tensor, q: Tensor) -> tuple[float, float]:
    classes = range(len(p))
    divergence = sum(float(p[k]) * math.log(p[k] / q[k]) for k in classes)
    cross_entropy = -sum(float(p[k]) * math.log(q[k]) for k in classes)
    entropy = -sum(float(p[k]) * math.log(p[k]) for k in classes)
    return divergence, cross_entropy - entropy


def _kl_companion(p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    loss = soft_target_loss(q.log()[None], p.log()[None], temperature=1.0)  # log-probabilities are logits too
    return loss, loss


def _kl_torch(p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    return F.kl_div(q.log(), p, reduction="sum"), F.cross_entropy(q.log(), p) - torch.special.entr(p).sum()


def _heated(g: Generator) -> dict[str, Any]:
    return {"z": 2 * normal(g, 5), "temperature": between(g, 0.7, 5)}


def _entropy_by_hand(z: Tensor, temperature: float) -> float:
    total = sum(math.exp(z_k / temperature) for z_k in z)
    p = [math.exp(z_k / temperature) / total for z_k in z]
    mean = sum(p[k] * float(z[k]) for k in range(len(z)))
    return sum(p[k] * (float(z[k]) - mean) ** 2 for k in range(len(z))) / temperature**3


def _entropy_torch(z: Tensor, temperature: float) -> Tensor:
    return by_torch.gradient(lambda t: by_torch.entropy(F.softmax(z / t, -1)), torch.tensor(temperature))


def _pair(g: Generator) -> dict[str, Any]:
    return {"student": 2 * normal(g, 5), "teacher": 2 * normal(g, 5), "temperature": between(g, 0.7, 5)}


def _gradient_by_hand(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    rows = []
    for z in (student, teacher):
        total = sum(math.exp(z_k / temperature) for z_k in z)
        rows.append([math.exp(z_k / temperature) / total for z_k in z])
    return torch.tensor([temperature * (q - p) for q, p in zip(*rows, strict=True)])


def _gradient_companion(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    return by_torch.gradient(lambda z: soft_target_loss(z[None], teacher[None], temperature), student)


def _gradient_torch(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    def loss(z: Tensor) -> Tensor:
        p, q = (Categorical(logits=scores / temperature) for scores in (teacher, z))
        return temperature**2 * kl_divergence(p, q)

    return by_torch.gradient(loss, student)


def _logits(g: Generator) -> dict[str, Any]:
    return {"student": normal(g, 4), "teacher": normal(g, 4)}


def _limit_by_hand(student: Tensor, teacher: Tensor) -> Tensor:
    n = len(student)
    ours = [float(z_k) - sum(float(z_j) for z_j in student) / n for z_k in student]
    theirs = [float(z_k) - sum(float(z_j) for z_j in teacher) / n for z_k in teacher]
    return torch.tensor([(ours[k] - theirs[k]) / n for k in range(n)])


def _limit_companion(student: Tensor, teacher: Tensor) -> Tensor:
    row = [_gradient_companion(student, teacher, 20.0 * 2**i) for i in range(7)]
    for order in range(1, len(row)):  # what is left at a high temperature has powers of 1 / T; take them off in turn
        row = [b + (b - a) / (2**order - 1) for a, b in pairwise(row)]
    return row[-1]


def _limit_torch(student: Tensor, teacher: Tensor) -> Tensor:
    def half_square(z: Tensor) -> Tensor:
        return F.mse_loss(z - z.mean(), teacher - teacher.mean()) / 2

    return by_torch.gradient(half_square, student)


def _mixed(g: Generator) -> dict[str, Any]:
    return {**_logits(g), "x": whole(g, 0, 3), "alpha": between(g, 0.1, 0.9)}


def _mix_by_hand(student: Tensor, teacher: Tensor, x: int, alpha: float) -> Tensor:
    q, p = ([math.exp(z_k) / sum(math.exp(z_j) for z_j in z) for z_k in z] for z in (student, teacher))
    target = [(1 - alpha) * (1 if k == x else 0) + alpha * p[k] for k in range(len(p))]
    return torch.tensor([q[k] - target[k] for k in range(len(q))])


def _mix_companion(student: Tensor, teacher: Tensor, x: int, alpha: float) -> Tensor:
    def loss(z: Tensor) -> Tensor:
        visible = torch.ones(1, 1, 1, dtype=torch.bool)
        ours, theirs = (ModelOutputs(logits[None], torch.tensor([x]), visible) for logits in (z, teacher))
        return hinton_loss(ours, theirs, temperature=1.0, alpha=alpha)

    return by_torch.gradient(loss, student)


def _mix_torch(student: Tensor, teacher: Tensor, x: int, alpha: float) -> Tensor:
    target = torch.lerp(F.one_hot(torch.tensor(x), len(teacher)).double(), F.softmax(teacher, -1), alpha)
    return by_torch.gradient(lambda z: F.cross_entropy(z, target), student)


EQUATIONS = (
    Equation(
        label="eq-distillation-losses-kl",
        symbols=(
            Symbol(r"\mathrm{KL}(p \,\|\, q)", "Kullback–Leibler divergence of $q$ from $p$, in nats"),
            Symbol("p_k", "probability of class $k$ under $p$"),
            Symbol("q_k", "probability of class $k$ under $q$"),
            Symbol("H(p, q)", "cross-entropy of $p$ and $q$"),
            Symbol("H(p)", "entropy of $p$"),
        ),
        draw=lambda g: {"p": distribution(g, 5), "q": distribution(g, 5)},
        by_hand=_kl_by_hand,
        companion=_kl_companion,
        library=_kl_torch,
    ),
    Equation(
        label="eq-distillation-losses-entropy",
        symbols=(
            Symbol("H(p_T)", "entropy of the distribution at temperature $T$, in nats"),
            Symbol("p_T", "softmax of the logits divided by $T$", "K"),
            Symbol("z", "logits", "K"),
            TEMPERATURE,
            Symbol(r"\mathrm{Var}_{p_T}(z)", "variance of the logits under $p_T$"),
        ),
        draw=_heated,
        by_hand=_entropy_by_hand,
        library=_entropy_torch,
    ),
    Equation(
        label="eq-distillation-losses-gradient",
        symbols=(
            SOFT_LOSS,
            STUDENT,
            TEMPERATURE,
            Symbol("q_k", "the student's probability of class $k$ at temperature $T$"),
            Symbol("p_k", "soft target: the teacher's probability of class $k$ at temperature $T$"),
        ),
        draw=_pair,
        by_hand=_gradient_by_hand,
        companion=_gradient_companion,
        library=_gradient_torch,
    ),
    Equation(
        label="eq-distillation-losses-limit",
        symbols=(
            SOFT_LOSS,
            STUDENT,
            TEMPERATURE,
            CLASSES,
            Symbol(r"\tilde{z}^S_k", "the student's centred logit of class $k$: less the mean of its logits"),
            Symbol(r"\tilde{z}^T_k", "the teacher's centred logit of class $k$: less the mean of its logits"),
        ),
        draw=_logits,
        by_hand=_limit_by_hand,
        companion=_limit_companion,
        library=_limit_torch,
    ),
    Equation(
        label="eq-distillation-losses-mix",
        symbols=(
            Symbol(r"\mathcal{L}", "hard and soft loss together, at temperature 1"),
            STUDENT,
            Symbol("q_k", "the student's probability of class $k$"),
            Symbol(r"\alpha", "weight of the soft loss, 0 to 1"),
            Symbol("y_k", "one-hot target: 1 for the right class, else 0"),
            Symbol("p_k", "the teacher's probability of class $k$"),
        ),
        draw=_mixed,
        by_hand=_mix_by_hand,
        companion=_mix_companion,
        library=_mix_torch,
    ),
)
