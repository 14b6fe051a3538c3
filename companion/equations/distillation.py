"""The equations of ``book/algorithms/distillation.ipynb`` about scores: temperature, divergence, Hinton's loss."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from companion.distillation import hinton_loss, soft_target_loss
from companion.equations.checking import Equation, Symbol
from companion.equations.drawing import between, normal, tokens
from companion.generation import next_token_probabilities
from companion.students import Seen

TEMPERATURE = Symbol("T", "temperature")
TEACHER = Symbol("p_k", "the teacher's softened probability of label $k$")
STUDENT = Symbol("q_k", "the student's softened probability of label $k$")
PLACES = Symbol("n", "places where something is asked")


def softened(scores: Tensor, temperature: float) -> list[float]:
    """Return ``exp(z_k / T) / sum_j exp(z_j / T)`` of one row of scores, in plain arithmetic."""
    powers = [math.exp(float(z) / temperature) for z in scores]
    return [power / sum(powers) for power in powers]


def divergences(student: Tensor, teacher: Tensor, temperature: float) -> list[float]:
    """Return ``sum_k p_k log (p_k / q_k)`` of each row (n, labels), in plain arithmetic."""
    pairs = [(softened(t, temperature), softened(s, temperature)) for s, t in zip(student, teacher, strict=True)]
    return [sum(a * math.log(a / b) for a, b in zip(p, q, strict=True)) for p, q in pairs]


def _soft(g: Generator) -> dict[str, Any]:
    return {"z": 2 * normal(g, 4), "temperature": between(g, 0.5, 5)}


def _soft_hand(z: Tensor, temperature: float) -> Tensor:
    return torch.tensor([math.exp(z[k] / temperature) / sum(math.exp(v / temperature) for v in z) for k in range(4)])


def _soft_ours(z: Tensor, temperature: float) -> Tensor:
    return next_token_probabilities(z, temperature=temperature)


def _soft_torch(z: Tensor, temperature: float) -> Tensor:
    return F.softmax(z / temperature, dim=-1)


def _scores(g: Generator) -> dict[str, Any]:
    return {"student": 2 * normal(g, 3, 4), "teacher": 2 * normal(g, 3, 4), "temperature": between(g, 0.8, 5)}


def _kl_hand(student: Tensor, teacher: Tensor, temperature: float) -> float:
    total = 0.0
    for s, t in zip(student, teacher, strict=True):
        p, q = softened(t, temperature), softened(s, temperature)
        total += sum(p[k] * math.log(p[k] / q[k]) for k in range(4))
    return temperature**2 * total / len(student)


def _kl_ours(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    return soft_target_loss(student, teacher, temperature)


def _kl_torch(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    p, q = (torch.distributions.Categorical(logits=z / temperature) for z in (teacher, student))
    return temperature**2 * torch.distributions.kl_divergence(p, q).mean()


def _gradient_hand(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    pairs = [(softened(s, temperature), softened(t, temperature)) for s, t in zip(student, teacher, strict=True)]
    return torch.tensor([[(b - a) / temperature for a, b in zip(p, q, strict=True)] for q, p in pairs])


def _gradient_ours(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    z = student.clone().requires_grad_()
    loss = soft_target_loss(z, teacher, temperature) * len(z) / temperature**2  # one place, and without the factor
    return torch.autograd.grad(loss, z)[0]


def _gradient_torch(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    z = student.clone().requires_grad_()
    log_q, p = F.log_softmax(z / temperature, -1), F.softmax(teacher / temperature, -1)
    return torch.autograd.grad(F.kl_div(log_q, p, reduction="sum"), z)[0]


def _hinton(g: Generator) -> dict[str, Any]:
    return {**_scores(g), "y": tokens(g, 4, 3), "alpha": between(g, 0.1, 0.9)}


def _hinton_hand(student: Tensor, teacher: Tensor, temperature: float, y: Tensor, alpha: float) -> float:
    n = len(y)
    hard = sum(-math.log(softened(student[i], 1.0)[int(y[i])]) for i in range(n)) / n
    soft = sum(divergences(student, teacher, temperature)) / n
    return (1 - alpha) * hard + alpha * temperature**2 * soft


def _hinton_ours(student: Tensor, teacher: Tensor, temperature: float, y: Tensor, alpha: float) -> Tensor:
    visible = torch.ones(3, 1, 1, dtype=torch.bool)
    ours, theirs = (Seen(z, y, visible) for z in (student, teacher))
    return hinton_loss(ours, theirs, temperature=temperature, alpha=alpha)


def _hinton_torch(student: Tensor, teacher: Tensor, temperature: float, y: Tensor, alpha: float) -> Tensor:
    log_q, log_p = (F.log_softmax(z / temperature, -1) for z in (student, teacher))
    soft = F.kl_div(log_q, log_p, reduction="batchmean", log_target=True)
    return torch.lerp(F.cross_entropy(student, y), temperature**2 * soft, alpha)


EQUATIONS = (
    Equation(
        "eq-distillation-soft",
        (
            Symbol("p_k", "softened probability of label $k$"),
            Symbol("z_k", "score of label $k$"),
            TEMPERATURE,
            Symbol("K", "labels"),
        ),
        _soft,
        _soft_hand,
        _soft_ours,
        _soft_torch,
    ),
    Equation(
        "eq-distillation-kl",
        (
            Symbol(r"\mathcal{L}_{\mathrm{soft}}", "how far the student's softened scores are from the teacher's"),
            TEMPERATURE,
            PLACES,
            Symbol("K", "labels"),
            Symbol("p_{ik}", "the teacher's softened probability of label $k$ at place $i$"),
            Symbol("q_{ik}", "the student's softened probability of label $k$ at place $i$"),
        ),
        _scores,
        _kl_hand,
        _kl_ours,
        _kl_torch,
    ),
    Equation(
        "eq-distillation-gradient",
        (
            Symbol("z^S_k", "the student's score of label $k$"),
            Symbol(r"\mathrm{KL}(p \,\|\, q)", "divergence of the student from the teacher, at one place"),
            TEMPERATURE,
            STUDENT,
            TEACHER,
        ),
        _scores,
        _gradient_hand,
        _gradient_ours,
        _gradient_torch,
    ),
    Equation(
        "eq-distillation-hinton",
        (
            Symbol(r"\alpha", "weight of what the teacher thinks, 0 to 1"),
            Symbol(r"\mathcal{L}_{\mathrm{hard}}", "cross-entropy of the labels, at temperature 1"),
            Symbol(r"\mathcal{L}_{\mathrm{soft}}", "how far the student's softened scores are from the teacher's"),
        ),
        _hinton,
        _hinton_hand,
        _hinton_ours,
        _hinton_torch,
    ),
)
