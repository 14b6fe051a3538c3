"""Equations of ``book/formulas/distillation_losses.ipynb``."""

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
    soft_target_loss,
    tinybert_losses,
)
from companion.distillation.outputs import ModelOutputs, centred_scores
from companion.distillation.student import Student
from companion.lessons import by_torch
from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import between, distribution, normal, whole
from companion.models.bert import Bert, BertConfig

TEMPERATURE = Symbol("T", "temperature")
CLASSES = Symbol("K", "number of classes")
TEACHER = Symbol("z^T_k", "the teacher's logit of class $k$")
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


UNIT_STUDENT = Symbol(r"\hat{s}", "the student's vector $s$ divided by its length", "d")
UNIT_TEACHER = Symbol(r"\hat{t}", "the teacher's vector $t$ divided by its length", "d")
COSINE = Symbol(r"\cos(s, t)", r"cosine similarity, $\hat{s} \cdot \hat{t}$")


def _outputs(hidden: list[Tensor], attention: tuple[Tensor, ...] = ()) -> ModelOutputs:
    """Outputs for one text with these hidden states (n, d) and attention weights (heads, n, n), logits all 0."""
    n = len(hidden[0])
    visible = torch.ones(1, n, n, dtype=torch.bool)
    logits, targets = torch.zeros(1, n, 2), torch.zeros(1, n).long()
    return ModelOutputs(logits, targets, visible, [h[None] for h in hidden], [a[None] for a in attention])


def _vectors(g: Generator) -> dict[str, Any]:
    return {"s": normal(g, 4), "t": normal(g, 4)}


def _cosine_by_hand(s: Tensor, t: Tensor) -> Tensor:
    length, other = (math.sqrt(sum(float(v_i) ** 2 for v_i in v)) for v in (s, t))
    cosine = sum(float(s[i]) / length * float(t[i]) / other for i in range(len(s)))
    return torch.tensor([-(float(t[i]) / other - cosine * float(s[i]) / length) / length for i in range(len(s))])


def _cosine_companion(s: Tensor, t: Tensor) -> Tensor:
    def loss(vector: Tensor) -> Tensor:
        return distilbert_loss(_outputs([vector[None]]), _outputs([t[None]]), weights=(0.0, 0.0, 1.0))

    return by_torch.gradient(loss, s)


def _cosine_torch(s: Tensor, t: Tensor) -> Tensor:
    return by_torch.gradient(lambda v: 1 - F.normalize(v, dim=0) @ F.normalize(t, dim=0), s)


def _patience_by_hand(s: Tensor, t: Tensor) -> tuple[float, float]:
    length, other = (math.sqrt(sum(float(v_i) ** 2 for v_i in v)) for v in (s, t))
    distance = sum((float(s[i]) / length - float(t[i]) / other) ** 2 for i in range(len(s)))
    cosine = sum(float(s[i]) * float(t[i]) for i in range(len(s))) / (length * other)
    return distance, 2 - 2 * cosine


def _patience_torch(s: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    apart = F.pairwise_distance(F.normalize(s, dim=0), F.normalize(t, dim=0), eps=0.0)
    return apart.square(), 2 - 2 * F.cosine_similarity(s, t, dim=0)


def _matrices(g: Generator) -> dict[str, Any]:
    return {"h": normal(g, 3, 2), "w": normal(g, 2, 4), "teacher": normal(g, 3, 4)}


def _projection_by_hand(h: Tensor, w: Tensor, teacher: Tensor) -> tuple[float, Tensor]:
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


def _projection_companion(h: Tensor, w: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    model = Bert(BertConfig(vocab_size=2, context_length=3, n_layers=1, n_heads=1, d_model=h.size(1)))
    student = Student(model, d_teacher=w.size(1))
    with torch.no_grad():
        student.hidden_projection.weight.copy_(w.T)
    projected = [part[0] for part in student.projected([h[None], h[None]])]
    attention = (torch.ones(1, 3, 3) / 3,)
    loss = tinybert_losses(_outputs(projected, attention), _outputs([teacher, teacher], attention), (1,))["hidden"]
    return loss, torch.autograd.grad(loss, student.hidden_projection.weight)[0].T


def _projection_torch(h: Tensor, w: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    def loss(matrix: Tensor) -> Tensor:
        return F.mse_loss(F.linear(h, matrix.T), teacher)

    return loss(w), by_torch.gradient(loss, w)


def _heads(g: Generator) -> dict[str, Any]:
    return {"s": 2 * normal(g, 2, 3, 3), "t": 2 * normal(g, 2, 3, 3)}


def _attention_by_hand(s: Tensor, t: Tensor) -> tuple[float, float, float]:
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


def _attention_companion(s: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    hidden = [torch.zeros(3, 1)] * 2
    student, teacher = _outputs(hidden, (s.softmax(-1),)), _outputs(hidden, (t.softmax(-1),))
    centred = tinybert_losses(student, teacher, (1,))["attention"]
    rest = [scores - centred_scores(scores.softmax(-1)[None], student.visible)[0] for scores in (s, t)]
    whole = centred + (rest[0] - rest[1]).square().mean()
    return whole, centred, whole


def _attention_torch(s: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    spread = (s - t).var(-1, correction=0).mean()
    return F.mse_loss(s, t), spread, spread + F.mse_loss(s.mean(-1), t.mean(-1))


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
    Equation(
        label="eq-distillation-losses-cosine",
        symbols=(Symbol("s", "the student's vector of a token", "d"), COSINE, UNIT_STUDENT, UNIT_TEACHER),
        draw=_vectors,
        by_hand=_cosine_by_hand,
        companion=_cosine_companion,
        library=_cosine_torch,
    ),
    Equation(
        label="eq-distillation-losses-patience",
        symbols=(UNIT_STUDENT, UNIT_TEACHER, COSINE),
        draw=_vectors,
        by_hand=_patience_by_hand,
        library=_patience_torch,
    ),
    Equation(
        label="eq-distillation-losses-projection",
        symbols=(
            Symbol(r"\mathcal{L}_{\mathrm{hidden}}", "loss of the hidden states: mean squared error"),
            Symbol("n", "number of tokens"),
            Symbol("d_T", "width of the teacher"),
            Symbol("H^S", "the student's hidden states after a layer, one a row", r"n \times d_S"),
            Symbol("W", "projection to the teacher's width; learned", r"d_S \times d_T"),
            Symbol("H^T", "the teacher's hidden states after its layer, one a row", r"n \times d_T"),
        ),
        draw=_matrices,
        by_hand=_projection_by_hand,
        companion=_projection_companion,
        library=_projection_torch,
    ),
    Equation(
        label="eq-distillation-losses-attention",
        symbols=(
            Symbol("A^S, A^T", "attention scores of student and teacher, before the softmax", r"h \times n \times n"),
            Symbol(
                r"\tilde{A}^S, \tilde{A}^T", "centred attention scores: each row less its mean", r"h \times n \times n"
            ),
            Symbol(r"\bar{A}^S, \bar{A}^T", "row means of the attention scores", r"h \times n"),
            Symbol(r"\mathrm{MSE}", "mean squared error over all entries"),
        ),
        draw=_heads,
        by_hand=_attention_by_hand,
        companion=_attention_companion,
        library=_attention_torch,
    ),
)
