"""The equations of ``book/formulas/positions_norms_activations.ipynb`` about norms and activations."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from companion.equations.checking import Equation, Symbol
from companion.equations.drawing import between, normal, randomised, whole
from companion.mixture import SwiGLU
from companion.norms import RMSNorm
from companion.transformer import ACTIVATIONS, FeedForward

VECTOR = Symbol("x", "vector of one position", "d")
NORMED = Symbol(r"\hat{x}", "the vector after the norm, before scale and shift", "d")
LOSS = Symbol(r"\mathcal{L}", "loss: any number computed from the output")
PULL = Symbol("u", "gradient of the loss with respect to the output $y$, times the learned scale", "d")
MEAN = Symbol(r"\langle \cdot \rangle", "mean of the $d$ numbers of a vector")
NUMBER = Symbol("z", "one number")
NORMAL = Symbol(r"\Phi", "distribution function of the standard normal")


def _unmoved_hand(x: Tensor, alpha: float, c: float) -> tuple[Tensor, Tensor]:
    mu = sum(float(x_i) for x_i in x) / len(x)
    sigma = math.sqrt(sum((float(x_i) - mu) ** 2 for x_i in x) / len(x))
    r = math.sqrt(sum(float(x_i) ** 2 for x_i in x) / len(x))
    return (x - mu) / sigma, x / r


def _unmoved_ours(x: Tensor, alpha: float, c: float) -> tuple[Tensor, Tensor]:
    return nn.LayerNorm(len(x), eps=0.0)(alpha * x + c), RMSNorm(len(x), eps=0.0)(alpha * x)


def _unmoved_torch(x: Tensor, alpha: float, c: float) -> tuple[Tensor, Tensor]:
    centred = x - x.mean()
    size = math.sqrt(len(x))
    return F.normalize(alpha * centred, dim=0) * size, F.normalize(alpha * x, dim=0) * size


def _layer_hand(x: Tensor, g: Tensor, layer: nn.LayerNorm) -> Tensor:
    d = len(x)
    mu = sum(float(x_i) for x_i in x) / d
    sigma = math.sqrt(sum((float(x_i) - mu) ** 2 for x_i in x) / d + layer.eps)
    hat, u = (x - mu) / sigma, layer.weight * g
    along = sum(float(u[i] * hat[i]) for i in range(d)) / d
    return (u - sum(float(u_i) for u_i in u) / d - hat * along) / sigma


def _layer_ours(x: Tensor, g: Tensor, layer: nn.LayerNorm) -> Tensor:
    x = x.clone().requires_grad_()
    return torch.autograd.grad(layer(x), x, g)[0]  # companion takes PyTorch's layer


def _layer_torch(x: Tensor, g: Tensor, layer: nn.LayerNorm) -> Tensor:
    back = torch.func.vjp(lambda z: F.group_norm(z[None], 1, layer.weight, layer.bias, layer.eps)[0], x)[1]
    result: Tensor = back(g)[0]
    return result


def _rms_hand(x: Tensor, g: Tensor, layer: RMSNorm) -> Tensor:
    d = len(x)
    r = math.sqrt(sum(float(x_i) ** 2 for x_i in x) / d + layer.eps)
    hat, u = x / r, layer.weight * g
    along = sum(float(u[i] * hat[i]) for i in range(d)) / d
    return (u - hat * along) / r


def _rms_ours(x: Tensor, g: Tensor, layer: RMSNorm) -> Tensor:
    x = x.clone().requires_grad_()
    return torch.autograd.grad(layer(x), x, g)[0]


def _rms_torch(x: Tensor, g: Tensor, layer: RMSNorm) -> Tensor:
    back = torch.func.vjp(lambda z: F.rms_norm(z, (len(x),), layer.weight, layer.eps), x)[1]
    result: Tensor = back(g)[0]
    return result


def _gelu_hand(z: Tensor) -> tuple[Tensor, Tensor]:
    exact = [float(x) / 2 * (1 + math.erf(float(x) / math.sqrt(2))) for x in z]
    root = math.sqrt(2 / math.pi)
    by_tanh = [float(x) / 2 * (1 + math.tanh(root * (float(x) + 0.044715 * float(x) ** 3))) for x in z]
    return torch.tensor(exact), torch.tensor(by_tanh)


def _gelu_ours(z: Tensor) -> tuple[Tensor, Tensor]:
    return ACTIVATIONS["gelu"](z), ACTIVATIONS["gelu_new"](z)


def _gelu_torch(z: Tensor) -> tuple[Tensor, Tensor]:
    curve = 2 * math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)  # (1 + tanh y) / 2 is the sigmoid of 2 y
    return z * torch.special.ndtr(z), z * torch.sigmoid(curve)


def _slopes_hand(z: Tensor) -> tuple[Tensor, ...]:
    numbers = [float(x) for x in z]
    density = [math.exp(-(x**2) / 2) / math.sqrt(2 * math.pi) for x in numbers]
    phi = [(1 + math.erf(x / math.sqrt(2))) / 2 for x in numbers]
    sigma = [1 / (1 + math.exp(-x)) for x in numbers]
    relu = [1.0 if x > 0 else 0.0 for x in numbers]
    gelu = [p + x * q for x, p, q in zip(numbers, phi, density, strict=True)]
    silu = [s * (1 + x * (1 - s)) for x, s in zip(numbers, sigma, strict=True)]
    return torch.tensor(relu), torch.tensor(gelu), torch.tensor(silu)


def _silu(z: Tensor) -> Tensor:
    """SiLU as companion has it, inside SwiGLU: a gate of z, and 1 to pass through it."""
    layer = SwiGLU(2, 1).requires_grad_(False)
    layer.gate.weight.copy_(torch.tensor([[1.0, 0.0]]))
    layer.expand.weight.copy_(torch.tensor([[0.0, 1.0]]))
    layer.contract.weight.copy_(torch.tensor([[1.0], [0.0]]))
    result: Tensor = layer(torch.stack([z, torch.ones_like(z)], dim=-1))[..., 0]
    return result


def _slopes_ours(z: Tensor) -> tuple[Tensor, ...]:
    z = z.clone().requires_grad_()
    curves = (ACTIVATIONS["relu"], ACTIVATIONS["gelu"], _silu)
    return tuple(torch.autograd.grad(curve(z).sum(), z)[0] for curve in curves)


def _slopes_torch(z: Tensor) -> tuple[Tensor, ...]:
    relu = torch.func.jvp(F.relu, (z,), (torch.ones_like(z),))[1]
    gelu = torch.func.jvp(lambda x: x * torch.special.ndtr(x), (z,), (torch.ones_like(z),))[1]
    silu = torch.func.jvp(F.silu, (z,), (torch.ones_like(z),))[1]
    return relu, gelu, silu


def _size_hand(d: int, d_ff: int) -> tuple[int, int]:
    gated = 2 * d_ff // 3
    return 2 * d * d_ff, 3 * d * gated


def _size_ours(d: int, d_ff: int) -> tuple[int, int]:
    plain, gated = FeedForward(d, d_ff, "gelu"), SwiGLU(d, 2 * d_ff // 3)
    return (
        sum(p.numel() for p in plain.parameters() if p.dim() == 2),  # without the biases
        sum(p.numel() for p in gated.parameters()),
    )


def _size_torch(d: int, d_ff: int) -> tuple[int, int]:
    narrow = d_ff - d_ff // 3
    plain = [nn.Linear(d, d_ff), nn.Linear(d_ff, d)]
    gated = [nn.Linear(d, narrow), nn.Linear(d, narrow), nn.Linear(narrow, d)]
    sizes = (sum(layer.weight.numel() for layer in layers) for layers in (plain, gated))
    return tuple(sizes)  # type: ignore[return-value]


def _with_gradient(layer: Any, g: Generator) -> dict[str, Any]:
    return {"x": normal(g, 6), "g": normal(g, 6), "layer": randomised(layer, g)}


EQUATIONS = (
    Equation(
        "eq-positions-unmoved",
        (
            VECTOR,
            Symbol(r"\alpha", "a number above 0"),
            Symbol("c", "a number that is added to each component"),
            Symbol(r"\mathrm{LN}, \mathrm{RMSNorm}", r"the norms, here with $\varepsilon = 0$, scale 1 and shift 0"),
        ),
        lambda g: {"x": normal(g, 6), "alpha": between(g, 0.5, 3), "c": between(g, -2, 2)},
        _unmoved_hand,
        _unmoved_ours,
        _unmoved_torch,
    ),
    Equation(
        "eq-positions-layer_norm",
        (LOSS, VECTOR, NORMED, PULL, MEAN, Symbol(r"\sigma", r"root of the variance plus $\varepsilon$")),
        lambda g: _with_gradient(nn.LayerNorm(6), g),
        _layer_hand,
        _layer_ours,
        _layer_torch,
    ),
    Equation(
        "eq-positions-rms_norm",
        (LOSS, VECTOR, NORMED, PULL, MEAN, Symbol("r", r"root of the mean square plus $\varepsilon$")),
        lambda g: _with_gradient(RMSNorm(6), g),
        _rms_hand,
        _rms_ours,
        _rms_torch,
    ),
    Equation(
        "eq-positions-gelu",
        (NUMBER, NORMAL, Symbol(r"\mathrm{erf}", "error function")),
        lambda g: {"z": 2 * normal(g, 8)},
        _gelu_hand,
        _gelu_ours,
        _gelu_torch,
    ),
    Equation(
        "eq-positions-slopes",
        (NUMBER, NORMAL, Symbol(r"\phi", "density of the standard normal"), Symbol(r"\sigma", r"$1 / (1 + e^{-z})$")),
        lambda g: {"z": 2 * normal(g, 8)},
        _slopes_hand,
        _slopes_ours,
        _slopes_torch,
    ),
    Equation(
        "eq-positions-size",
        (
            Symbol("N", "weights of a plain and of a gated network, without biases"),
            Symbol("d", "width of the stream, `d_model`"),
            Symbol(r"d_{\mathrm{ff}}", "width inside the plain network"),
            Symbol(r"d'_{\mathrm{ff}}", "width inside the gated network"),
        ),
        lambda g: {"d": whole(g, 1, 20), "d_ff": 3 * whole(g, 1, 20)},
        _size_hand,
        _size_ours,
        _size_torch,
    ),
)
