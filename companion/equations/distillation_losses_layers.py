"""The equations of ``book/formulas/distillation_losses.ipynb`` about vectors, matrices and attention."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from companion.distillation import centred_scores, distilbert_loss, pkd_loss, tinybert_losses
from companion.equations.checking import Equation, Symbol
from companion.equations.drawing import normal
from companion.students import Seen, Student

UNIT_STUDENT = Symbol(r"\hat{s}", "the student's vector $s$ divided by its length", "d")
UNIT_TEACHER = Symbol(r"\hat{t}", "the teacher's vector $t$ divided by its length", "d")
COSINE = Symbol(r"\cos(s, t)", r"cosine of the angle between the two, $\hat{s} \cdot \hat{t}$")


def _seen(hidden: list[Tensor], attention: tuple[Tensor, ...] = ()) -> Seen:
    """A text of which nothing is left to learn but its insides: (n, d) each, attention (heads, n, n)."""
    n = len(hidden[0])
    visible = torch.ones(1, n, n, dtype=torch.bool)
    logits, targets = torch.zeros(1, n, 2), torch.zeros(1, n).long()
    return Seen(logits, targets, visible, [h[None] for h in hidden], [a[None] for a in attention])


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
