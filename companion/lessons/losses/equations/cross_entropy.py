"""Equations of ``book/formulas/losses.ipynb``: the loss at one position."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from companion.generation.sampling import next_token_probabilities
from companion.lessons import by_torch
from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import between, distribution, normal, whole
from companion.losses.cross_entropy import cross_entropy

LOSS = Symbol(r"\ell", "loss at one position, in nats")


LOGIT = Symbol("z_k", "logit of token $k$")


PROBABILITY = Symbol("p_k", "the model's probability of token $k$: softmax of the logits")


TARGET = Symbol("x", "target token")


SIZE = Symbol("V", "vocabulary size")


SMOOTHING = Symbol(r"\varepsilon", "label smoothing: probability mass that is spread over all tokens")


SMOOTH = Symbol(r"y^{\varepsilon}_k", "smoothed target probability of token $k$")


def _place(g: Generator) -> dict[str, Any]:
    return {"z": 2 * normal(g, 5), "x": whole(g, 0, 4)}


def _cross_entropy_by_hand(z: Tensor, x: int) -> tuple[float, float]:
    total = sum(math.exp(z_k) for z_k in z)
    y = [1 if k == x else 0 for k in range(len(z))]
    by_target = -sum(y[k] * math.log(math.exp(z[k]) / total) for k in range(len(z)))
    return by_target, -float(z[x]) + math.log(total)


def _cross_entropy_companion(z: Tensor, x: int) -> tuple[Tensor, Tensor]:
    loss = cross_entropy(z[None], torch.tensor([x]))
    return loss, loss


def _cross_entropy_torch(z: Tensor, x: int) -> tuple[Tensor, Tensor]:
    return F.nll_loss(F.log_softmax(z, -1)[None], torch.tensor([x])), F.cross_entropy(z, torch.tensor(x))


def _shifted_by_hand(z: Tensor) -> tuple[float, float]:
    m = max(float(z_k) for z_k in z)
    plain = math.log(sum(math.exp(z_k) for z_k in z))
    return plain, m + math.log(sum(math.exp(z_k - m) for z_k in z))


def _shifted_torch(z: Tensor) -> tuple[Tensor, Tensor]:
    return torch.logsumexp(z, -1), torch.logaddexp(z[0], torch.logsumexp(z[1:], -1))


def _jacobian_by_hand(z: Tensor) -> Tensor:
    total = sum(math.exp(z_k) for z_k in z)
    p, n = [math.exp(z_k) / total for z_k in z], len(z)
    return torch.tensor([[p[k] * ((1 if k == j else 0) - p[j]) for j in range(n)] for k in range(n)])


def _jacobian_companion(z: Tensor) -> Tensor:
    return by_torch.jacobian(next_token_probabilities, z)


def _jacobian_torch(z: Tensor) -> Tensor:
    result: Tensor = torch.func.jacfwd(lambda logits: F.softmax(logits, -1))(z)
    return result


def _target(g: Generator) -> dict[str, Any]:
    return {"z": 2 * normal(g, 5), "y": distribution(g, 5)}


def _gradient_by_hand(z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    total = sum(math.exp(z_k) for z_k in z)
    p, n = [math.exp(z_k) / total for z_k in z], len(z)
    chained = [sum(-y[k] / p[k] * (p[k] * ((1 if k == j else 0) - p[j])) for k in range(n)) for j in range(n)]
    return torch.tensor(chained), torch.tensor([p[j] - float(y[j]) for j in range(n)])


def _gradient_torch(z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    gradient = by_torch.gradient(lambda logits: F.cross_entropy(logits, y), z)
    return gradient, gradient


def _smoothed(g: Generator) -> dict[str, Any]:
    return {**_place(g), "eps": between(g, 0.05, 0.6)}


def _smoothing_by_hand(z: Tensor, x: int, eps: float) -> tuple[float, float]:
    n, total = len(z), sum(math.exp(z_k) for z_k in z)
    nll = [-math.log(math.exp(z_k) / total) for z_k in z]
    y = [(1 - eps) * (1 if k == x else 0) + eps / n for k in range(n)]
    return sum(y[k] * nll[k] for k in range(n)), (1 - eps) * nll[x] + eps * sum(nll) / n


def _smoothing_torch(z: Tensor, x: int, eps: float) -> tuple[Tensor, Tensor]:
    y = torch.lerp(F.one_hot(torch.tensor(x), len(z)).double(), torch.full_like(z, 1 / len(z)), eps)
    return F.cross_entropy(z, y), F.cross_entropy(z, torch.tensor(x), label_smoothing=eps)


def _smoothing_gradient_by_hand(z: Tensor, x: int, eps: float) -> Tensor:
    n, total = len(z), sum(math.exp(z_k) for z_k in z)
    return torch.tensor([math.exp(z[k]) / total - (1 - eps) * (1 if k == x else 0) - eps / n for k in range(n)])


def _smoothing_gradient_torch(z: Tensor, x: int, eps: float) -> Tensor:
    return by_torch.gradient(lambda logits: F.cross_entropy(logits, torch.tensor(x), label_smoothing=eps), z)


def _optimum_by_hand(n: int, x: int, eps: float) -> float:
    return math.log(1 + n * (1 - eps) / eps)


def _optimum_torch(n: int, x: int, eps: float) -> Tensor:
    y = torch.full((n,), eps / n)
    y[x] += 1 - eps
    logits = torch.distributions.Categorical(y).logits  # log-probabilities: the cross-entropy is least at p = y
    return logits[x] - logits[(x + 1) % n]


EQUATIONS = (
    Equation(
        label="eq-losses-cross-entropy",
        symbols=(LOSS, Symbol("y_k", "one-hot target: 1 for the token $x$, else 0"), PROBABILITY, LOGIT, TARGET),
        draw=_place,
        by_hand=_cross_entropy_by_hand,
        companion=_cross_entropy_companion,
        library=_cross_entropy_torch,
    ),
    Equation(
        label="eq-losses-logsumexp",
        symbols=(LOGIT, Symbol("m", "the largest of the logits")),
        draw=lambda g: {"z": 3 * normal(g, 6)},
        by_hand=_shifted_by_hand,
        library=_shifted_torch,
    ),
    Equation(
        label="eq-losses-jacobian",
        symbols=(PROBABILITY, Symbol("z_j", "logit of token $j$"), Symbol(r"\delta_{kj}", "1 where $k = j$, else 0")),
        draw=lambda g: {"z": 2 * normal(g, 5)},
        by_hand=_jacobian_by_hand,
        companion=_jacobian_companion,
        library=_jacobian_torch,
    ),
    Equation(
        label="eq-losses-gradient",
        symbols=(
            LOSS,
            Symbol("z_j", "logit of token $j$"),
            Symbol("y_k", "target probability of token $k$"),
            PROBABILITY,
            Symbol(r"\delta_{kj}", "1 where $k = j$, else 0"),
        ),
        draw=_target,
        by_hand=_gradient_by_hand,
        library=_gradient_torch,
    ),
    Equation(
        label="eq-losses-smoothing",
        symbols=(
            Symbol(r"\ell^{\varepsilon}", "smoothed loss at one position, in nats"),
            SMOOTH,
            PROBABILITY,
            SMOOTHING,
            TARGET,
            SIZE,
        ),
        draw=_smoothed,
        by_hand=_smoothing_by_hand,
        library=_smoothing_torch,
    ),
    Equation(
        label="eq-losses-smoothing-gradient",
        symbols=(
            Symbol(r"\ell^{\varepsilon}", "smoothed loss at one position, in nats"),
            LOGIT,
            PROBABILITY,
            SMOOTHING,
            Symbol("y_k", "one-hot target: 1 for the token $x$, else 0"),
            SIZE,
        ),
        draw=_smoothed,
        by_hand=_smoothing_gradient_by_hand,
        library=_smoothing_gradient_torch,
    ),
    Equation(
        label="eq-losses-smoothing-optimum",
        symbols=(
            Symbol("z_x", "logit of the target token"),
            Symbol("z_k", "logit of any other token"),
            SIZE,
            SMOOTHING,
        ),
        draw=lambda g: {"n": whole(g, 2, 6), "x": whole(g, 0, 1), "eps": between(g, 0.1, 0.6)},
        by_hand=_optimum_by_hand,
        library=_optimum_torch,
    ),
)
