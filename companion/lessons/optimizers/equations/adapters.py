"""Equations of ``book/formulas/optimizers.ipynb``: LoRA and DPO."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from companion.finetuning.lora import LoRALinear, merge, unmerge
from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import between, normal, randomised
from companion.losses.preference import dpo_loss

NARROW = Symbol("A", "down-projection of the adapter; learned", r"r \times n")


WIDE = Symbol("B", "up-projection of the adapter; learned, zero at first", r"m \times r")


RANK = Symbol("r", "rank of the adapter")


SCALE = Symbol(r"\alpha", r"the adapter's product is scaled by $\alpha / r$")


LEAD = Symbol("h", "difference of log-ratios: what the chosen answer has gained on the rejected, against the reference")


PRICE = Symbol(r"\beta", "strength of the KL penalty: price of moving away from the reference")


def _adapted(g: Generator) -> dict[str, Any]:
    layer = LoRALinear(nn.Linear(4, 3, bias=False), 2, between(g, 1, 20))
    return {"x": normal(g, 5, 4), "y": normal(g, 5, 3), "layer": randomised(layer, g)}


def _lora_by_hand(x: Tensor, y: Tensor, layer: Any) -> Tensor:
    a, b, r = layer.lora_a, layer.lora_b, len(layer.lora_a)
    rows = []
    for x_i in x:
        narrow = [sum(float(a[k, j] * x_i[j]) for j in range(4)) for k in range(r)]
        plain = [sum(float(layer.weight[c, j] * x_i[j]) for j in range(4)) for c in range(3)]
        added = [sum(float(b[c, k]) * narrow[k] for k in range(r)) for c in range(3)]
        rows.append([plain[c] + layer.alpha / r * added[c] for c in range(3)])
    return torch.tensor(rows)


def _lora_companion(x: Tensor, y: Tensor, layer: Any) -> Tensor:
    model = nn.Sequential(layer)
    merge(model)
    merged: Tensor = model(x)
    unmerge(model)
    return merged


def _lora_torch(x: Tensor, y: Tensor, layer: Any) -> Tensor:
    scale = layer.alpha / layer.lora_a.size(0)
    return F.linear(x, torch.addmm(layer.weight, layer.lora_b, layer.lora_a, alpha=scale))


def _pull_by_hand(x: Tensor, y: Tensor, layer: Any) -> tuple[Tensor, Tensor]:
    a, b, scale = layer.lora_a, layer.lora_b, layer.alpha / len(layer.lora_a)
    w = layer.weight + scale * b @ a
    g = torch.zeros(3, 4)  # of the loss, half the summed squares, with respect to the merged matrix
    for x_i, y_i in zip(x, y, strict=True):
        miss = w @ x_i - y_i
        g += torch.stack([miss[c] * x_i for c in range(3)])
    return scale * b.T @ g, scale * g @ a.T


def _pull_companion(x: Tensor, y: Tensor, layer: Any) -> tuple[Tensor, ...]:
    layer.lora_a.requires_grad_(True)
    layer.lora_b.requires_grad_(True)
    loss = 0.5 * (layer(x) - y).square().sum()
    found = torch.autograd.grad(loss, (layer.lora_a, layer.lora_b))
    layer.requires_grad_(False)
    return found


def _pull_torch(x: Tensor, y: Tensor, layer: Any) -> tuple[Tensor, ...]:
    a, b = (part.detach().clone().requires_grad_() for part in (layer.lora_a, layer.lora_b))
    merged = torch.addmm(layer.weight.detach(), b, a, alpha=layer.alpha / len(a))
    loss = F.mse_loss(F.linear(x, merged), y, reduction="sum") / 2
    return torch.autograd.grad(loss, (a, b))


def _pairs(g: Generator) -> dict[str, Any]:
    """Two models' scores of three questions' four answers; of each the first was chosen, the second rejected."""
    return {"z": normal(g, 3, 4), "z_ref": normal(g, 3, 4), "beta": between(g, 0.1, 2.0)}


def _dpo_by_hand(z: Tensor, z_ref: Tensor, beta: float) -> float:
    total = 0.0
    for ours, theirs in zip(z, z_ref, strict=True):
        pi = ours.exp() / ours.exp().sum()
        ref = theirs.exp() / theirs.exp().sum()
        h = math.log(pi[0] / ref[0]) - math.log(pi[1] / ref[1])
        total += math.log(1 / (1 + math.exp(-beta * h)))
    return -total / len(z)


def _dpo_companion(z: Tensor, z_ref: Tensor, beta: float) -> Tensor:
    pi, ref = z.log_softmax(-1), z_ref.log_softmax(-1)
    return dpo_loss(pi[:, 0], pi[:, 1], ref[:, 0], ref[:, 1], beta)


def _dpo_torch(z: Tensor, z_ref: Tensor, beta: float) -> Tensor:
    lead = (z - z_ref)[:, :2] @ torch.tensor([1.0, -1.0])  # each row's normaliser cancels
    return F.binary_cross_entropy_with_logits(beta * lead, torch.ones(len(z)))


def _dpo_gradient_by_hand(z: Tensor, z_ref: Tensor, beta: float) -> Tensor:
    gradient = torch.zeros_like(z)
    for i in range(len(z)):
        h = float(z[i, 0] - z[i, 1]) - float(z_ref[i, 0] - z_ref[i, 1])
        doubt = 1 / (1 + math.exp(beta * h))
        gradient[i, 0] = -beta * doubt / len(z)
        gradient[i, 1] = beta * doubt / len(z)
    return gradient


def _dpo_gradient_companion(z: Tensor, z_ref: Tensor, beta: float) -> Tensor:
    z = z.clone().requires_grad_()
    pi, ref = z.log_softmax(-1), z_ref.log_softmax(-1)
    return torch.autograd.grad(dpo_loss(pi[:, 0], pi[:, 1], ref[:, 0], ref[:, 1], beta), z)[0]


def _dpo_gradient_torch(z: Tensor, z_ref: Tensor, beta: float) -> Tensor:
    def loss(scores: Tensor) -> Tensor:
        pi, ref = F.log_softmax(scores, -1), F.log_softmax(z_ref, -1)
        return F.softplus(-beta * ((pi - ref)[:, 0] - (pi - ref)[:, 1])).mean()

    found: Tensor = torch.func.grad(loss)(z)
    return found


EQUATIONS = (
    Equation(
        label="eq-optimizers-lora",
        symbols=(
            Symbol("x, y", "input and output vector", r"n,\; m"),
            Symbol("W", "the frozen matrix", r"m \times n"),
            WIDE,
            NARROW,
            RANK,
            SCALE,
        ),
        draw=_adapted,
        by_hand=_lora_by_hand,
        companion=_lora_companion,
        library=_lora_torch,
    ),
    Equation(
        label="eq-optimizers-lora-gradient",
        symbols=(
            Symbol(r"\mathcal{L}", "loss"),
            Symbol("G", "gradient of the loss with respect to the merged matrix", r"m \times n"),
            WIDE,
            NARROW,
            RANK,
            SCALE,
        ),
        draw=_adapted,
        by_hand=_pull_by_hand,
        companion=_pull_companion,
        library=_pull_torch,
    ),
    Equation(
        label="eq-optimizers-dpo",
        symbols=(
            Symbol(r"\mathcal{L}", "loss, in nats, a mean over pairs of answers"),
            Symbol(
                r"\pi_\theta, \pi_{\mathrm{ref}}", "probability of a whole answer under the policy, under the reference"
            ),
            Symbol("y_w, y_l", "chosen answer (won) and rejected answer (lost)"),
            Symbol("x", "prompt: the question"),
            Symbol(r"\sigma", r"logistic function, $1 / (1 + e^{-h})$ of a number $h$"),
            PRICE,
            LEAD,
        ),
        draw=_pairs,
        by_hand=_dpo_by_hand,
        companion=_dpo_companion,
        library=_dpo_torch,
    ),
    Equation(
        label="eq-optimizers-dpo-gradient",
        symbols=(
            Symbol(r"\nabla_\theta \mathcal{L}", r"gradient of the loss of one pair; of the size of $\theta$"),
            Symbol(r"\sigma(-\beta h)", "how wrong the policy still is about the pair, between 0 and 1"),
            Symbol(r"\pi_\theta", "the policy's probability of a whole answer"),
            Symbol("y_w, y_l, x", "chosen answer, rejected answer, question"),
            PRICE,
            LEAD,
        ),
        draw=_pairs,
        by_hand=_dpo_gradient_by_hand,
        companion=_dpo_gradient_companion,
        library=_dpo_gradient_torch,
    ),
)
