"""The equations of ``book/algorithms/distillation.ipynb`` about what happens inside: DistilBERT, PKD, TinyBERT."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from companion.distillation import centred_scores, distilbert_loss, pkd_loss, tinybert_loss
from companion.equations.checking import Equation, Symbol
from companion.equations.distillation import divergences, softened
from companion.equations.drawing import normal, shares, tokens
from companion.objectives import IGNORED
from companion.students import Seen

MAP = (2, 4)  # of a student of two layers
HARD = Symbol(r"\mathcal{L}_{\mathrm{hard}}", "cross-entropy of the labels, at temperature 1")
SOFT = Symbol(r"\mathcal{L}_{\mathrm{soft}}", "how far the student's softened scores are from the teacher's")
LAYERS = Symbol("M", "layers of the student")
MAPPED = Symbol("g(m)", "the teacher's layer that layer $m$ of the student learns from")
TEXTS = Symbol("n", "texts, or tokens, that are compared")


def _seen(g: Generator, n_layers: int, targets: Tensor, real: Tensor) -> Seen:
    hidden = [normal(g, 2, 4, 5) for _ in range(n_layers + 1)]
    visible = real[:, :, None] & real[:, None, :]
    attention = [shares(g, 2, 3, 4, 4) * visible[:, None] for _ in range(n_layers)]
    attention = [a / a.sum(-1, keepdim=True).clamp(min=1e-9) for a in attention]
    return Seen(normal(g, 2, 4, 3), targets, visible, hidden, attention)


def _pair(g: Generator) -> dict[str, Any]:
    real = torch.ones(2, 4, dtype=torch.bool)
    real[1, 3] = False  # padding
    targets = tokens(g, 3, 2, 4).masked_fill(~real, IGNORED)
    return {"student": _seen(g, 2, targets, real), "teacher": _seen(g, 4, targets, real)}


def _places(seen: Seen) -> list[tuple[int, int]]:
    return [(b, t) for b in range(2) for t in range(4) if seen.visible[b, t, t]]


def _score_terms(student: Seen, teacher: Seen, temperature: float) -> tuple[float, float]:
    """The hard loss and the soft one with its factor, in plain arithmetic."""
    places = _places(student)
    hard = [-math.log(softened(student.logits[b, t], 1.0)[int(student.targets[b, t])]) for b, t in places]
    ours, theirs = (torch.stack([seen.logits[b, t] for b, t in places]) for seen in (student, teacher))
    soft = divergences(ours, theirs, temperature)
    return sum(hard) / len(places), temperature**2 * sum(soft) / len(places)


def _score_terms_torch(student: Seen, teacher: Seen, temperature: float) -> tuple[Tensor, Tensor]:
    asked = student.targets != IGNORED
    ours, theirs = student.logits[asked], teacher.logits[asked]
    log_q, log_p = (F.log_softmax(z / temperature, -1) for z in (ours, theirs))
    soft = temperature**2 * F.kl_div(log_q, log_p, reduction="batchmean", log_target=True)
    return F.cross_entropy(ours, student.targets[asked]), soft


def _distilbert_hand(student: Seen, teacher: Seen) -> float:
    hard, soft = _score_terms(student, teacher, 2.0)
    far = 0.0
    for b, t in _places(student):
        one, other = student.hidden[2][b, t], teacher.hidden[4][b, t]
        far += 1 - float((one * other).sum() / math.sqrt((one**2).sum() * (other**2).sum()))
    return 5 * soft + 2 * hard + far / len(_places(student))


def _distilbert_ours(student: Seen, teacher: Seen) -> Tensor:
    return distilbert_loss(student, teacher)


def _distilbert_torch(student: Seen, teacher: Seen) -> Tensor:
    hard, soft = _score_terms_torch(student, teacher, 2.0)
    real = student.targets != IGNORED
    one, other = student.hidden[-1][real], teacher.hidden[-1][real]
    return 5 * soft + 2 * hard + F.cosine_embedding_loss(one, other, torch.ones(len(one)))


def _pkd_hand(student: Seen, teacher: Seen) -> float:
    hard, soft = _score_terms(student, teacher, 5.0)
    patience = 0.0
    for b in range(2):
        one, other = student.hidden[1][b, 0], teacher.hidden[MAP[0]][b, 0]
        one, other = one / math.sqrt((one**2).sum()), other / math.sqrt((other**2).sum())
        patience += float(((one - other) ** 2).sum()) / 2
    return 0.5 * hard + 0.5 * soft + 3.0 * patience


def _pkd_ours(student: Seen, teacher: Seen) -> Tensor:
    return pkd_loss(student, teacher, MAP, beta=3.0)


def _pkd_torch(student: Seen, teacher: Seen) -> Tensor:
    hard, soft = _score_terms_torch(student, teacher, 5.0)
    similar = F.cosine_similarity(student.hidden[1][:, 0], teacher.hidden[2][:, 0])
    return (hard + soft) / 2 + 3.0 * (2 - 2 * similar).mean()  # |a - b|^2 = 2 - 2 a b for unit vectors


def _tinybert_hand(student: Seen, teacher: Seen) -> float:
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


def _tinybert_ours(student: Seen, teacher: Seen) -> Tensor:
    return tinybert_loss(student, teacher, MAP, stage="task")


def _tinybert_torch(student: Seen, teacher: Seen) -> Tensor:
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
