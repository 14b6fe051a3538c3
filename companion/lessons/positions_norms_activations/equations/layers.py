"""Equations of ``book/formulas/positions_norms_activations.ipynb``: norms, activations and the sizes that they set."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from companion.lessons import by_torch
from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.positions_norms_activations.equations.positions import VECTOR
from companion.lessons.random_inputs import normal, randomised, whole
from companion.nn.feed_forward import ACTIVATIONS, FeedForward, SwiGLU
from companion.nn.norms import RMSNorm
from companion.training.flops import parameters_in_products

NORMED = Symbol(r"\hat{x}", "normalised vector, before scale and shift", "d")


LOSS = Symbol(r"\mathcal{L}", "loss: any number computed from the output")


GRADIENT = Symbol("u", "gradient of the loss with respect to the output $y$, times the learned scale", "d")


MEAN = Symbol(r"\langle \cdot \rangle", "mean of the $d$ components of a vector")


NUMBER = Symbol("z", "one number")


NORMAL = Symbol(r"\Phi", "cumulative distribution function of the standard normal")


def _layer_by_hand(x: Tensor, g: Tensor, layer: nn.LayerNorm) -> Tensor:
    d = len(x)
    mu = sum(float(x_i) for x_i in x) / d
    sigma = math.sqrt(sum((float(x_i) - mu) ** 2 for x_i in x) / d + layer.eps)
    hat, u = (x - mu) / sigma, layer.weight * g
    along = sum(float(u[i] * hat[i]) for i in range(d)) / d
    return (u - sum(float(u_i) for u_i in u) / d - hat * along) / sigma


def _layer_torch(x: Tensor, g: Tensor, layer: nn.LayerNorm) -> Tensor:
    return by_torch.pullback(layer, x, g)


def _rms_by_hand(x: Tensor, g: Tensor, layer: RMSNorm) -> Tensor:
    d = len(x)
    r = math.sqrt(sum(float(x_i) ** 2 for x_i in x) / d + layer.eps)
    hat, u = x / r, layer.weight * g
    along = sum(float(u[i] * hat[i]) for i in range(d)) / d
    return (u - hat * along) / r


def _rms_companion(x: Tensor, g: Tensor, layer: RMSNorm) -> Tensor:
    return by_torch.pullback(layer, x, g)


def _rms_torch(x: Tensor, g: Tensor, layer: RMSNorm) -> Tensor:
    return by_torch.pullback(lambda z: F.rms_norm(z, (len(x),), layer.weight, layer.eps), x, g)


def _gelu_by_hand(z: Tensor) -> tuple[Tensor, Tensor]:
    exact = [float(x) / 2 * (1 + math.erf(float(x) / math.sqrt(2))) for x in z]
    root = math.sqrt(2 / math.pi)
    by_tanh = [float(x) / 2 * (1 + math.tanh(root * (float(x) + 0.044715 * float(x) ** 3))) for x in z]
    return torch.tensor(exact), torch.tensor(by_tanh)


def _gelu_companion(z: Tensor) -> tuple[Tensor, Tensor]:
    return ACTIVATIONS["gelu"](z), ACTIVATIONS["gelu_new"](z)


def _gelu_torch(z: Tensor) -> tuple[Tensor, Tensor]:
    curve = 2 * math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)  # (1 + tanh y) / 2 is the sigmoid of 2 y
    return z * torch.special.ndtr(z), z * torch.sigmoid(curve)


def _slopes_by_hand(z: Tensor) -> tuple[Tensor, ...]:
    numbers = [float(x) for x in z]
    density = [math.exp(-(x**2) / 2) / math.sqrt(2 * math.pi) for x in numbers]
    phi = [(1 + math.erf(x / math.sqrt(2))) / 2 for x in numbers]
    sigma = [1 / (1 + math.exp(-x)) for x in numbers]
    relu = [1.0 if x > 0 else 0.0 for x in numbers]
    gelu = [p + x * q for x, p, q in zip(numbers, phi, density, strict=True)]
    silu = [s * (1 + x * (1 - s)) for x, s in zip(numbers, sigma, strict=True)]
    return torch.tensor(relu), torch.tensor(gelu), torch.tensor(silu)


def _slopes_torch(z: Tensor) -> tuple[Tensor, ...]:
    relu = torch.func.jvp(F.relu, (z,), (torch.ones_like(z),))[1]
    gelu = torch.func.jvp(lambda x: x * torch.special.ndtr(x), (z,), (torch.ones_like(z),))[1]
    silu = torch.func.jvp(F.silu, (z,), (torch.ones_like(z),))[1]
    return relu, gelu, silu


def _size_by_hand(d: int, d_ff: int) -> tuple[int, int]:
    gated = 2 * d_ff // 3
    return 2 * d * d_ff, 3 * d * gated


def _size_companion(d: int, d_ff: int) -> tuple[int, int]:
    plain, gated = FeedForward(d, d_ff, "gelu"), SwiGLU(d, 2 * d_ff // 3)
    return parameters_in_products(plain), parameters_in_products(gated)


def _size_torch(d: int, d_ff: int) -> tuple[int, int]:
    narrow = d_ff - d_ff // 3
    plain = [nn.Linear(d, d_ff), nn.Linear(d_ff, d)]
    gated = [nn.Linear(d, narrow), nn.Linear(d, narrow), nn.Linear(narrow, d)]
    return sum(layer.weight.numel() for layer in plain), sum(layer.weight.numel() for layer in gated)


def _with_gradient(layer: Any, g: Generator) -> dict[str, Any]:
    return {"x": normal(g, 6), "g": normal(g, 6), "layer": randomised(layer, g)}


EQUATIONS = (
    Equation(
        label="eq-positions-layer_norm",
        symbols=(LOSS, VECTOR, NORMED, GRADIENT, MEAN, Symbol(r"\sigma", r"root of the variance plus $\varepsilon$")),
        draw=lambda g: _with_gradient(nn.LayerNorm(6), g),
        by_hand=_layer_by_hand,
        library=_layer_torch,
    ),
    Equation(
        label="eq-positions-rms_norm",
        symbols=(LOSS, VECTOR, NORMED, GRADIENT, MEAN, Symbol("r", r"root of the mean square plus $\varepsilon$")),
        draw=lambda g: _with_gradient(RMSNorm(6), g),
        by_hand=_rms_by_hand,
        companion=_rms_companion,
        library=_rms_torch,
    ),
    Equation(
        label="eq-positions-gelu",
        symbols=(NUMBER, NORMAL, Symbol(r"\mathrm{erf}", "error function")),
        draw=lambda g: {"z": 2 * normal(g, 8)},
        by_hand=_gelu_by_hand,
        companion=_gelu_companion,
        library=_gelu_torch,
    ),
    Equation(
        label="eq-positions-slopes",
        symbols=(
            NUMBER,
            NORMAL,
            Symbol(r"\phi", "density of the standard normal"),
            Symbol(r"\sigma", r"logistic function, $1 / (1 + e^{-z})$"),
        ),
        draw=lambda g: {"z": 2 * normal(g, 8)},
        by_hand=_slopes_by_hand,
        library=_slopes_torch,
    ),
    Equation(
        label="eq-positions-size",
        symbols=(
            Symbol("N", "number of weights of a plain and of a gated network, without biases"),
            Symbol("d", "width of the residual stream, `d_model`"),
            Symbol(r"d_{\mathrm{ff}}", "width inside the plain network"),
            Symbol(r"d'_{\mathrm{ff}}", "width inside the gated network"),
        ),
        draw=lambda g: {"d": whole(g, 1, 20), "d_ff": 3 * whole(g, 1, 20)},
        by_hand=_size_by_hand,
        companion=_size_companion,
        library=_size_torch,
    ),
)
