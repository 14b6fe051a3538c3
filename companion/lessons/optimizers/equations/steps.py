"""Equations of ``book/formulas/optimizers.ipynb``: the steps of optimizers and their schedules."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR

from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import between, normal, whole
from companion.training.optimizers import SGD, Adam, AdamW, orthogonalised
from companion.training.schedules import multipliers

GRADIENT = Symbol("g_s", r"gradient at step $s$; of the size of $\theta$")


RATE = Symbol(r"\eta", "learning rate")


WEIGHTS = Symbol(r"\theta_t", "parameters after step $t$")


def _run(make: Callable[[list[Tensor]], Any], theta: Tensor, gradients: Tensor) -> tuple[Tensor, Any]:
    """Return the weights after a step with each gradient, and what the optimizer keeps of them."""
    weight = theta.clone().requires_grad_()
    optimizer = make([weight])
    for g in gradients:
        weight.grad = g.clone()
        optimizer.step()
    return weight.detach(), optimizer.state[weight]


def _unrolled_by_hand(theta: Tensor, gradients: Tensor, eta: float, mu: float) -> Tensor:
    t = len(gradients)
    for s in range(1, t + 1):
        theta = theta - eta * (1 - mu ** (t - s + 1)) / (1 - mu) * gradients[s - 1]
    return theta


def _unrolled_companion(theta: Tensor, gradients: Tensor, eta: float, mu: float) -> Tensor:
    return _run(lambda weights: SGD(weights, lr=eta, momentum=mu), theta, gradients)[0]


def _unrolled_torch(theta: Tensor, gradients: Tensor, eta: float, mu: float) -> Tensor:
    return _run(lambda weights: torch.optim.SGD(weights, lr=eta, momentum=mu), theta, gradients)[0]


def _correction_by_hand(gradients: Tensor, beta: float) -> Tensor:
    t = len(gradients)
    mean = torch.zeros_like(gradients[0])
    for s in range(1, t + 1):
        mean = mean + (1 - beta) * beta ** (t - s) / (1 - beta**t) * gradients[s - 1]
    return mean


def _correction_companion(gradients: Tensor, beta: float) -> Tensor:
    _, state = _run(lambda w: Adam(w, lr=0.1, betas=(beta, 0.9)), torch.zeros(gradients.size(1)), gradients)
    mean: Tensor = state["m"] / (1 - beta ** state["t"])
    return mean


def _correction_torch(gradients: Tensor, beta: float) -> Tensor:
    nothing = torch.zeros(gradients.size(1))
    _, state = _run(lambda w: torch.optim.Adam(w, lr=0.1, betas=(beta, 0.9)), nothing, gradients)
    mean: Tensor = state["exp_avg"] / (1 - beta ** state["step"])
    return mean


def _first_by_hand(theta: Tensor, g: Tensor, eta: float, lam: float, eps: float) -> tuple[Tensor, Tensor]:
    pulled = g + lam * theta
    penalty = theta - eta * pulled / (abs(pulled) + eps)
    decoupled = (1 - eta * lam) * theta - eta * g / (abs(g) + eps)
    return penalty, decoupled


def _first_companion(theta: Tensor, g: Tensor, eta: float, lam: float, eps: float) -> tuple[Tensor, Tensor]:
    penalty, _ = _run(lambda w: Adam(w, lr=eta, weight_decay=lam, eps=eps), theta, g[None])
    decoupled, _ = _run(lambda w: AdamW(w, lr=eta, weight_decay=lam, eps=eps), theta, g[None])
    return penalty, decoupled


def _first_torch(theta: Tensor, g: Tensor, eta: float, lam: float, eps: float) -> tuple[Tensor, Tensor]:
    penalty, _ = _run(lambda w: torch.optim.Adam(w, lr=eta, weight_decay=lam, eps=eps), theta, g[None])
    decoupled, _ = _run(lambda w: torch.optim.AdamW(w, lr=eta, weight_decay=lam, eps=eps), theta, g[None])
    return penalty, decoupled


def _schulz_by_hand(m: Tensor) -> Tensor:
    (p, q), (u, v) = m.tolist()
    square, area = p**2 + q**2 + u**2 + v**2, abs(p * v - q * u)  # s_1^2 + s_2^2, and s_1 s_2
    total, gap = math.sqrt(square + 2 * area), math.sqrt(square - 2 * area)  # s_1 + s_2, and s_1 - s_2
    ends = []
    for sigma in ((total - gap) / 2, (total + gap) / 2):
        s = sigma / math.sqrt(square)
        for _ in range(5):
            s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
        ends.append(s)
    return torch.tensor(sorted(ends))


def _schulz_companion(m: Tensor) -> Tensor:
    values: Tensor = torch.linalg.svdvals(orthogonalised(m, steps=5, dtype=torch.float64))
    return values.flip(0)


def _schulz_torch(m: Tensor) -> Tensor:
    left, sigma, right = torch.linalg.svd(m)
    s: Tensor = sigma / torch.linalg.matrix_norm(m)
    for _ in range(5):
        s = s * (3.4445 + s.square() * (-4.7750 + 2.0315 * s.square()))
    values: Tensor = torch.linalg.svdvals(left @ s.diag() @ right)
    return values.flip(0)


def _schedule_by_hand(steps: int, warmup: int) -> tuple[Tensor, Tensor]:
    straight, cosine = [], []
    for t in range(1, steps + 1):
        if t <= warmup:
            straight.append(t / warmup)
            cosine.append(t / warmup)
        else:
            u = (t - warmup) / (steps - warmup)
            straight.append(1 - u)
            cosine.append((1 + math.cos(math.pi * u)) / 2)
    return torch.tensor(straight), torch.tensor(cosine)


def _schedule_companion(steps: int, warmup: int) -> tuple[Tensor, ...]:
    return tuple(torch.tensor(multipliers(name, steps, warmup)) for name in ("linear", "cosine"))


def _schedule_torch(steps: int, warmup: int) -> tuple[Tensor, ...]:
    falls = steps - warmup
    curves = []
    for kind in ("linear", "cosine"):
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        falling = LinearLR(optimizer, 1.0, 0.0, falls) if kind == "linear" else CosineAnnealingLR(optimizer, falls)
        rates = []
        for _ in range(falls):
            optimizer.step()
            falling.step()
            rates.append(float(optimizer.param_groups[0]["lr"]))
        curves.append(torch.cat([torch.linspace(0, 1, warmup + 1)[1:], torch.tensor(rates)]))
    return tuple(curves)


EQUATIONS = (
    Equation(
        label="eq-optimizers-unrolled",
        symbols=(
            WEIGHTS,
            RATE,
            Symbol(r"\mu", "momentum coefficient: factor of the velocity from step to step"),
            GRADIENT,
        ),
        draw=lambda g: {
            "theta": normal(g, 4),
            "gradients": normal(g, whole(g, 1, 6), 4),
            "eta": between(g, 0.01, 0.5),
            "mu": between(g, 0.1, 0.95),
        },
        by_hand=_unrolled_by_hand,
        companion=_unrolled_companion,
        library=_unrolled_torch,
    ),
    Equation(
        label="eq-optimizers-correction",
        symbols=(
            Symbol(r"\hat m_t", r"bias-corrected moving average of the gradients; of the size of $\theta$"),
            Symbol(r"\beta", "decay rate of the average"),
            GRADIENT,
        ),
        draw=lambda g: {"gradients": normal(g, whole(g, 2, 6), 4), "beta": between(g, 0.5, 0.99)},
        by_hand=_correction_by_hand,
        companion=_correction_companion,
        library=_correction_torch,
    ),
    Equation(
        label="eq-optimizers-first",
        symbols=(
            Symbol(r"\theta_0, \theta_1", "a parameter before and after its first step"),
            Symbol("g", "its gradient"),
            RATE,
            Symbol(r"\lambda", "weight decay"),
            Symbol(r"\varepsilon", "small constant that keeps the division from zero"),
        ),
        draw=lambda g: {
            "theta": normal(g, 5),
            "g": normal(g, 5),
            "eta": between(g, 0.01, 0.5),
            "lam": between(g, 0.1, 1.0),
            "eps": 0.1,
        },
        by_hand=_first_by_hand,
        companion=_first_companion,
        library=_first_torch,
    ),
    Equation(
        label="eq-optimizers-schulz",
        symbols=(
            Symbol("s_k", "a singular value after $k$ iterations"),
            Symbol(r"\sigma", "singular value of the original matrix"),
            Symbol("M", "matrix that is orthogonalised", r"m \times n"),
            Symbol("a, b, c", "coefficients of the iteration: $3.4445$, $-4.7750$, $2.0315$"),
        ),
        draw=lambda g: {"m": normal(g, 2, 2)},
        by_hand=_schulz_by_hand,
        companion=_schulz_companion,
        library=_schulz_torch,
    ),
    Equation(
        label="eq-optimizers-schedule",
        symbols=(
            Symbol(r"\rho_t", "multiplier of the peak learning rate at step $t$, counted from 1"),
            Symbol("W", "number of warm-up steps"),
            Symbol("T", "number of steps of the run"),
            Symbol("u", "progress from the end of the warm-up to the last step, 0 to 1"),
        ),
        draw=lambda g: {"steps": whole(g, 10, 30), "warmup": whole(g, 1, 8)},
        by_hand=_schedule_by_hand,
        companion=_schedule_companion,
        library=_schedule_torch,
    ),
)
