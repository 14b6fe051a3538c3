"""The equations of ``book/formulas/losses.ipynb`` about one place: cross-entropy, its gradient, label smoothing."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from companion.equations.checking import Equation, Symbol
from companion.equations.drawing import between, normal, shares, whole
from companion.generation import next_token_probabilities
from companion.objectives.batches import cross_entropy

LOSS = Symbol(r"\ell", "loss at one place, in nats")
LOGIT = Symbol("z_k", "logit of token $k$")
LOGITS = Symbol("z", "logits of all tokens", "V")
CHANCE = Symbol("p_k", "the model's probability of token $k$, by a softmax of the logits")
RIGHT = Symbol("x", "the token that came")
SIZE = Symbol("V", "tokens of the vocabulary")
SHARE = Symbol(r"\varepsilon", "share of the target that is spread over all tokens")
SMOOTH = Symbol(r"y^{\varepsilon}_k", "the smoothed target of token $k$")


def _place(g: Generator) -> dict[str, Any]:
    return {"z": 2 * normal(g, 5), "x": whole(g, 0, 4)}


def _cross_entropy_hand(z: Tensor, x: int) -> tuple[float, float]:
    total = sum(math.exp(z_k) for z_k in z)
    y = [1 if k == x else 0 for k in range(len(z))]
    by_target = -sum(y[k] * math.log(math.exp(z[k]) / total) for k in range(len(z)))
    return by_target, -float(z[x]) + math.log(total)


def _cross_entropy_ours(z: Tensor, x: int) -> tuple[Tensor, Tensor]:
    loss = cross_entropy(z[None], torch.tensor([x]))
    return loss, loss


def _cross_entropy_torch(z: Tensor, x: int) -> tuple[Tensor, Tensor]:
    return F.nll_loss(F.log_softmax(z, -1)[None], torch.tensor([x])), F.cross_entropy(z, torch.tensor(x))


def _shifted_hand(z: Tensor) -> tuple[float, float]:
    m = max(float(z_k) for z_k in z)
    plain = math.log(sum(math.exp(z_k) for z_k in z))
    return plain, m + math.log(sum(math.exp(z_k - m) for z_k in z))


def _shifted_ours(z: Tensor) -> tuple[Tensor, Tensor]:
    sums = [z[k] + cross_entropy(z[None], torch.tensor([k])) for k in (0, 1)]  # the same, whatever came
    return sums[0], sums[1]


def _shifted_torch(z: Tensor) -> tuple[Tensor, Tensor]:
    return torch.logsumexp(z, -1), torch.logaddexp(z[0], torch.logsumexp(z[1:], -1))


def _jacobian_hand(z: Tensor) -> Tensor:
    total = sum(math.exp(z_k) for z_k in z)
    p, n = [math.exp(z_k) / total for z_k in z], len(z)
    return torch.tensor([[p[k] * ((1 if k == j else 0) - p[j]) for j in range(n)] for k in range(n)])


def _jacobian_ours(z: Tensor) -> Tensor:
    z = z.clone().requires_grad_()
    return torch.stack([torch.autograd.grad(next_token_probabilities(z)[k], z)[0] for k in range(len(z))])


def _jacobian_torch(z: Tensor) -> Tensor:
    result: Tensor = torch.func.jacfwd(lambda logits: F.softmax(logits, -1))(z)
    return result


def _target(g: Generator) -> dict[str, Any]:
    return {"z": 2 * normal(g, 5), "y": shares(g, 5)}


def _gradient_hand(z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    total = sum(math.exp(z_k) for z_k in z)
    p, n = [math.exp(z_k) / total for z_k in z], len(z)
    chained = [sum(-y[k] / p[k] * (p[k] * ((1 if k == j else 0) - p[j])) for k in range(n)) for j in range(n)]
    return torch.tensor(chained), torch.tensor([p[j] - float(y[j]) for j in range(n)])


def _gradient_ours(z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    z = z.clone().requires_grad_()
    loss = torch.stack([y_k * cross_entropy(z[None], torch.tensor([k])) for k, y_k in enumerate(y)]).sum()
    (gradient,) = torch.autograd.grad(loss, z)
    return gradient, gradient


def _gradient_torch(z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    gradient: Tensor = torch.func.grad(lambda logits: F.cross_entropy(logits, y))(z)
    return gradient, gradient


def _smoothed(g: Generator) -> dict[str, Any]:
    return {**_place(g), "eps": between(g, 0.05, 0.6)}


def _smoothing_hand(z: Tensor, x: int, eps: float) -> tuple[float, float]:
    n, total = len(z), sum(math.exp(z_k) for z_k in z)
    surprise = [-math.log(math.exp(z_k) / total) for z_k in z]
    y = [(1 - eps) * (1 if k == x else 0) + eps / n for k in range(n)]
    return sum(y[k] * surprise[k] for k in range(n)), (1 - eps) * surprise[x] + eps * sum(surprise) / n


def _smoothing_ours(z: Tensor, x: int, eps: float) -> tuple[Tensor, Tensor]:
    everything = cross_entropy(z.expand(len(z), -1), torch.arange(len(z)))  # each token asked for once
    loss = (1 - eps) * cross_entropy(z[None], torch.tensor([x])) + eps * everything
    return loss, loss


def _smoothing_torch(z: Tensor, x: int, eps: float) -> tuple[Tensor, Tensor]:
    y = torch.lerp(F.one_hot(torch.tensor(x), len(z)).double(), torch.full_like(z, 1 / len(z)), eps)
    return F.cross_entropy(z, y), F.cross_entropy(z, torch.tensor(x), label_smoothing=eps)


def _smoothing_gradient_hand(z: Tensor, x: int, eps: float) -> Tensor:
    n, total = len(z), sum(math.exp(z_k) for z_k in z)
    return torch.tensor([math.exp(z[k]) / total - (1 - eps) * (1 if k == x else 0) - eps / n for k in range(n)])


def _smoothing_gradient_ours(z: Tensor, x: int, eps: float) -> Tensor:
    z = z.clone().requires_grad_()
    everything = cross_entropy(z.expand(len(z), -1), torch.arange(len(z)))
    loss = (1 - eps) * cross_entropy(z[None], torch.tensor([x])) + eps * everything
    return torch.autograd.grad(loss, z)[0]


def _smoothing_gradient_torch(z: Tensor, x: int, eps: float) -> Tensor:
    result: Tensor = torch.func.grad(lambda logits: F.cross_entropy(logits, torch.tensor(x), label_smoothing=eps))(z)
    return result


def _optimum_hand(n: int, x: int, eps: float) -> float:
    return math.log(1 + n * (1 - eps) / eps)


def _optimum_ours(n: int, x: int, eps: float) -> Tensor:
    def loss(z: Tensor) -> Tensor:
        return (1 - eps) * cross_entropy(z[None], torch.tensor([x])) + eps * cross_entropy(
            z.expand(n, -1), torch.arange(n)
        )

    z = torch.zeros(n)
    for _ in range(12):  # Newton's method; the added number sees to the direction in which nothing changes
        curvature = torch.func.hessian(loss)(z) + 1 / n
        z = z - torch.linalg.solve(curvature, torch.func.grad(loss)(z))
    return z[x] - z[(x + 1) % n]


def _optimum_torch(n: int, x: int, eps: float) -> Tensor:
    y = torch.full((n,), eps / n)
    y[x] += 1 - eps
    logits = torch.distributions.Categorical(y).logits  # log-probabilities: the cross-entropy is least at p = y
    return logits[x] - logits[(x + 1) % n]


EQUATIONS = (
    Equation(
        "eq-losses-cross-entropy",
        (LOSS, Symbol("y_k", "1 for the token $x$ that came, else 0"), CHANCE, LOGIT, RIGHT),
        _place,
        _cross_entropy_hand,
        _cross_entropy_ours,
        _cross_entropy_torch,
    ),
    Equation(
        "eq-losses-logsumexp",
        (LOGIT, Symbol("m", "the largest of the logits")),
        lambda g: {"z": 3 * normal(g, 6)},
        _shifted_hand,
        _shifted_ours,
        _shifted_torch,
    ),
    Equation(
        "eq-losses-jacobian",
        (CHANCE, Symbol("z_j", "logit of token $j$"), Symbol(r"\delta_{kj}", "1 where $k = j$, else 0")),
        lambda g: {"z": 2 * normal(g, 5)},
        _jacobian_hand,
        _jacobian_ours,
        _jacobian_torch,
    ),
    Equation(
        "eq-losses-gradient",
        (
            LOSS,
            Symbol("z_j", "logit of token $j$"),
            Symbol("y_k", "target of token $k$: from 0 up, with sum 1"),
            CHANCE,
            Symbol(r"\delta_{kj}", "1 where $k = j$, else 0"),
        ),
        _target,
        _gradient_hand,
        _gradient_ours,
        _gradient_torch,
    ),
    Equation(
        "eq-losses-smoothing",
        (Symbol(r"\ell^{\varepsilon}", "smoothed loss at one place, in nats"), SMOOTH, CHANCE, SHARE, RIGHT, SIZE),
        _smoothed,
        _smoothing_hand,
        _smoothing_ours,
        _smoothing_torch,
    ),
    Equation(
        "eq-losses-smoothing-gradient",
        (
            Symbol(r"\ell^{\varepsilon}", "smoothed loss at one place, in nats"),
            LOGIT,
            CHANCE,
            SHARE,
            Symbol("y_k", "1 for the token $x$ that came, else 0"),
            SIZE,
        ),
        _smoothed,
        _smoothing_gradient_hand,
        _smoothing_gradient_ours,
        _smoothing_gradient_torch,
    ),
    Equation(
        "eq-losses-smoothing-optimum",
        (Symbol("z_x", "logit of the token that came"), Symbol("z_k", "logit of any other token"), SIZE, SHARE),
        lambda g: {"n": whole(g, 2, 6), "x": whole(g, 0, 1), "eps": between(g, 0.1, 0.6)},
        _optimum_hand,
        _optimum_ours,
        _optimum_torch,
    ),
)
