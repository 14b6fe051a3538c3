"""The equations of ``book/algorithms/distillation.ipynb`` about scores: temperature, divergence, Hinton's loss."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from companion.data.batch import IGNORED
from companion.distillation.losses import (
    distilbert_loss,
    hinton_loss,
    pkd_loss,
    soft_target_loss,
    tinybert_loss,
)
from companion.distillation.outputs import ModelOutputs, centred_scores
from companion.generation.sampling import next_token_probabilities
from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import between, normal, shares, tokens

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
    ours, theirs = (ModelOutputs(z, y, visible) for z in (student, teacher))
    return hinton_loss(ours, theirs, temperature=temperature, alpha=alpha)


def _hinton_torch(student: Tensor, teacher: Tensor, temperature: float, y: Tensor, alpha: float) -> Tensor:
    log_q, log_p = (F.log_softmax(z / temperature, -1) for z in (student, teacher))
    soft = F.kl_div(log_q, log_p, reduction="batchmean", log_target=True)
    return torch.lerp(F.cross_entropy(student, y), temperature**2 * soft, alpha)


MAP = (2, 4)  # of a student of two layers
HARD = Symbol(r"\mathcal{L}_{\mathrm{hard}}", "cross-entropy of the labels, at temperature 1")
SOFT = Symbol(r"\mathcal{L}_{\mathrm{soft}}", "how far the student's softened scores are from the teacher's")
LAYERS = Symbol("M", "layers of the student")
MAPPED = Symbol("g(m)", "the teacher's layer that layer $m$ of the student learns from")
TEXTS = Symbol("n", "texts, or tokens, that are compared")


def _seen(g: Generator, n_layers: int, targets: Tensor, real: Tensor) -> ModelOutputs:
    hidden = [normal(g, 2, 4, 5) for _ in range(n_layers + 1)]
    visible = real[:, :, None] & real[:, None, :]
    attention = [shares(g, 2, 3, 4, 4) * visible[:, None] for _ in range(n_layers)]
    attention = [a / a.sum(-1, keepdim=True).clamp(min=1e-9) for a in attention]
    return ModelOutputs(normal(g, 2, 4, 3), targets, visible, hidden, attention)


def _pair(g: Generator) -> dict[str, Any]:
    real = torch.ones(2, 4, dtype=torch.bool)
    real[1, 3] = False  # padding
    targets = tokens(g, 3, 2, 4).masked_fill(~real, IGNORED)
    return {"student": _seen(g, 2, targets, real), "teacher": _seen(g, 4, targets, real)}


def _places(seen: ModelOutputs) -> list[tuple[int, int]]:
    return [(b, t) for b in range(2) for t in range(4) if seen.visible[b, t, t]]


def _score_terms(student: ModelOutputs, teacher: ModelOutputs, temperature: float) -> tuple[float, float]:
    """The hard loss and the soft one with its factor, in plain arithmetic."""
    places = _places(student)
    hard = [-math.log(softened(student.logits[b, t], 1.0)[int(student.targets[b, t])]) for b, t in places]
    ours, theirs = (torch.stack([seen.logits[b, t] for b, t in places]) for seen in (student, teacher))
    soft = divergences(ours, theirs, temperature)
    return sum(hard) / len(places), temperature**2 * sum(soft) / len(places)


def _score_terms_torch(student: ModelOutputs, teacher: ModelOutputs, temperature: float) -> tuple[Tensor, Tensor]:
    asked = student.targets != IGNORED
    ours, theirs = student.logits[asked], teacher.logits[asked]
    log_q, log_p = (F.log_softmax(z / temperature, -1) for z in (ours, theirs))
    soft = temperature**2 * F.kl_div(log_q, log_p, reduction="batchmean", log_target=True)
    return F.cross_entropy(ours, student.targets[asked]), soft


def _distilbert_hand(student: ModelOutputs, teacher: ModelOutputs) -> float:
    hard, soft = _score_terms(student, teacher, 2.0)
    far = 0.0
    for b, t in _places(student):
        one, other = student.hidden[2][b, t], teacher.hidden[4][b, t]
        far += 1 - float((one * other).sum() / math.sqrt((one**2).sum() * (other**2).sum()))
    return 5 * soft + 2 * hard + far / len(_places(student))


def _distilbert_ours(student: ModelOutputs, teacher: ModelOutputs) -> Tensor:
    return distilbert_loss(student, teacher)


def _distilbert_torch(student: ModelOutputs, teacher: ModelOutputs) -> Tensor:
    hard, soft = _score_terms_torch(student, teacher, 2.0)
    real = student.targets != IGNORED
    one, other = student.hidden[-1][real], teacher.hidden[-1][real]
    return 5 * soft + 2 * hard + F.cosine_embedding_loss(one, other, torch.ones(len(one)))


def _pkd_hand(student: ModelOutputs, teacher: ModelOutputs) -> float:
    hard, soft = _score_terms(student, teacher, 5.0)
    patience = 0.0
    for b in range(2):
        one, other = student.hidden[1][b, 0], teacher.hidden[MAP[0]][b, 0]
        one, other = one / math.sqrt((one**2).sum()), other / math.sqrt((other**2).sum())
        patience += float(((one - other) ** 2).sum()) / 2
    return 0.5 * hard + 0.5 * soft + 3.0 * patience


def _pkd_ours(student: ModelOutputs, teacher: ModelOutputs) -> Tensor:
    return pkd_loss(student, teacher, MAP, beta=3.0)


def _pkd_torch(student: ModelOutputs, teacher: ModelOutputs) -> Tensor:
    hard, soft = _score_terms_torch(student, teacher, 5.0)
    similar = F.cosine_similarity(student.hidden[1][:, 0], teacher.hidden[2][:, 0])
    return (hard + soft) / 2 + 3.0 * (2 - 2 * similar).mean()  # |a - b|^2 = 2 - 2 a b for unit vectors


def _tinybert_hand(student: ModelOutputs, teacher: ModelOutputs) -> float:
    places = _places(student)
    total = _score_terms(student, teacher, 1.0)[1]
    for m, layer in ((0, 0), (1, 2), (2, 4)):
        squares = [((student.hidden[m][p] - teacher.hidden[layer][p]) ** 2).sum() / 5 for p in places]
        total += float(sum(squares)) / len(places)
    for m, layer in ((0, 1), (1, 3)):
        gaps = []
        for b, i in places:
            keys = [j for c, j in places if c == b]
            for head in range(3):
                rows = [seen[b, head, i, keys] for seen in (student.attention[m], teacher.attention[layer])]
                logs = [torch.tensor([math.log(a) for a in row]) for row in rows]
                one, other = (row - row.sum() / len(keys) for row in logs)
                gaps += [float((one[j] - other[j]) ** 2) for j in range(len(keys))]
        total += sum(gaps) / len(gaps)
    return total


def _tinybert_ours(student: ModelOutputs, teacher: ModelOutputs) -> Tensor:
    return tinybert_loss(student, teacher, MAP, stage="task")


def _tinybert_torch(student: ModelOutputs, teacher: ModelOutputs) -> Tensor:
    real = student.targets != IGNORED
    total = _score_terms_torch(student, teacher, 1.0)[1]
    for m, layer in enumerate((0, *MAP)):
        total = total + F.mse_loss(student.hidden[m][real], teacher.hidden[layer][real])
    for m, layer in enumerate(MAP):
        squares, count = torch.zeros(()), 0
        for b in range(2):
            n = int(real[b].sum())
            ours, theirs = (seen[b, :, :n, :n].log() for seen in (student.attention[m], teacher.attention[layer - 1]))
            gap = (ours - theirs) @ (torch.eye(n) - torch.full((n, n), 1 / n))
            squares, count = squares + F.mse_loss(gap, torch.zeros_like(gap), reduction="sum"), count + gap.numel()
        total = total + squares / count
    return total


def _row(g: Generator) -> dict[str, Any]:
    return {"s": 2 * normal(g, 5)}


def _centred_hand(s: Tensor) -> Tensor:
    a = [math.exp(v) / sum(math.exp(w) for w in s) for v in s]
    return torch.tensor([math.log(a[j]) - sum(math.log(share) for share in a) / 5 for j in range(5)])


def _centred_ours(s: Tensor) -> Tensor:
    visible = torch.ones(1, 5, 5, dtype=torch.bool)
    return centred_scores(s.softmax(-1).expand(1, 1, 5, 5), visible)[0, 0, 0]


def _centred_torch(s: Tensor) -> Tensor:
    return s - s.mean()  # what the softmax cancels is cancelled here too


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
    Equation(
        "eq-distillation-distilbert",
        (
            Symbol(r"\mathcal{L}_{\mathrm{DistilBERT}}", "the triple loss"),
            SOFT,
            HARD,
            TEXTS,
            Symbol("h^S_t", "the student's last vector of token $t$", "d"),
            Symbol("h^T_t", "the teacher's last vector of token $t$", "d"),
        ),
        _pair,
        _distilbert_hand,
        _distilbert_ours,
        _distilbert_torch,
    ),
    Equation(
        "eq-distillation-pkd",
        (
            Symbol(r"\mathcal{L}_{\mathrm{PKD}}", "the patient loss"),
            Symbol(r"\alpha", "weight of what the teacher thinks, 0 to 1"),
            HARD,
            SOFT,
            Symbol(r"\beta", "weight of what happens inside"),
            TEXTS,
            LAYERS,
            Symbol("s_{im}", "the student's [CLS] vector of text $i$ after layer $m$", "d"),
            Symbol("t_{i,g(m)}", "the teacher's [CLS] vector of text $i$ after layer $g(m)$", "d"),
            MAPPED,
        ),
        _pair,
        _pkd_hand,
        _pkd_ours,
        _pkd_torch,
    ),
    Equation(
        "eq-distillation-tinybert",
        (
            Symbol(r"\mathcal{L}_{\mathrm{TinyBERT}}", "the sum of the four comparisons"),
            Symbol(r"\mathrm{MSE}", "mean of the squared differences, over the real tokens"),
            Symbol("E^S, E^T", "embeddings of student and teacher", r"n \times d_S,\ n \times d"),
            Symbol("H^S_m", "the student's vectors after layer $m$", r"n \times d_S"),
            Symbol("H^T_{g(m)}", "the teacher's vectors after layer $g(m)$", r"n \times d"),
            Symbol(
                "W_e, W_h",
                "matrices to the teacher's width; learned, and left out where both are as wide",
                r"d_S \times d",
            ),
            Symbol("A^S_m", "the student's centred attention scores in layer $m$", r"\text{heads} \times n \times n"),
            Symbol("A^T_{g(m)}", "the teacher's, in layer $g(m)$", r"\text{heads} \times n \times n"),
            LAYERS,
            MAPPED,
            SOFT,
        ),
        _pair,
        _tinybert_hand,
        _tinybert_ours,
        _tinybert_torch,
    ),
    Equation(
        "eq-distillation-attention",
        (
            Symbol("A_{ij}", "centred score: how much more than on average $i$ looks at $j$"),
            Symbol("a_{ij}", "share of its reading that token $i$ gives to token $j$"),
            Symbol("n", "tokens that can be read"),
            Symbol("s_{ij}", "score before the softmax"),
            Symbol("l", "runs over the tokens that can be read"),
        ),
        _row,
        _centred_hand,
        _centred_ours,
        _centred_torch,
    ),
)
