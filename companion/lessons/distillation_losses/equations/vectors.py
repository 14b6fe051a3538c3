"""Equations of ``book/formulas/distillation_losses.ipynb``: hidden states and attention compared."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from companion.distillation.losses import distilbert_loss, tinybert_losses
from companion.distillation.outputs import ModelOutputs, centred_scores
from companion.distillation.student import Student
from companion.lessons import by_torch
from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import normal
from companion.models.bert import Bert, BertConfig

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
