"""The equations of ``book/concepts/optimization.ipynb`` about what is made small."""

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor
from torch.distributions import Categorical, kl_divergence

from companion.lessons import exercise
from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import between, normal, shares, tokens, whole
from companion.losses.cross_entropy import cross_entropy
from companion.training.optimizers import SGD, Adam, AdamW, orthogonalised

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


GRADIENT = Symbol("g_t", r"gradient at step $t$; of the size of $\theta$")


def _ravine_hand(theta: Tensor, angle: float, kappa: float) -> float:
    r = [[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]]
    curvature = [1.0, kappa]
    a = [[sum(r[c][i] * curvature[c] * r[c][j] for c in range(2)) for j in range(2)] for i in range(2)]
    return sum(0.5 * float(theta[i]) * a[i][j] * float(theta[j]) for i in range(2) for j in range(2))


def _ravine_ours(theta: Tensor, angle: float, kappa: float) -> Tensor:
    c, s = math.cos(angle), math.sin(angle)
    r = torch.tensor([[c, s], [-s, c]])
    a = r.T @ torch.diag(torch.tensor([1.0, kappa])) @ r
    path = theta[None]  # (steps, 2), as the chapter has it
    return (0.5 * ((path @ a) * path).sum(1))[0]


def _ravine_torch(theta: Tensor, angle: float, kappa: float) -> Tensor:
    turned = torch.complex(*theta) * torch.polar(torch.ones(()), torch.tensor(-angle))
    return torch.dot(torch.tensor([0.5, kappa / 2]), torch.view_as_real(turned).square())


def _steps(optimizer: Callable[[list[Tensor]], Any], theta: Tensor, gradients: Tensor) -> Tensor:
    """Return the weights after each step of an optimizer, (steps, weights)."""
    weight = theta.clone().requires_grad_()
    stepper, path = optimizer([weight]), []
    for g in gradients:
        weight.grad = g.clone()
        stepper.step()
        path.append(weight.detach().clone())
    return torch.stack(path)


def _momentum_hand(theta: Tensor, gradients: Tensor, eta: float, mu: float) -> Tensor:
    v, path = torch.zeros_like(theta), []
    for g in gradients:
        v = mu * v + g
        theta = theta - eta * v
        path.append(theta)
    return torch.stack(path)


def _momentum_ours(theta: Tensor, gradients: Tensor, eta: float, mu: float) -> Tensor:
    return _steps(lambda weights: SGD(weights, lr=eta, momentum=mu), theta, gradients)


def _momentum_torch(theta: Tensor, gradients: Tensor, eta: float, mu: float) -> Tensor:
    return _steps(lambda weights: torch.optim.SGD(weights, lr=eta, momentum=mu), theta, gradients)


def _adam_hand(theta: Tensor, gradients: Tensor, eta: float, betas: tuple[float, float], eps: float) -> Tensor:
    m, v, path = torch.zeros_like(theta), torch.zeros_like(theta), []
    for t, g in enumerate(gradients, start=1):
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        m_hat, v_hat = m / (1 - betas[0] ** t), v / (1 - betas[1] ** t)
        theta = theta - eta * m_hat / (v_hat**0.5 + eps)
        path.append(theta)
    return torch.stack(path)


def _adam_ours(theta: Tensor, gradients: Tensor, eta: float, betas: tuple[float, float], eps: float) -> Tensor:
    return _steps(lambda weights: Adam(weights, lr=eta, betas=betas, eps=eps), theta, gradients)


def _adam_torch(theta: Tensor, gradients: Tensor, eta: float, betas: tuple[float, float], eps: float) -> Tensor:
    return _steps(lambda weights: torch.optim.Adam(weights, lr=eta, betas=betas, eps=eps), theta, gradients)


def _adam_inputs(g: Generator) -> dict[str, Any]:
    betas = (between(g, 0.5, 0.95), between(g, 0.8, 0.999))
    return {
        "theta": normal(g, 4),
        "gradients": normal(g, 5, 4),
        "eta": between(g, 0.01, 0.5),
        "betas": betas,
        "eps": 1e-6,
    }


def _decay_hand(theta: Tensor, gradients: Tensor, eta: float, lam: float) -> Tensor:
    m, v, path = torch.zeros_like(theta), torch.zeros_like(theta), []
    for t, g in enumerate(gradients, start=1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        step_without_decay = m / (1 - 0.9**t) / ((v / (1 - 0.999**t)) ** 0.5 + 1e-8)  # Adam's
        theta = (1 - eta * lam) * theta - eta * step_without_decay
        path.append(theta)
    return torch.stack(path)


def _decay_ours(theta: Tensor, gradients: Tensor, eta: float, lam: float) -> Tensor:
    return _steps(lambda weights: AdamW(weights, lr=eta, weight_decay=lam), theta, gradients)


def _decay_torch(theta: Tensor, gradients: Tensor, eta: float, lam: float) -> Tensor:
    return _steps(lambda weights: torch.optim.AdamW(weights, lr=eta, weight_decay=lam), theta, gradients)


def _muon_hand(m: Tensor) -> Tensor:
    a, b, c = 3.4445, -4.7750, 2.0315
    x = m / float((m**2).sum()) ** 0.5
    for _ in range(5):
        x = a * x + b * (x @ x.T) @ x + c * (x @ x.T) @ (x @ x.T) @ x
    return x


def _muon_ours(m: Tensor) -> Tensor:
    return orthogonalised(m, steps=5, dtype=torch.float64)


def _muon_torch(m: Tensor) -> Tensor:
    u, s, v = torch.linalg.svd(m, full_matrices=False)
    s = F.normalize(s, dim=0)  # the norm of a matrix is that of its singular values
    for _ in range(5):
        s = 3.4445 * s - 4.7750 * s.pow(3) + 2.0315 * s.pow(5)
    return u @ torch.diag(s) @ v


def _clip_hand(g: Tensor, c: float) -> Tensor:
    length = math.sqrt(sum(float(g_w) ** 2 for g_w in g))
    return g * min(1.0, c / length)


def _clip_ours(g: Tensor, c: float) -> Tensor:
    parts = exercise("clip-by-norm").reference(list(g.split(2)), c)  # weights come in several tensors
    return torch.cat(parts)


def _clip_torch(g: Tensor, c: float) -> Tensor:
    return F.normalize(g, dim=0) * torch.linalg.vector_norm(g).clamp(max=c)


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
    Equation(
        "eq-optimization-ravine",
        (
            Symbol(r"L(\theta)", "loss"),
            Symbol(r"\theta", "the two weights", "2"),
            Symbol("A", "curvature of the valley", r"2 \times 2"),
            Symbol("R", "rotation that says where the ravine points", r"2 \times 2"),
            Symbol(r"\kappa", "curvature across the ravine; along it, it is 1"),
        ),
        lambda g: {"theta": normal(g, 2), "angle": between(g, 0.0, 3.0), "kappa": between(g, 1.0, 100.0)},
        _ravine_hand,
        _ravine_ours,
        _ravine_torch,
    ),
    Equation(
        "eq-optimization-momentum",
        (
            Symbol("v_t", r"velocity; of the size of $\theta$"),
            Symbol(r"\mu", "momentum: what is left of the velocity at the next step"),
            GRADIENT,
            WEIGHTS,
            RATE,
        ),
        lambda g: {
            "theta": normal(g, 4),
            "gradients": normal(g, 5, 4),
            "eta": between(g, 0.01, 0.5),
            "mu": between(g, 0.1, 0.99),
        },
        _momentum_hand,
        _momentum_ours,
        _momentum_torch,
    ),
    Equation(
        "eq-optimization-adam",
        (
            Symbol("m_t, v_t", r"running means of the gradient and of its square; of the size of $\theta$"),
            Symbol(r"\beta_1, \beta_2", "what is left of each at the next step"),
            GRADIENT,
            Symbol(r"\hat m_t, \hat v_t", "the means, corrected for beginning at 0"),
            WEIGHTS,
            RATE,
            Symbol(r"\varepsilon", "small number that keeps the division from zero"),
        ),
        _adam_inputs,
        _adam_hand,
        _adam_ours,
        _adam_torch,
    ),
    Equation(
        "eq-optimization-decay",
        (WEIGHTS, RATE, Symbol(r"\lambda", "weight decay")),
        lambda g: {
            "theta": normal(g, 4),
            "gradients": normal(g, 5, 4),
            "eta": between(g, 0.01, 0.5),
            "lam": between(g, 0.01, 1.0),
        },
        _decay_hand,
        _decay_ours,
        _decay_torch,
    ),
    Equation(
        "eq-optimization-muon",
        (
            Symbol("X", "the matrix, after each round nearer to orthogonal", r"m \times n"),
            Symbol("a, b, c", "three chosen numbers"),
        ),
        lambda g: {"m": normal(g, whole(g, 2, 6), whole(g, 2, 6))},
        _muon_hand,
        _muon_ours,
        _muon_torch,
    ),
    Equation(
        "eq-optimization-clip",
        (
            Symbol(r"\hat g", r"gradient of the batch, all weights together; of the size of $\theta$"),
            Symbol("c", "largest length that it may have"),
        ),
        lambda g: {"g": normal(g, 6), "c": between(g, 0.5, 4.0)},
        _clip_hand,
        _clip_ours,
        _clip_torch,
    ),
)
