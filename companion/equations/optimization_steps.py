"""The equations of ``book/concepts/optimization.ipynb`` about how steps are made."""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from companion.equations.checking import Equation, Symbol
from companion.equations.drawing import between, normal, whole
from companion.exercises import exercise
from companion.optimizers import SGD, Adam, AdamW, orthogonalised

WEIGHTS = Symbol(r"\theta_t", "all weights after step $t$")
GRADIENT = Symbol("g_t", r"gradient at step $t$; of the size of $\theta$")
RATE = Symbol(r"\eta", "learning rate")


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
