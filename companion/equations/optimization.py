"""The equations of ``book/concepts/optimization.ipynb`` about what is made small."""

import math
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor
from torch.distributions import Categorical, kl_divergence

from companion.equations.checking import Equation, Symbol
from companion.equations.drawing import between, normal, shares, tokens, whole
from companion.objectives.batches import cross_entropy
from companion.optimizers import SGD

MODEL = Symbol(r"p_\theta(w)", r"the model's probability of word $w$; $\theta$ are its numbers")
DATA = Symbol("x_i", "word $i$ of the data, 1 to $n$")
SHARE = Symbol("q(w)", "share of word $w$ in the data")
WEIGHTS = Symbol(r"\theta_t", "all weights after step $t$")
RATE = Symbol(r"\eta", "learning rate")


def _data(g: Generator) -> dict[str, Any]:
    return {"x": tokens(g, 4, 8), "p": shares(g, 4)}


def _likelihood_hand(x: Tensor, p: Tensor) -> float:
    likelihood = 1.0
    for x_i in x:
        likelihood *= float(p[x_i])
    return likelihood


def _likelihood_ours(x: Tensor, p: Tensor) -> Tensor:
    return torch.exp(-len(x) * cross_entropy(p.log().expand(len(x), -1), x))


def _likelihood_torch(x: Tensor, p: Tensor) -> Tensor:
    return Categorical(p).log_prob(x).sum().exp()


def _nll_hand(x: Tensor, p: Tensor) -> tuple[float, float]:
    likelihood, total = 1.0, 0.0
    for x_i in x:
        likelihood *= float(p[x_i])
        total += math.log(p[x_i])
    return -math.log(likelihood) / len(x), -total / len(x)


def _nll_ours(x: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
    loss = cross_entropy(p.log().expand(len(x), -1), x)
    return loss, loss


def _nll_torch(x: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
    return -p[x].prod().log() / len(x), F.nll_loss(p.log().expand(len(x), -1), x)


def _cross_entropy_hand(x: Tensor, p: Tensor) -> float:
    q = [sum(int(x_i) == w for x_i in x) / len(x) for w in range(len(p))]
    return -sum(q[w] * math.log(p[w]) for w in range(len(p)))


def _cross_entropy_ours(x: Tensor, p: Tensor) -> Tensor:
    return cross_entropy(p.log().expand(len(x), -1), x)  # place by place, not sorted by word


def _cross_entropy_torch(x: Tensor, p: Tensor) -> Tensor:
    q = torch.bincount(x, minlength=len(p)) / len(x)
    return F.cross_entropy(p.log()[None], q[None])


def _kl_hand(x: Tensor, p: Tensor) -> float:
    q = [sum(int(x_i) == w for x_i in x) / len(x) for w in range(len(p))]
    there = [w for w in range(len(p)) if q[w] > 0]  # a word that never came adds nothing
    entropy = -sum(q[w] * math.log(q[w]) for w in there)
    return entropy + sum(q[w] * math.log(q[w] / float(p[w])) for w in there)


def _kl_torch(x: Tensor, p: Tensor) -> Tensor:
    data = Categorical(torch.bincount(x, minlength=len(p)).double())
    return data.entropy() + kl_divergence(data, Categorical(p))


def _gradient_hand(z: Tensor, x: int) -> Tensor:
    total = sum(math.exp(z_v) for z_v in z)
    return torch.tensor([math.exp(z[w]) / total - (1 if w == x else 0) for w in range(len(z))])


def _gradient_ours(z: Tensor, x: int) -> Tensor:
    logits = z.clone().requires_grad_()
    cross_entropy(logits[None], torch.tensor([x])).backward()
    assert logits.grad is not None
    return logits.grad


def _gradient_torch(z: Tensor, x: int) -> Tensor:
    result: Tensor = torch.func.grad(lambda logits: -F.log_softmax(logits, dim=-1)[x])(z)
    return result


def _sgd_hand(theta: Tensor, g: Tensor, eta: float) -> Tensor:
    mean = torch.zeros_like(theta)
    for g_i in g:
        mean = mean + g_i / len(g)
    return theta - eta * mean


def _sgd_ours(theta: Tensor, g: Tensor, eta: float) -> Tensor:
    weight = theta.clone().requires_grad_()
    optimizer = SGD([weight], lr=eta)
    weight.grad = g.mean(0)
    optimizer.step()
    return weight


def _sgd_torch(theta: Tensor, g: Tensor, eta: float) -> Tensor:
    weight = theta.clone().requires_grad_()
    optimizer = torch.optim.SGD([weight], lr=eta)
    (g @ weight).mean().backward()  # the loss of a batch whose gradients are g
    optimizer.step()
    return weight


def _noise_hand(g: Tensor, batch: int) -> float:
    mean, expected = g.sum(0) / len(g), 0.0
    for chosen in product(range(len(g)), repeat=batch):  # every batch that may be drawn
        of_batch = sum((g[i] for i in chosen), torch.zeros(g.size(1))) / batch
        expected += float(((of_batch - mean) ** 2).sum()) / len(g) ** batch
    return expected


def _noise_ours(g: Tensor, batch: int) -> float:
    expected = 0.0
    for chosen in product(range(len(g)), repeat=batch):
        weight = torch.zeros(g.size(1), requires_grad=True)
        weight.grad = g[list(chosen)].mean(0)
        SGD([weight], lr=1.0).step()  # from 0, by as much as the gradient
        expected += float((weight + g.mean(0)).square().sum().detach()) / len(g) ** batch
    return expected


def _noise_torch(g: Tensor, batch: int) -> Tensor:
    return torch.cov(g.T, correction=0).trace() / batch


EQUATIONS = (
    Equation(
        "eq-optimization-likelihood",
        (Symbol(r"\mathcal{L}(\theta)", "likelihood of the data"), MODEL, DATA),
        _data,
        _likelihood_hand,
        _likelihood_ours,
        _likelihood_torch,
    ),
    Equation(
        "eq-optimization-nll",
        (
            Symbol(r"L(\theta)", "loss: mean negative log-likelihood, in nats"),
            Symbol(r"\mathcal{L}(\theta)", "likelihood of the data"),
            MODEL,
            DATA,
        ),
        _data,
        _nll_hand,
        _nll_ours,
        _nll_torch,
    ),
    Equation(
        "eq-optimization-cross-entropy",
        (
            Symbol(r"L(\theta)", "loss: mean negative log-likelihood, in nats"),
            SHARE,
            MODEL,
            Symbol(r"H(q, p_\theta)", "cross-entropy of $q$ and the model"),
        ),
        _data,
        _cross_entropy_hand,
        _cross_entropy_ours,
        _cross_entropy_torch,
    ),
    Equation(
        "eq-optimization-kl",
        (
            Symbol(r"H(q, p_\theta)", "cross-entropy of $q$ and the model"),
            SHARE,
            Symbol("H(q)", "entropy of $q$"),
            MODEL,
            Symbol(r"\mathrm{KL}(q \,\|\, p_\theta)", "Kullback–Leibler divergence, 0 only where the two are equal"),
        ),
        _data,
        _kl_hand,
        _cross_entropy_ours,
        _kl_torch,
    ),
    Equation(
        "eq-optimization-gradient",
        (
            Symbol("z_w", "logit of word $w$"),
            Symbol("p_w", "its probability, by a softmax of the logits"),
            Symbol("y_w", "1 for the word $x$ that came, else 0"),
        ),
        lambda g: {"z": normal(g, 5), "x": whole(g, 0, 4)},
        _gradient_hand,
        _gradient_ours,
        _gradient_torch,
    ),
    Equation(
        "eq-optimization-sgd",
        (
            WEIGHTS,
            RATE,
            Symbol(r"\hat g_t", r"mean gradient of the batch; of the size of $\theta$"),
            Symbol("g_i", r"gradient of story $i$; of the size of $\theta$"),
            Symbol("B", "stories in a batch"),
        ),
        lambda g: {"theta": normal(g, 4), "g": normal(g, 3, 4), "eta": between(g, 0.01, 1.0)},
        _sgd_hand,
        _sgd_ours,
        _sgd_torch,
    ),
    Equation(
        "eq-optimization-noise",
        (
            Symbol(r"\mathbb{E}", "mean over all batches that may be drawn"),
            Symbol(r"\hat g", r"mean gradient of a batch; of the size of $\theta$"),
            Symbol("g", r"gradient over all stories; of the size of $\theta$"),
            Symbol(r"\sigma^2", "mean squared distance of one story's gradient from $g$"),
            Symbol("B", "stories in a batch, drawn independently"),
        ),
        lambda g: {"g": normal(g, 4, 3), "batch": whole(g, 1, 3)},
        _noise_hand,
        _noise_ours,
        _noise_torch,
    ),
)
