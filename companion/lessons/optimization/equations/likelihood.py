"""Equations of ``book/concepts/optimization.ipynb``: maximum likelihood, noise and the ravine."""

import math
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor
from torch.distributions import Categorical, kl_divergence

from companion.lessons import by_torch
from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import between, distribution, normal, tokens, whole
from companion.losses.cross_entropy import cross_entropy
from companion.training.optimizers import SGD

MODEL = Symbol(r"p_\theta(w)", r"the model's probability of word $w$; $\theta$ are its parameters")


DATA = Symbol("x_i", "word $i$ of the data, 1 to $n$")


FREQUENCY = Symbol("q(w)", "relative frequency of word $w$ in the data")


WEIGHTS = Symbol(r"\theta_t", "parameters after step $t$")


RATE = Symbol(r"\eta", "learning rate")


def _data(g: Generator) -> dict[str, Any]:
    return {"x": tokens(g, 4, 8), "p": distribution(g, 4)}


def _likelihood_by_hand(x: Tensor, p: Tensor) -> float:
    likelihood = 1.0
    for x_i in x:
        likelihood *= float(p[x_i])
    return likelihood


def _likelihood_torch(x: Tensor, p: Tensor) -> Tensor:
    return by_torch.log_prob(p.log(), x).sum().exp()


def _nll_by_hand(x: Tensor, p: Tensor) -> tuple[float, float]:
    likelihood, total = 1.0, 0.0
    for x_i in x:
        likelihood *= float(p[x_i])
        total += math.log(p[x_i])
    return -math.log(likelihood) / len(x), -total / len(x)


def _nll_companion(x: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
    loss = cross_entropy(p.log().expand(len(x), -1), x)
    return loss, loss


def _nll_torch(x: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
    return -p[x].prod().log() / len(x), F.nll_loss(p.log().expand(len(x), -1), x)


def _cross_entropy_by_hand(x: Tensor, p: Tensor) -> float:
    q = [sum(int(x_i) == w for x_i in x) / len(x) for w in range(len(p))]
    return -sum(q[w] * math.log(p[w]) for w in range(len(p)))


def _cross_entropy_companion(x: Tensor, p: Tensor) -> Tensor:
    return cross_entropy(p.log().expand(len(x), -1), x)  # position by position, not sorted by word


def _cross_entropy_torch(x: Tensor, p: Tensor) -> Tensor:
    q = torch.bincount(x, minlength=len(p)) / len(x)
    return F.cross_entropy(p.log()[None], q[None])


def _kl_by_hand(x: Tensor, p: Tensor) -> float:
    q = [sum(int(x_i) == w for x_i in x) / len(x) for w in range(len(p))]
    there = [w for w in range(len(p)) if q[w] > 0]  # a word that never came adds nothing
    entropy = -sum(q[w] * math.log(q[w]) for w in there)
    return entropy + sum(q[w] * math.log(q[w] / float(p[w])) for w in there)


def _kl_torch(x: Tensor, p: Tensor) -> Tensor:
    data = Categorical(torch.bincount(x, minlength=len(p)).double())
    return by_torch.entropy(data.probs) + kl_divergence(data, Categorical(p))


def _gradient_by_hand(z: Tensor, x: int) -> Tensor:
    total = sum(math.exp(z_v) for z_v in z)
    return torch.tensor([math.exp(z[w]) / total - (1 if w == x else 0) for w in range(len(z))])


def _gradient_companion(z: Tensor, x: int) -> Tensor:
    return by_torch.gradient(lambda logits: cross_entropy(logits[None], torch.tensor([x])), z)


def _gradient_torch(z: Tensor, x: int) -> Tensor:
    return by_torch.gradient(lambda logits: -F.log_softmax(logits, dim=-1)[x], z)


def _sgd_by_hand(theta: Tensor, g: Tensor, eta: float) -> Tensor:
    mean = torch.zeros_like(theta)
    for g_i in g:
        mean = mean + g_i / len(g)
    return theta - eta * mean


def _sgd_companion(theta: Tensor, g: Tensor, eta: float) -> Tensor:
    weight = theta.clone().requires_grad_()
    optimizer = SGD([weight], lr=eta)
    weight.grad = g.mean(0)
    optimizer.step()
    return weight


def _sgd_torch(theta: Tensor, g: Tensor, eta: float) -> Tensor:
    weight = theta.clone().requires_grad_()
    optimizer = torch.optim.SGD([weight], lr=eta)
    weight.grad = torch.autograd.grad((g @ weight).mean(), weight)[0]  # of the loss of a batch whose gradients are g
    optimizer.step()
    return weight


def _noise_by_hand(g: Tensor, batch: int) -> float:
    mean, expected = g.sum(0) / len(g), 0.0
    for chosen in product(range(len(g)), repeat=batch):  # every batch that may be drawn
        of_batch = sum((g[i] for i in chosen), torch.zeros(g.size(1))) / batch
        expected += float(((of_batch - mean) ** 2).sum()) / len(g) ** batch
    return expected


def _noise_torch(g: Tensor, batch: int) -> Tensor:
    return torch.cov(g.T, correction=0).trace() / batch


def _ravine_by_hand(theta: Tensor, angle: float, kappa: float) -> float:
    r = [[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]]
    curvature = [1.0, kappa]
    a = [[sum(r[c][i] * curvature[c] * r[c][j] for c in range(2)) for j in range(2)] for i in range(2)]
    return sum(0.5 * float(theta[i]) * a[i][j] * float(theta[j]) for i in range(2) for j in range(2))


def _ravine_torch(theta: Tensor, angle: float, kappa: float) -> Tensor:
    turned = torch.complex(*theta) * torch.polar(torch.ones(()), torch.tensor(-angle))
    return torch.dot(torch.tensor([0.5, kappa / 2]), torch.view_as_real(turned).square())


EQUATIONS = (
    Equation(
        label="eq-optimization-likelihood",
        symbols=(Symbol(r"\mathcal{L}(\theta)", "likelihood of the data"), MODEL, DATA),
        draw=_data,
        by_hand=_likelihood_by_hand,
        library=_likelihood_torch,
    ),
    Equation(
        label="eq-optimization-nll",
        symbols=(
            Symbol(r"L(\theta)", "loss: mean negative log-likelihood, in nats"),
            Symbol(r"\mathcal{L}(\theta)", "likelihood of the data"),
            MODEL,
            DATA,
        ),
        draw=_data,
        by_hand=_nll_by_hand,
        companion=_nll_companion,
        library=_nll_torch,
    ),
    Equation(
        label="eq-optimization-cross-entropy",
        symbols=(
            Symbol(r"L(\theta)", "loss: mean negative log-likelihood, in nats"),
            FREQUENCY,
            MODEL,
            Symbol(r"H(q, p_\theta)", "cross-entropy of $q$ and the model"),
        ),
        draw=_data,
        by_hand=_cross_entropy_by_hand,
        companion=_cross_entropy_companion,
        library=_cross_entropy_torch,
    ),
    Equation(
        label="eq-optimization-kl",
        symbols=(
            Symbol(r"H(q, p_\theta)", "cross-entropy of $q$ and the model"),
            FREQUENCY,
            Symbol("H(q)", "entropy of $q$"),
            MODEL,
            Symbol(r"\mathrm{KL}(q \,\|\, p_\theta)", "Kullback–Leibler divergence, 0 only where the two are equal"),
        ),
        draw=_data,
        by_hand=_kl_by_hand,
        companion=_cross_entropy_companion,
        library=_kl_torch,
    ),
    Equation(
        label="eq-optimization-gradient",
        symbols=(
            Symbol("z_w", "logit of word $w$"),
            Symbol("p_w", "its probability: softmax of the logits"),
            Symbol("y_w", "1 for the word $x$ that came, else 0"),
        ),
        draw=lambda g: {"z": normal(g, 5), "x": whole(g, 0, 4)},
        by_hand=_gradient_by_hand,
        companion=_gradient_companion,
        library=_gradient_torch,
    ),
    Equation(
        label="eq-optimization-sgd",
        symbols=(
            WEIGHTS,
            RATE,
            Symbol(r"\hat g_t", r"mean gradient of the batch; of the size of $\theta$"),
            Symbol("g_i", r"gradient of story $i$; of the size of $\theta$"),
            Symbol("B", "batch size: stories in a batch"),
        ),
        draw=lambda g: {"theta": normal(g, 4), "g": normal(g, 3, 4), "eta": between(g, 0.01, 1.0)},
        by_hand=_sgd_by_hand,
        companion=_sgd_companion,
        library=_sgd_torch,
    ),
    Equation(
        label="eq-optimization-noise",
        symbols=(
            Symbol(r"\mathbb{E}", "expectation over the batches that may be drawn"),
            Symbol(r"\hat g", r"mean gradient of a batch; of the size of $\theta$"),
            Symbol("g", r"gradient over all stories; of the size of $\theta$"),
            Symbol(r"\sigma^2", "variance of the gradient of one story: its mean squared distance from $g$"),
            Symbol("B", "batch size: stories in a batch, drawn independently"),
        ),
        draw=lambda g: {"g": normal(g, 4, 3), "batch": whole(g, 1, 3)},
        by_hand=_noise_by_hand,
        library=_noise_torch,
    ),
    Equation(
        label="eq-optimization-ravine",
        symbols=(
            Symbol(r"L(\theta)", "loss"),
            Symbol(r"\theta", "the two weights", "2"),
            Symbol("A", "Hessian: curvature of the valley", r"2 \times 2"),
            Symbol("R", "rotation that says where the ravine points", r"2 \times 2"),
            Symbol(r"\kappa", "condition number: curvature across the ravine; along it, it is 1"),
        ),
        draw=lambda g: {"theta": normal(g, 2), "angle": between(g, 0.0, 3.0), "kappa": between(g, 1.0, 100.0)},
        by_hand=_ravine_by_hand,
        library=_ravine_torch,
    ),
)
