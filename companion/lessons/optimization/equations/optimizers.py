"""Equations of ``book/concepts/optimization.ipynb``: momentum, Adam, decay, Muon, schedule, clipping, width."""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.optimization.equations.likelihood import RATE, WEIGHTS
from companion.lessons.random_inputs import between, normal, whole
from companion.training.optimizers import SGD, Adam, AdamW, orthogonalised
from companion.training.schedules import multipliers

GRADIENT = Symbol("g_t", r"gradient at step $t$; of the size of $\theta$")


def _steps(optimizer: Callable[[list[Tensor]], Any], theta: Tensor, gradients: Tensor) -> Tensor:
    """Return the weights after each step of an optimizer, (steps, weights)."""
    weight = theta.clone().requires_grad_()
    stepper, path = optimizer([weight]), []
    for g in gradients:
        weight.grad = g.clone()
        stepper.step()
        path.append(weight.detach().clone())
    return torch.stack(path)


def _momentum_by_hand(theta: Tensor, gradients: Tensor, eta: float, mu: float) -> Tensor:
    v, path = torch.zeros_like(theta), []
    for g in gradients:
        v = mu * v + g
        theta = theta - eta * v
        path.append(theta)
    return torch.stack(path)


def _momentum_companion(theta: Tensor, gradients: Tensor, eta: float, mu: float) -> Tensor:
    return _steps(lambda weights: SGD(weights, lr=eta, momentum=mu), theta, gradients)


def _momentum_torch(theta: Tensor, gradients: Tensor, eta: float, mu: float) -> Tensor:
    return _steps(lambda weights: torch.optim.SGD(weights, lr=eta, momentum=mu), theta, gradients)


def _adam_by_hand(theta: Tensor, gradients: Tensor, eta: float, betas: tuple[float, float], eps: float) -> Tensor:
    m, v, path = torch.zeros_like(theta), torch.zeros_like(theta), []
    for t, g in enumerate(gradients, start=1):
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        m_hat, v_hat = m / (1 - betas[0] ** t), v / (1 - betas[1] ** t)
        theta = theta - eta * m_hat / (v_hat**0.5 + eps)
        path.append(theta)
    return torch.stack(path)


def _adam_companion(theta: Tensor, gradients: Tensor, eta: float, betas: tuple[float, float], eps: float) -> Tensor:
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


def _decay_by_hand(theta: Tensor, gradients: Tensor, eta: float, lam: float) -> Tensor:
    m, v, path = torch.zeros_like(theta), torch.zeros_like(theta), []
    for t, g in enumerate(gradients, start=1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        step_without_decay = m / (1 - 0.9**t) / ((v / (1 - 0.999**t)) ** 0.5 + 1e-8)  # Adam's
        theta = (1 - eta * lam) * theta - eta * step_without_decay
        path.append(theta)
    return torch.stack(path)


def _decay_companion(theta: Tensor, gradients: Tensor, eta: float, lam: float) -> Tensor:
    return _steps(lambda weights: AdamW(weights, lr=eta, weight_decay=lam), theta, gradients)


def _decay_torch(theta: Tensor, gradients: Tensor, eta: float, lam: float) -> Tensor:
    return _steps(lambda weights: torch.optim.AdamW(weights, lr=eta, weight_decay=lam), theta, gradients)


def _muon_by_hand(m: Tensor) -> Tensor:
    a, b, c = 3.4445, -4.7750, 2.0315
    x = m / math.sqrt((m**2).sum())
    for _ in range(5):
        x = a * x + b * (x @ x.T) @ x + c * (x @ x.T) @ (x @ x.T) @ x
    return x


def _muon_companion(m: Tensor) -> Tensor:
    return orthogonalised(m, steps=5, dtype=torch.float64)


def _muon_torch(m: Tensor) -> Tensor:
    u, s, v = torch.linalg.svd(m, full_matrices=False)
    s = F.normalize(s, dim=0)  # the norm of a matrix is that of its singular values
    for _ in range(5):
        s = 3.4445 * s - 4.7750 * s.pow(3) + 2.0315 * s.pow(5)
    product: Tensor = u @ torch.diag(s) @ v
    return product


def _wsd_by_hand(t: int, steps: int, warmup: int) -> float:
    u = (t - warmup) / (steps - warmup)
    return 1.0 if u <= 0.8 else (1 - u) / 0.2


def _wsd_companion(t: int, steps: int, warmup: int) -> float:
    return multipliers("warmup_stable_decay", steps, warmup)[t - 1]


def _wsd_torch(t: int, steps: int, warmup: int) -> Tensor:
    ramp = torch.linspace(1, 0, steps - warmup + 1, dtype=torch.float64)  # 1 - u, from the end of the warm-up
    return (ramp[t - warmup] / 0.2).clamp(max=1)


def _wsd_inputs(g: Generator) -> dict[str, Any]:
    warmup, after = whole(g, 1, 20), whole(g, 1, 80)
    return {"t": warmup + whole(g, 1, after), "steps": warmup + after, "warmup": warmup}


def _width_by_hand(w: Tensor, x: Tensor, delta: Tensor, eta: float) -> Tensor:
    total = sum(abs(float(x_j)) for x_j in x)
    return torch.tensor([-eta * math.copysign(1.0, float(delta_i)) * total for delta_i in delta])


def _width_companion(w: Tensor, x: Tensor, delta: Tensor, eta: float) -> Tensor:
    (moved,) = _steps(lambda weights: Adam(weights, lr=eta, eps=0.0), w, torch.outer(delta, x)[None])
    change: Tensor = (moved - w) @ x
    return change


def _width_torch(w: Tensor, x: Tensor, delta: Tensor, eta: float) -> Tensor:
    weight = w.clone().requires_grad_()
    ((weight @ x) * delta).sum().backward()
    torch.optim.Adam([weight], lr=eta, eps=0.0).step()
    return F.linear(x, weight.detach() - w)


def _clip_by_hand(g: Tensor, c: float) -> Tensor:
    length = math.sqrt(sum(float(g_w) ** 2 for g_w in g))
    return g * min(1.0, c / length)


def _clip_torch(g: Tensor, c: float) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(g)
    return F.normalize(g, dim=0) * length.clamp(max=c)


EQUATIONS = (
    Equation(
        label="eq-optimization-momentum",
        symbols=(
            Symbol("v_t", r"velocity; of the size of $\theta$"),
            Symbol(r"\mu", "momentum coefficient: factor of the velocity from step to step"),
            GRADIENT,
            WEIGHTS,
            RATE,
        ),
        draw=lambda g: {
            "theta": normal(g, 4),
            "gradients": normal(g, 5, 4),
            "eta": between(g, 0.01, 0.5),
            "mu": between(g, 0.1, 0.99),
        },
        by_hand=_momentum_by_hand,
        companion=_momentum_companion,
        library=_momentum_torch,
    ),
    Equation(
        label="eq-optimization-adam",
        symbols=(
            Symbol("m_t, v_t", r"moving averages of the gradient and of its square; of the size of $\theta$"),
            Symbol(r"\beta_1, \beta_2", "decay rates of the two averages"),
            GRADIENT,
            Symbol(r"\hat m_t, \hat v_t", "the averages, bias-corrected for beginning at 0"),
            WEIGHTS,
            RATE,
            Symbol(r"\varepsilon", "small constant that keeps the division from zero"),
        ),
        draw=_adam_inputs,
        by_hand=_adam_by_hand,
        companion=_adam_companion,
        library=_adam_torch,
    ),
    Equation(
        label="eq-optimization-decay",
        symbols=(WEIGHTS, RATE, Symbol(r"\lambda", "weight decay")),
        draw=lambda g: {
            "theta": normal(g, 4),
            "gradients": normal(g, 5, 4),
            "eta": between(g, 0.01, 0.5),
            "lam": between(g, 0.01, 1.0),
        },
        by_hand=_decay_by_hand,
        companion=_decay_companion,
        library=_decay_torch,
    ),
    Equation(
        label="eq-optimization-muon",
        symbols=(
            Symbol("X", "the matrix, nearer to orthogonal after each iteration", r"m \times n"),
            Symbol("a, b, c", "coefficients of the iteration"),
        ),
        draw=lambda g: {"m": normal(g, whole(g, 2, 6), whole(g, 2, 6))},
        by_hand=_muon_by_hand,
        companion=_muon_companion,
        library=_muon_torch,
    ),
    Equation(
        label="eq-optimization-wsd",
        symbols=(
            Symbol("s_t", "multiplier of the peak learning rate at step $t$, after the warm-up"),
            Symbol("u_t", "fraction of the steps after the warm-up that are done"),
            Symbol("T", "number of steps"),
            Symbol("W", "number of steps of the warm-up"),
            Symbol("c", "fraction of the steps after the warm-up in which the rate falls, $1/5$"),
        ),
        draw=_wsd_inputs,
        by_hand=_wsd_by_hand,
        companion=_wsd_companion,
        library=_wsd_torch,
    ),
    Equation(
        label="eq-optimization-width",
        symbols=(
            Symbol(r"\Delta y_i", "change of output $i$ of the layer by Adam's first step"),
            RATE,
            Symbol("d", "number of inputs of the layer: its width"),
            Symbol("x_j", "input $j$ of the layer"),
            Symbol(r"\delta_i", "gradient of the loss at output $i$"),
        ),
        draw=lambda g: {"w": normal(g, 3, 5), "x": normal(g, 5), "delta": normal(g, 3), "eta": between(g, 0.01, 0.5)},
        by_hand=_width_by_hand,
        companion=_width_companion,
        library=_width_torch,
    ),
    Equation(
        label="eq-optimization-clip",
        symbols=(
            Symbol(r"\hat g", r"gradient of the batch, all parameters together; of the size of $\theta$"),
            Symbol("c", "largest norm that it may have"),
        ),
        draw=lambda g: {"g": normal(g, 6), "c": between(g, 0.5, 4.0)},
        by_hand=_clip_by_hand,
        library=_clip_torch,
    ),
)
