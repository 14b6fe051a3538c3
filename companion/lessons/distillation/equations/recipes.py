"""Equations of ``book/algorithms/distillation.ipynb``: DistilBERT, PKD, TinyBERT, and a student's own texts."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from companion.data.batch import IGNORED
from companion.distillation.losses import distilbert_loss, pkd_loss, tinybert_loss
from companion.distillation.outputs import ModelOutputs, centred_scores
from companion.distillation.sequences import reverse_kl_loss
from companion.lessons.distillation.equations.soft_targets import HARD, SOFT, _divergences, _softened
from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import distribution, normal, tokens

MAP = (2, 4)  # of a student of two layers


LAYERS = Symbol("M", "number of layers of the student")


MAPPED = Symbol("g(m)", "the teacher's layer that layer $m$ of the student learns from")


TEXTS = Symbol("n", "number of texts, or tokens, that are compared")


def _outputs(g: Generator, n_layers: int, targets: Tensor, real: Tensor) -> ModelOutputs:
    hidden = [normal(g, 2, 4, 5) for _ in range(n_layers + 1)]
    visible = real[:, :, None] & real[:, None, :]
    attention = [distribution(g, 2, 3, 4, 4) * visible[:, None] for _ in range(n_layers)]
    attention = [a / a.sum(-1, keepdim=True).clamp(min=1e-9) for a in attention]
    return ModelOutputs(normal(g, 2, 4, 3), targets, visible, hidden, attention)


def _pair(g: Generator) -> dict[str, Any]:
    real = torch.ones(2, 4, dtype=torch.bool)
    real[1, 3] = False  # padding
    targets = tokens(g, 3, 2, 4).masked_fill(~real, IGNORED)
    return {"student": _outputs(g, 2, targets, real), "teacher": _outputs(g, 4, targets, real)}


def _real(outputs: ModelOutputs) -> list[tuple[int, int]]:
    return [(b, t) for b in range(2) for t in range(4) if outputs.visible[b, t, t]]


def _score_terms(student: ModelOutputs, teacher: ModelOutputs, temperature: float) -> tuple[float, float]:
    """Hard loss, and soft loss times the squared temperature, in plain arithmetic."""
    positions = _real(student)
    hard = [-math.log(_softened(student.logits[b, t], 1.0)[int(student.targets[b, t])]) for b, t in positions]
    ours, theirs = (torch.stack([one.logits[b, t] for b, t in positions]) for one in (student, teacher))
    soft = _divergences(ours, theirs, temperature)
    return sum(hard) / len(positions), temperature**2 * sum(soft) / len(positions)


def _score_terms_torch(student: ModelOutputs, teacher: ModelOutputs, temperature: float) -> tuple[Tensor, Tensor]:
    real = student.targets != IGNORED
    ours, theirs = student.logits[real], teacher.logits[real]
    log_q, log_p = (F.log_softmax(z / temperature, -1) for z in (ours, theirs))
    soft = temperature**2 * F.kl_div(log_q, log_p, reduction="batchmean", log_target=True)
    return F.cross_entropy(ours, student.targets[real]), soft


def _distilbert_by_hand(student: ModelOutputs, teacher: ModelOutputs) -> float:
    hard, soft = _score_terms(student, teacher, 2.0)
    far = 0.0
    for b, t in _real(student):
        one, other = student.hidden[2][b, t], teacher.hidden[4][b, t]
        far += 1 - float((one * other).sum() / math.sqrt((one**2).sum() * (other**2).sum()))
    return 5 * soft + 2 * hard + far / len(_real(student))


def _distilbert_companion(student: ModelOutputs, teacher: ModelOutputs) -> Tensor:
    return distilbert_loss(student, teacher)


def _distilbert_torch(student: ModelOutputs, teacher: ModelOutputs) -> Tensor:
    hard, soft = _score_terms_torch(student, teacher, 2.0)
    real = student.targets != IGNORED
    one, other = student.hidden[-1][real], teacher.hidden[-1][real]
    return 5 * soft + 2 * hard + F.cosine_embedding_loss(one, other, torch.ones(len(one)))


def _pkd_by_hand(student: ModelOutputs, teacher: ModelOutputs) -> float:
    hard, soft = _score_terms(student, teacher, 5.0)
    patience = 0.0
    for b in range(2):
        one, other = student.hidden[1][b, 0], teacher.hidden[MAP[0]][b, 0]
        one, other = one / math.sqrt((one**2).sum()), other / math.sqrt((other**2).sum())
        patience += float(((one - other) ** 2).sum()) / 2
    return 0.5 * hard + 0.5 * soft + 3.0 * patience


def _pkd_companion(student: ModelOutputs, teacher: ModelOutputs) -> Tensor:
    return pkd_loss(student, teacher, MAP, beta=3.0)


def _pkd_torch(student: ModelOutputs, teacher: ModelOutputs) -> Tensor:
    hard, soft = _score_terms_torch(student, teacher, 5.0)
    similar = F.cosine_similarity(student.hidden[1][:, 0], teacher.hidden[2][:, 0])
    return (hard + soft) / 2 + 3.0 * (2 - 2 * similar).mean()  # |a - b|^2 = 2 - 2 a b for unit vectors


def _tinybert_by_hand(student: ModelOutputs, teacher: ModelOutputs) -> float:
    positions = _real(student)
    total = _score_terms(student, teacher, 1.0)[1]
    for m, layer in ((0, 0), (1, 2), (2, 4)):
        squares = [((student.hidden[m][p] - teacher.hidden[layer][p]) ** 2).sum() / 5 for p in positions]
        total += float(sum(squares)) / len(positions)
    for m, layer in ((0, 1), (1, 3)):
        gaps = []
        for b, i in positions:
            keys = [j for c, j in positions if c == b]
            for head in range(3):
                rows = [weights[b, head, i, keys] for weights in (student.attention[m], teacher.attention[layer])]
                logs = [torch.tensor([math.log(a) for a in row]) for row in rows]
                one, other = (row - row.sum() / len(keys) for row in logs)
                gaps += [float((one[j] - other[j]) ** 2) for j in range(len(keys))]
        total += sum(gaps) / len(gaps)
    return total


def _tinybert_companion(student: ModelOutputs, teacher: ModelOutputs) -> Tensor:
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
            ours, theirs = (
                weights[b, :, :n, :n].log() for weights in (student.attention[m], teacher.attention[layer - 1])
            )
            gap = (ours - theirs) @ (torch.eye(n) - torch.full((n, n), 1 / n))
            squares, count = squares + F.mse_loss(gap, torch.zeros_like(gap), reduction="sum"), count + gap.numel()
        total = total + squares / count
    return total


def _row(g: Generator) -> dict[str, Any]:
    return {"s": 2 * normal(g, 5)}


def _centred_by_hand(s: Tensor) -> Tensor:
    a = [math.exp(v) / sum(math.exp(w) for w in s) for v in s]
    return torch.tensor([math.log(a[j]) - sum(math.log(a_l) for a_l in a) / 5 for j in range(5)])


def _centred_companion(s: Tensor) -> Tensor:
    visible = torch.ones(1, 5, 5, dtype=torch.bool)
    return centred_scores(s.softmax(-1).expand(1, 1, 5, 5), visible)[0, 0, 0]


def _centred_torch(s: Tensor) -> Tensor:
    return s - s.mean()  # what the softmax cancels is cancelled here too


def _written(g: Generator) -> dict[str, Any]:
    real = torch.tensor([[True, True, True, True], [True, True, False, False]])  # the second text is shorter
    return {"student": 2 * normal(g, 2, 4, 5), "teacher": 2 * normal(g, 2, 4, 5), "real": real}


def _on_policy_by_hand(student: Tensor, teacher: Tensor, real: Tensor) -> float:
    total, count = 0.0, 0
    for b in range(2):
        for t in range(4):
            if real[b, t]:
                q, p = _softened(student[b, t], 1.0), _softened(teacher[b, t], 1.0)
                total += sum(q[k] * math.log(q[k] / p[k]) for k in range(5))
                count += 1
    return total / count


def _on_policy_companion(student: Tensor, teacher: Tensor, real: Tensor) -> Tensor:
    targets = torch.zeros(2, 4, dtype=torch.long).masked_fill(~real, IGNORED)
    visible = torch.ones(2, 4, 4, dtype=torch.bool)
    return reverse_kl_loss(*(ModelOutputs(z, targets, visible) for z in (student, teacher)))


def _on_policy_torch(student: Tensor, teacher: Tensor, real: Tensor) -> Tensor:
    q, p = (torch.distributions.Categorical(logits=z[real]) for z in (student, teacher))
    return torch.distributions.kl_divergence(q, p).mean()


EQUATIONS = (
    Equation(
        label="eq-distillation-distilbert",
        symbols=(
            Symbol(r"\mathcal{L}_{\mathrm{DistilBERT}}", "DistilBERT's loss: three terms"),
            SOFT,
            HARD,
            TEXTS,
            Symbol("h^S_t", "the student's last hidden state at token $t$", "d"),
            Symbol("h^T_t", "the teacher's last hidden state at token $t$", "d"),
        ),
        draw=_pair,
        by_hand=_distilbert_by_hand,
        companion=_distilbert_companion,
        library=_distilbert_torch,
    ),
    Equation(
        label="eq-distillation-pkd",
        symbols=(
            Symbol(r"\mathcal{L}_{\mathrm{PKD}}", "loss of patient knowledge distillation"),
            Symbol(r"\alpha", "weight of the soft loss, 0 to 1"),
            HARD,
            SOFT,
            Symbol(r"\beta", "weight of the hidden states' term"),
            TEXTS,
            LAYERS,
            Symbol("s_{im}", "the student's hidden state at `[CLS]` of text $i$ after layer $m$", "d"),
            Symbol("t_{i,g(m)}", "the teacher's hidden state at `[CLS]` of text $i$ after layer $g(m)$", "d"),
            MAPPED,
        ),
        draw=_pair,
        by_hand=_pkd_by_hand,
        companion=_pkd_companion,
        library=_pkd_torch,
    ),
    Equation(
        label="eq-distillation-tinybert",
        symbols=(
            Symbol(r"\mathcal{L}_{\mathrm{TinyBERT}}", "TinyBERT's loss: sum of the four terms"),
            Symbol(r"\mathrm{MSE}", "mean squared error over the real tokens"),
            Symbol("E^S, E^T", "embeddings of student and teacher", r"n \times d_S,\ n \times d"),
            Symbol("H^S_m", "the student's hidden states after layer $m$", r"n \times d_S"),
            Symbol("H^T_{g(m)}", "the teacher's hidden states after layer $g(m)$", r"n \times d"),
            Symbol(
                "W_e, W_h",
                "projections to the teacher's width; learned, and left out where both are as wide",
                r"d_S \times d",
            ),
            Symbol("A^S_m", "the student's centred attention scores in layer $m$", r"\text{heads} \times n \times n"),
            Symbol("A^T_{g(m)}", "the teacher's, in layer $g(m)$", r"\text{heads} \times n \times n"),
            LAYERS,
            MAPPED,
            SOFT,
        ),
        draw=_pair,
        by_hand=_tinybert_by_hand,
        companion=_tinybert_companion,
        library=_tinybert_torch,
    ),
    Equation(
        label="eq-distillation-attention",
        symbols=(
            Symbol("A_{ij}", "centred attention score of token $i$ for token $j$"),
            Symbol("a_{ij}", "attention weight of token $i$ on token $j$"),
            Symbol("n", "number of tokens that can be attended to"),
            Symbol("s_{ij}", "attention score of token $i$ for token $j$"),
            Symbol("l", "index of the tokens that can be attended to"),
        ),
        draw=_row,
        by_hand=_centred_by_hand,
        companion=_centred_companion,
        library=_centred_torch,
    ),
    Equation(
        label="eq-distillation-on-policy",
        symbols=(
            Symbol(r"\mathcal{L}_{\mathrm{on}}", "on-policy loss: reverse divergence on the student's own texts"),
            Symbol("n", "number of tokens of the texts that the student wrote"),
            Symbol("y", "a text that the student wrote"),
            Symbol("y_{<t}", "its tokens before token $t$"),
            Symbol("V", "size of the vocabulary"),
            Symbol(r"q_k(y_{<t})", "the student's probability of token $k$ next"),
            Symbol(r"p_k(y_{<t})", "the teacher's probability of token $k$ next"),
        ),
        draw=_written,
        by_hand=_on_policy_by_hand,
        companion=_on_policy_companion,
        library=_on_policy_torch,
    ),
)
