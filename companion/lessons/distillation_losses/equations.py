"""The equations of ``book/formulas/distillation_losses.ipynb`` about scores: divergence, temperature, targets."""

import math
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor
from torch.distributions import Categorical, kl_divergence

from companion.distillation.losses import (
    distilbert_loss,
    hinton_loss,
    pkd_loss,
    soft_target_loss,
    tinybert_losses,
)
from companion.distillation.outputs import ModelOutputs, centred_scores
from companion.distillation.student import Student
from companion.generation.sampling import next_token_probabilities
from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import between, normal, shares, whole

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
    loss = hinton_loss(
        ModelOutputs(z[None], y, visible), ModelOutputs(teacher[None], y, visible), temperature=1.0, alpha=alpha
    )
    return torch.autograd.grad(loss, z)[0]


def _mix_torch(student: Tensor, teacher: Tensor, x: int, alpha: float) -> Tensor:
    target = torch.lerp(F.one_hot(torch.tensor(x), len(teacher)).double(), F.softmax(teacher, -1), alpha)
    result: Tensor = torch.func.grad(lambda z: F.cross_entropy(z, target))(student)
    return result


UNIT_STUDENT = Symbol(r"\hat{s}", "the student's vector $s$ divided by its length", "d")
UNIT_TEACHER = Symbol(r"\hat{t}", "the teacher's vector $t$ divided by its length", "d")
COSINE = Symbol(r"\cos(s, t)", r"cosine of the angle between the two, $\hat{s} \cdot \hat{t}$")


def _seen(hidden: list[Tensor], attention: tuple[Tensor, ...] = ()) -> ModelOutputs:
    """A text of which nothing is left to learn but its insides: (n, d) each, attention (heads, n, n)."""
    n = len(hidden[0])
    visible = torch.ones(1, n, n, dtype=torch.bool)
    logits, targets = torch.zeros(1, n, 2), torch.zeros(1, n).long()
    return ModelOutputs(logits, targets, visible, [h[None] for h in hidden], [a[None] for a in attention])


def _vectors(g: Generator) -> dict[str, Any]:
    return {"s": normal(g, 4), "t": normal(g, 4)}


def _cosine_hand(s: Tensor, t: Tensor) -> Tensor:
    length, other = (math.sqrt(sum(float(v_i) ** 2 for v_i in v)) for v in (s, t))
    cosine = sum(float(s[i]) / length * float(t[i]) / other for i in range(len(s)))
    return torch.tensor([-(float(t[i]) / other - cosine * float(s[i]) / length) / length for i in range(len(s))])


def _cosine_ours(s: Tensor, t: Tensor) -> Tensor:
    s = s.clone().requires_grad_()
    loss = distilbert_loss(_seen([s[None]]), _seen([t[None]]), weights=(0.0, 0.0, 1.0))
    return torch.autograd.grad(loss, s)[0]


def _cosine_torch(s: Tensor, t: Tensor) -> Tensor:
    result: Tensor = torch.func.grad(lambda v: 1 - F.normalize(v, dim=0) @ F.normalize(t, dim=0))(s)
    return result


def _patience_hand(s: Tensor, t: Tensor) -> tuple[float, float]:
    length, other = (math.sqrt(sum(float(v_i) ** 2 for v_i in v)) for v in (s, t))
    distance = sum((float(s[i]) / length - float(t[i]) / other) ** 2 for i in range(len(s)))
    cosine = sum(float(s[i]) * float(t[i]) for i in range(len(s))) / (length * other)
    return distance, 2 - 2 * cosine


def _patience_ours(s: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    student, teacher = _seen([s[None]] * 3), _seen([t[None]] * 3)  # equal scores, so alpha = 1 leaves the patience
    loss = pkd_loss(student, teacher, (1, 2), alpha=1.0)
    return loss, loss


def _patience_torch(s: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    apart = F.pairwise_distance(F.normalize(s, dim=0), F.normalize(t, dim=0), eps=0.0)
    return apart.square(), 2 - 2 * F.cosine_similarity(s, t, dim=0)


def _matrices(g: Generator) -> dict[str, Any]:
    return {"h": normal(g, 3, 2), "w": normal(g, 2, 4), "teacher": normal(g, 3, 4)}


def _projection_hand(h: Tensor, w: Tensor, teacher: Tensor) -> tuple[float, Tensor]:
    (n, narrow), wide = h.shape, w.size(1)
    gap = [
        [sum(float(h[i, a] * w[a, c]) for a in range(narrow)) - float(teacher[i, c]) for c in range(wide)]
        for i in range(n)
    ]
    loss = sum(gap[i][c] ** 2 for i in range(n) for c in range(wide)) / (n * wide)
    slope = [
        [2 / (n * wide) * sum(float(h[i, a]) * gap[i][c] for i in range(n)) for c in range(wide)] for a in range(narrow)
    ]
    return loss, torch.tensor(slope)


def _projection_ours(h: Tensor, w: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    student = Student(_Narrow(h.size(1)), d_teacher=w.size(1))
    with torch.no_grad():
        student.hidden_projection.weight.copy_(w.T)
    projected = [part[0] for part in student.projected([h[None], h[None]])]
    attention = (torch.ones(1, 3, 3) / 3,)
    loss = tinybert_losses(_seen(projected, attention), _seen([teacher, teacher], attention), (1,))["hidden"]
    return loss, torch.autograd.grad(loss, student.hidden_projection.weight)[0].T


class _Narrow(torch.nn.Module):
    """A model of which nothing is known but its width."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.config = type("Config", (), {"d_model": d_model})


def _projection_torch(h: Tensor, w: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    slope, loss = torch.func.grad_and_value(lambda matrix: F.mse_loss(F.linear(h, matrix.T), teacher))(w)
    return loss, slope


def _heads(g: Generator) -> dict[str, Any]:
    return {"s": 2 * normal(g, 2, 3, 3), "t": 2 * normal(g, 2, 3, 3)}


def _attention_hand(s: Tensor, t: Tensor) -> tuple[float, float, float]:
    heads, n, _ = s.shape
    whole, centred, means = 0.0, 0.0, 0.0
    for head in range(heads):
        for i in range(n):
            gap = [float(s[head, i, j]) - float(t[head, i, j]) for j in range(n)]
            mean = sum(gap) / n
            whole += sum(value**2 for value in gap) / (heads * n * n)
            centred += sum((value - mean) ** 2 for value in gap) / (heads * n * n)
            means += mean**2 / (heads * n)
    return whole, centred, centred + means


def _attention_ours(s: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    hidden = [torch.zeros(3, 1)] * 2
    student, teacher = _seen(hidden, (s.softmax(-1),)), _seen(hidden, (t.softmax(-1),))
    centred = tinybert_losses(student, teacher, (1,))["attention"]
    rest = [scores - centred_scores(scores.softmax(-1)[None], student.visible)[0] for scores in (s, t)]
    whole = centred + (rest[0] - rest[1]).square().mean()
    return whole, centred, whole


def _attention_torch(s: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    spread = (s - t).var(-1, correction=0).mean()
    return F.mse_loss(s, t), spread, spread + F.mse_loss(s.mean(-1), t.mean(-1))


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
    Equation(
        "eq-distillation-losses-cosine",
        (Symbol("s", "the student's vector of a token", "d"), COSINE, UNIT_STUDENT, UNIT_TEACHER),
        _vectors,
        _cosine_hand,
        _cosine_ours,
        _cosine_torch,
    ),
    Equation(
        "eq-distillation-losses-patience",
        (UNIT_STUDENT, UNIT_TEACHER, COSINE),
        _vectors,
        _patience_hand,
        _patience_ours,
        _patience_torch,
    ),
    Equation(
        "eq-distillation-losses-projection",
        (
            Symbol(r"\mathcal{L}_{\mathrm{hidden}}", "how far the student's projected vectors are from the teacher's"),
            Symbol("n", "tokens"),
            Symbol("d_T", "width of the teacher"),
            Symbol("H^S", "the student's vectors after a layer, one a row", r"n \times d_S"),
            Symbol("W", "the projection; learned", r"d_S \times d_T"),
            Symbol("H^T", "the teacher's vectors after its layer, one a row", r"n \times d_T"),
        ),
        _matrices,
        _projection_hand,
        _projection_ours,
        _projection_torch,
    ),
    Equation(
        "eq-distillation-losses-attention",
        (
            Symbol("A^S, A^T", "scores of student and teacher before the softmax", r"h \times n \times n"),
            Symbol(r"\tilde{A}^S, \tilde{A}^T", "the same, each row less its mean", r"h \times n \times n"),
            Symbol(r"\bar{A}^S, \bar{A}^T", "the means of the rows", r"h \times n"),
            Symbol(r"\mathrm{MSE}", "mean of the squared differences of all entries"),
        ),
        _heads,
        _attention_hand,
        _attention_ours,
        _attention_torch,
    ),
)
