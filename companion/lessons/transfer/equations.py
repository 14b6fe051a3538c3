"""Equations of ``book/concepts/transfer.ipynb``."""

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from companion.data.labelled import Labelled
from companion.finetuning.heads import SequenceClassifier
from companion.lessons import by_torch
from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import between, normal, randomised, tokens
from companion.losses.classification import classification_loss
from companion.metrics.confidence import interval, relative_error_reduction
from companion.models.bert import Bert, BertConfig

SEEDS = 5


def _task(g: Generator) -> dict[str, Any]:
    body = Bert(BertConfig(6, context_length=8, n_layers=1, n_heads=2, d_model=4))
    model = randomised(SequenceClassifier(body, ("no", "perhaps", "yes"), "cls"), g)
    x = tokens(g, 6, 4, 5)
    h = torch.stack([model.bert(text[None])[0, 0] for text in x])  # of [CLS]
    return {"x": x, "y": tokens(g, 3, 4), "h": h, "model": model}


def _loss_by_hand(x: Tensor, y: Tensor, h: Tensor, model: Any) -> float:
    w, b = model.classifier.weight, model.classifier.bias
    total = 0.0
    for h_i, label in zip(h, y, strict=True):
        powers = [math.exp(sum(w[k] * h_i) + b[k]) for k in range(len(b))]
        total += math.log(powers[int(label)] / sum(powers))
    return -total / len(x)


def _loss_companion(x: Tensor, y: Tensor, h: Tensor, model: Any) -> Tensor:
    mask = torch.ones_like(x, dtype=torch.bool)
    return classification_loss(model, Labelled(x, torch.zeros_like(x), mask, y))


def _loss_torch(x: Tensor, y: Tensor, h: Tensor, model: Any) -> Tensor:
    logits = F.linear(h, model.classifier.weight, model.classifier.bias)
    return -by_torch.log_prob(logits, y).mean()


def _interval_by_hand(a: Tensor) -> tuple[float, float]:
    mean = float(sum(a)) / SEEDS
    s = math.sqrt(sum((float(one) - mean) ** 2 for one in a) / (SEEDS - 1))
    sine = 2 * math.sin(math.asin(0.95) / 3)  # with 4 degrees of freedom the quantile solves 3 x - x^3 = 1.9
    t = 2 * sine / math.sqrt(1 - sine**2)
    return mean - t * s / math.sqrt(SEEDS), mean + t * s / math.sqrt(SEEDS)


def _interval_companion(a: Tensor) -> tuple[float, float]:
    found = interval(a.tolist())
    return found.low, found.high


def _density(x: Tensor) -> Tensor:
    student = torch.distributions.StudentT(torch.tensor(float(SEEDS - 1)))
    log_density: Tensor = student.log_prob(x)
    return log_density.exp()


def _interval_torch(a: Tensor) -> tuple[Tensor, Tensor]:
    nodes, weights = map(torch.as_tensor, np.polynomial.legendre.leggauss(60))
    t = torch.tensor(2.0)
    for _ in range(20):  # Newton: the integral of the density from -t to t is to be 0.95
        inside = t * (weights * _density(t * nodes)).sum()
        t = t - (inside - 0.95) / (2 * _density(t))
    half = t * a.std() / SEEDS**0.5
    return a.mean() - half, a.mean() + half


def _reduction_by_hand(f: float, f_0: float) -> float:
    return 1 - (1 - f) / (1 - f_0)


def _reduction_companion(f: float, f_0: float) -> float:
    return relative_error_reduction(f, f_0)


def _reduction_torch(f: float, f_0: float) -> Tensor:
    return torch.tensor(f - f_0) / torch.tensor(1 - f_0)  # the gain, as a fraction of the error


EQUATIONS = (
    Equation(
        label="eq-transfer-loss",
        symbols=(
            Symbol(r"\mathcal{L}(\theta, W, b)", "loss on the labelled texts, in nats"),
            Symbol("n", "number of labelled texts"),
            Symbol("x_i, y_i", "a text and its label"),
            Symbol(r"\theta", "parameters of the body"),
            Symbol("h(x_i)", "the body's last hidden state at the first token, `[CLS]`", "d"),
            Symbol("W, b", "weight matrix and bias of the new head, for $K$ labels", r"K \times d,\; K"),
        ),
        draw=_task,
        by_hand=_loss_by_hand,
        companion=_loss_companion,
        library=_loss_torch,
    ),
    Equation(
        label="eq-transfer-interval",
        symbols=(
            Symbol(r"\bar{a}", "mean of the scores of all seeds"),
            Symbol("S", "number of seeds; the check has five"),
            Symbol("s", "sample standard deviation of the scores, with $S - 1$ in the denominator"),
            Symbol(
                "t_{S-1}",
                "quantile: 95 % of Student's distribution with $S - 1$ degrees of freedom lie between $-t$ and $t$",
            ),
        ),
        draw=lambda g: {"a": normal(g, SEEDS)},
        by_hand=_interval_by_hand,
        companion=_interval_companion,
        library=_interval_torch,
    ),
    Equation(
        label="eq-transfer-error-reduction",
        symbols=(
            Symbol(
                r"\mathrm{RER}",
                "relative error reduction: fraction of the baseline's error that is gone; below 0, it grew",
            ),
            Symbol("F", "score of the model, at most 1"),
            Symbol("F_0", "score of the baseline, below 1"),
        ),
        draw=lambda g: {"f": between(g, 0.0, 1.0), "f_0": between(g, 0.0, 0.9)},
        by_hand=_reduction_by_hand,
        companion=_reduction_companion,
        library=_reduction_torch,
    ),
)
