"""Equations of ``book/algorithms/distillation.ipynb``: a teacher's probabilities."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from companion.distillation.losses import hinton_loss, soft_target_loss
from companion.distillation.outputs import ModelOutputs
from companion.generation.sampling import next_token_probabilities
from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import between, normal, tokens

TEMPERATURE = Symbol("T", "temperature")


TEACHER = Symbol("p_k", "soft target: the teacher's probability of label $k$ at temperature $T$")


STUDENT = Symbol("q_k", "the student's probability of label $k$ at temperature $T$")


POSITIONS = Symbol("n", "number of positions with a target")


def _softened(scores: Tensor, temperature: float) -> list[float]:
    """Softmax of one row of logits at a temperature, ``exp(z_k / T) / sum_j exp(z_j / T)``, in plain arithmetic."""
    powers = [math.exp(float(z) / temperature) for z in scores]
    return [power / sum(powers) for power in powers]


def _divergences(student: Tensor, teacher: Tensor, temperature: float) -> list[float]:
    """KL divergence of each row (n, labels), ``sum_k p_k log (p_k / q_k)``, in plain arithmetic."""
    pairs = [(_softened(t, temperature), _softened(s, temperature)) for s, t in zip(student, teacher, strict=True)]
    return [sum(a * math.log(a / b) for a, b in zip(p, q, strict=True)) for p, q in pairs]


def _soft(g: Generator) -> dict[str, Any]:
    return {"z": 2 * normal(g, 4), "temperature": between(g, 0.5, 5)}


def _soft_by_hand(z: Tensor, temperature: float) -> Tensor:
    total = sum(math.exp(z_j / temperature) for z_j in z)
    return torch.tensor([math.exp(z_k / temperature) / total for z_k in z])


def _soft_companion(z: Tensor, temperature: float) -> Tensor:
    return next_token_probabilities(z, temperature=temperature)


def _soft_torch(z: Tensor, temperature: float) -> Tensor:
    return F.softmax(z / temperature, dim=-1)


def _scores(g: Generator) -> dict[str, Any]:
    return {"student": 2 * normal(g, 3, 4), "teacher": 2 * normal(g, 3, 4), "temperature": between(g, 0.8, 5)}


def _kl_by_hand(student: Tensor, teacher: Tensor, temperature: float) -> float:
    total = 0.0
    for s, t in zip(student, teacher, strict=True):
        p, q = _softened(t, temperature), _softened(s, temperature)
        total += sum(p[k] * math.log(p[k] / q[k]) for k in range(4))
    return temperature**2 * total / len(student)


def _kl_companion(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    return soft_target_loss(student, teacher, temperature)


def _kl_torch(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    p, q = (torch.distributions.Categorical(logits=z / temperature) for z in (teacher, student))
    return temperature**2 * torch.distributions.kl_divergence(p, q).mean()


def _gradient_by_hand(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    pairs = [(_softened(s, temperature), _softened(t, temperature)) for s, t in zip(student, teacher, strict=True)]
    return torch.tensor([[(b - a) / temperature for a, b in zip(p, q, strict=True)] for q, p in pairs])


def _gradient_companion(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    z = student.clone().requires_grad_()
    loss = soft_target_loss(z, teacher, temperature) * len(z) / temperature**2  # one position, without the factor T^2
    return torch.autograd.grad(loss, z)[0]


def _gradient_torch(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    z = student.clone().requires_grad_()
    log_q, p = F.log_softmax(z / temperature, -1), F.softmax(teacher / temperature, -1)
    return torch.autograd.grad(F.kl_div(log_q, p, reduction="sum"), z)[0]


def _hinton(g: Generator) -> dict[str, Any]:
    return {**_scores(g), "y": tokens(g, 4, 3), "alpha": between(g, 0.1, 0.9)}


def _hinton_by_hand(student: Tensor, teacher: Tensor, temperature: float, y: Tensor, alpha: float) -> float:
    n = len(y)
    hard = sum(-math.log(_softened(student[i], 1.0)[int(y[i])]) for i in range(n)) / n
    soft = sum(_divergences(student, teacher, temperature)) / n
    return (1 - alpha) * hard + alpha * temperature**2 * soft


def _hinton_companion(student: Tensor, teacher: Tensor, temperature: float, y: Tensor, alpha: float) -> Tensor:
    visible = torch.ones(3, 1, 1, dtype=torch.bool)
    ours, theirs = (ModelOutputs(z, y, visible) for z in (student, teacher))
    return hinton_loss(ours, theirs, temperature=temperature, alpha=alpha)


def _hinton_torch(student: Tensor, teacher: Tensor, temperature: float, y: Tensor, alpha: float) -> Tensor:
    log_q, log_p = (F.log_softmax(z / temperature, -1) for z in (student, teacher))
    soft = F.kl_div(log_q, log_p, reduction="batchmean", log_target=True)
    return torch.lerp(F.cross_entropy(student, y), temperature**2 * soft, alpha)


HARD = Symbol(r"\mathcal{L}_{\mathrm{hard}}", "hard loss: cross-entropy of the labels, at temperature 1")


SOFT = Symbol(r"\mathcal{L}_{\mathrm{soft}}", "soft loss: divergence of the student from the soft targets, times $T^2$")


EQUATIONS = (
    Equation(
        label="eq-distillation-soft",
        symbols=(
            Symbol("p_k", "probability of label $k$ at temperature $T$"),
            Symbol("z_k", "logit of label $k$"),
            TEMPERATURE,
            Symbol("K", "number of labels"),
        ),
        draw=_soft,
        by_hand=_soft_by_hand,
        companion=_soft_companion,
        library=_soft_torch,
    ),
    Equation(
        label="eq-distillation-kl",
        symbols=(
            SOFT,
            TEMPERATURE,
            POSITIONS,
            Symbol("K", "number of labels"),
            Symbol("p_{ik}", "soft target: the teacher's probability of label $k$ at position $i$, at temperature $T$"),
            Symbol("q_{ik}", "the student's probability of label $k$ at position $i$, at temperature $T$"),
        ),
        draw=_scores,
        by_hand=_kl_by_hand,
        companion=_kl_companion,
        library=_kl_torch,
    ),
    Equation(
        label="eq-distillation-gradient",
        symbols=(
            Symbol("z^S_k", "the student's logit of label $k$"),
            Symbol(
                r"\mathrm{KL}(p \,\|\, q)",
                "Kullback–Leibler divergence of the student from the teacher, at one position",
            ),
            TEMPERATURE,
            STUDENT,
            TEACHER,
        ),
        draw=_scores,
        by_hand=_gradient_by_hand,
        companion=_gradient_companion,
        library=_gradient_torch,
    ),
    Equation(
        label="eq-distillation-hinton",
        symbols=(
            Symbol(r"\alpha", "weight of the soft loss, 0 to 1"),
            HARD,
            SOFT,
        ),
        draw=_hinton,
        by_hand=_hinton_by_hand,
        companion=_hinton_companion,
        library=_hinton_torch,
    ),
)
