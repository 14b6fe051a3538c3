"""The equations of ``book/formulas/distillation_losses.ipynb`` about scores: divergence, temperature, targets."""

import math
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor
from torch.distributions import Categorical, kl_divergence

from companion.distillation import hinton_loss, soft_target_loss
from companion.equations.checking import Equation, Symbol
from companion.equations.drawing import between, normal, shares, whole
from companion.generation import next_token_probabilities
from companion.students import Seen

TEMPERATURE = Symbol("T", "temperature")
CLASSES = Symbol("K", "classes")
TEACHER = Symbol("z^T_k", "the teacher's logit of class $k$")
STUDENT = Symbol("z^S_k", "the student's logit of class $k$")
SOFT_LOSS = Symbol(r"\mathcal{L}_{\mathrm{soft}}", "how far the student's softened scores are from the teacher's")


def _two(g: Generator) -> dict[str, Any]:
    p, q = shares(g, 5), shares(g, 5)
    p[whole(g, 0, 4)] = 0.0  # a class that never comes adds nothing
    return {"p": p / p.sum(), "q": q}


def _kl_hand(p: Tensor, q: Tensor) -> tuple[float, float]:
    there = [k for k in range(len(p)) if p[k] > 0]
    divergence = sum(float(p[k]) * math.log(p[k] / q[k]) for k in there)
    cross_entropy = -sum(float(p[k]) * math.log(q[k]) for k in there)
    entropy = -sum(float(p[k]) * math.log(p[k]) for k in there)
    return divergence, cross_entropy - entropy


def _kl_ours(p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    there = p > 0
    left_out = 1 - q[there].sum()  # which the function spreads over the others, since it takes a softmax
    loss = soft_target_loss(q[there].log()[None], p[there].log()[None], temperature=1.0) - torch.log1p(-left_out)
    return loss, loss


def _kl_torch(p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    return F.kl_div(q.log(), p, reduction="sum"), F.cross_entropy(q.log(), p) - torch.special.entr(p).sum()


def _heated(g: Generator) -> dict[str, Any]:
    return {"z": 2 * normal(g, 5), "temperature": between(g, 0.7, 5)}


def _entropy_hand(z: Tensor, temperature: float) -> float:
    total = sum(math.exp(z_k / temperature) for z_k in z)
    p = [math.exp(z_k / temperature) / total for z_k in z]
    mean = sum(p[k] * float(z[k]) for k in range(len(z)))
    return sum(p[k] * (float(z[k]) - mean) ** 2 for k in range(len(z))) / temperature**3


def _entropy_ours(z: Tensor, temperature: float) -> Tensor:
    step = 0.05 * temperature

    def at(heat: float) -> Tensor:
        return torch.special.entr(next_token_probabilities(z, temperature=heat)).sum()

    def slope(width: float) -> Tensor:
        return (at(temperature + width) - at(temperature - width)) / (2 * width)

    row = [slope(step / 2**i) for i in range(7)]
    for order in range(1, len(row)):  # the error of a slope has even powers of the width; take them off in turn
        row = [b + (b - a) / (4**order - 1) for a, b in pairwise(row)]
    return row[-1]


def _entropy_torch(z: Tensor, temperature: float) -> Tensor:
    heat = torch.tensor(temperature)
    result: Tensor = torch.func.grad(lambda t: Categorical(logits=z / t).entropy())(heat)
    return result


def _pair(g: Generator) -> dict[str, Any]:
    return {"student": 2 * normal(g, 5), "teacher": 2 * normal(g, 5), "temperature": between(g, 0.7, 5)}


def _gradient_hand(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    rows = []
    for z in (student, teacher):
        total = sum(math.exp(z_k / temperature) for z_k in z)
        rows.append([math.exp(z_k / temperature) / total for z_k in z])
    return torch.tensor([temperature * (q - p) for q, p in zip(*rows, strict=True)])


def _gradient_ours(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    z = student.clone().requires_grad_()
    return torch.autograd.grad(soft_target_loss(z[None], teacher[None], temperature), z)[0]


def _gradient_torch(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    def loss(z: Tensor) -> Tensor:
        p, q = (Categorical(logits=scores / temperature) for scores in (teacher, z))
        return temperature**2 * kl_divergence(p, q)

    result: Tensor = torch.func.grad(loss)(student)
    return result


def _logits(g: Generator) -> dict[str, Any]:
    return {"student": normal(g, 4), "teacher": normal(g, 4)}


def _limit_hand(student: Tensor, teacher: Tensor) -> Tensor:
    n = len(student)
    ours = [float(z_k) - sum(float(z_j) for z_j in student) / n for z_k in student]
    theirs = [float(z_k) - sum(float(z_j) for z_j in teacher) / n for z_k in teacher]
    return torch.tensor([(ours[k] - theirs[k]) / n for k in range(n)])


def _limit_ours(student: Tensor, teacher: Tensor) -> Tensor:
    row = [_gradient_ours(student, teacher, 20.0 * 2**i) for i in range(7)]
    for order in range(1, len(row)):  # what is left at a high temperature has powers of 1 / T; take them off in turn
        row = [b + (b - a) / (2**order - 1) for a, b in pairwise(row)]
    return row[-1]


def _limit_torch(student: Tensor, teacher: Tensor) -> Tensor:
    def half_square(z: Tensor) -> Tensor:
        return F.mse_loss(z - z.mean(), teacher - teacher.mean()) / 2

    result: Tensor = torch.func.grad(half_square)(student)
    return result


def _mixed(g: Generator) -> dict[str, Any]:
    return {**_logits(g), "x": whole(g, 0, 3), "alpha": between(g, 0.1, 0.9)}


def _mix_hand(student: Tensor, teacher: Tensor, x: int, alpha: float) -> Tensor:
    q, p = ([math.exp(z_k) / sum(math.exp(z_j) for z_j in z) for z_k in z] for z in (student, teacher))
    target = [(1 - alpha) * (1 if k == x else 0) + alpha * p[k] for k in range(len(p))]
    return torch.tensor([q[k] - target[k] for k in range(len(q))])


def _mix_ours(student: Tensor, teacher: Tensor, x: int, alpha: float) -> Tensor:
    z, y, visible = student.clone().requires_grad_(), torch.tensor([x]), torch.ones(1, 1, 1, dtype=torch.bool)
    loss = hinton_loss(Seen(z[None], y, visible), Seen(teacher[None], y, visible), temperature=1.0, alpha=alpha)
    return torch.autograd.grad(loss, z)[0]


def _mix_torch(student: Tensor, teacher: Tensor, x: int, alpha: float) -> Tensor:
    target = torch.lerp(F.one_hot(torch.tensor(x), len(teacher)).double(), F.softmax(teacher, -1), alpha)
    result: Tensor = torch.func.grad(lambda z: F.cross_entropy(z, target))(student)
    return result


EQUATIONS = (
    Equation(
        "eq-distillation-losses-kl",
        (
            Symbol(r"\mathrm{KL}(p \,\|\, q)", "Kullback–Leibler divergence of $q$ from $p$, in nats"),
            Symbol("p_k", "probability of class $k$ under $p$"),
            Symbol("q_k", "probability of class $k$ under $q$"),
            Symbol("H(p, q)", "cross-entropy of $p$ and $q$"),
            Symbol("H(p)", "entropy of $p$"),
        ),
        _two,
        _kl_hand,
        _kl_ours,
        _kl_torch,
    ),
    Equation(
        "eq-distillation-losses-entropy",
        (
            Symbol("H(p_T)", "entropy of the softened distribution, in nats"),
            Symbol("p_T", "softmax of the logits divided by $T$", "K"),
            Symbol("z", "logits", "K"),
            TEMPERATURE,
            Symbol(r"\mathrm{Var}_{p_T}(z)", "variance of the logits, each with its softened probability"),
        ),
        _heated,
        _entropy_hand,
        _entropy_ours,
        _entropy_torch,
    ),
    Equation(
        "eq-distillation-losses-gradient",
        (
            SOFT_LOSS,
            STUDENT,
            TEMPERATURE,
            Symbol("q_k", "the student's softened probability of class $k$"),
            Symbol("p_k", "the teacher's softened probability of class $k$"),
        ),
        _pair,
        _gradient_hand,
        _gradient_ours,
        _gradient_torch,
    ),
    Equation(
        "eq-distillation-losses-limit",
        (
            SOFT_LOSS,
            STUDENT,
            TEMPERATURE,
            CLASSES,
            Symbol(r"\tilde{z}^S_k", "the student's logit of class $k$, less the mean of its logits"),
            Symbol(r"\tilde{z}^T_k", "the teacher's logit of class $k$, less the mean of its logits"),
        ),
        _logits,
        _limit_hand,
        _limit_ours,
        _limit_torch,
    ),
    Equation(
        "eq-distillation-losses-mix",
        (
            Symbol(r"\mathcal{L}", "hard and soft loss together, at temperature 1"),
            STUDENT,
            Symbol("q_k", "the student's probability of class $k$"),
            Symbol(r"\alpha", "weight of what the teacher thinks, 0 to 1"),
            Symbol("y_k", "1 for the right class, else 0"),
            Symbol("p_k", "the teacher's probability of class $k$"),
        ),
        _mixed,
        _mix_hand,
        _mix_ours,
        _mix_torch,
    ),
)
