"""Parts that the hand forms of larger equations are made of: plain arithmetic, nothing of PyTorch's or our layers.

Each is checked by an equation of its own; see :mod:`companion.lessons.attention.equations` and
:mod:`companion.lessons.transformer.equations`. Chapter: ``book/concepts/language_model.ipynb``.
"""

import math
from typing import Any

import torch
from torch import Tensor


def softmax(scores: Tensor) -> Tensor:
    """Make each row of scores (…, n) shares that sum to 1: ``exp s_j / sum_l exp s_l``."""
    powers = scores.exp()
    return powers / powers.sum(-1, keepdim=True)


def layer_norm(x: Tensor, norm: Any) -> Tensor:
    """Normalise each row (n, d): take its mean away, divide by its deviation, scale and shift."""
    mean = x.sum(-1, keepdim=True) / x.size(-1)
    variance = ((x - mean) ** 2).sum(-1, keepdim=True) / x.size(-1)
    return norm.weight * (x - mean) / (variance + norm.eps) ** 0.5 + norm.bias


def rms_norm(x: Tensor, norm: Any) -> Tensor:
    """Divide each row (n, d) by its root mean square, and scale."""
    return norm.weight * x / ((x**2).sum(-1, keepdim=True) / x.size(-1) + norm.eps) ** 0.5


def linear(x: Tensor, linear: Any) -> Tensor:
    """Multiply by a layer's matrix, and add its vector where it has one: ``x W + b``."""
    product = x @ linear.weight.T
    return product if linear.bias is None else product + linear.bias


def relu_ffn(x: Tensor, layer: Any) -> Tensor:
    """Widen each row, set what is negative to 0, narrow again: ``max(0, x W_1 + b_1) W_2 + b_2``."""
    wide = linear(x, layer.expand)
    return linear(wide * (wide > 0), layer.contract)


def gelu(x: Tensor) -> Tensor:
    """Bend by the GELU of GPT-2, ``x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))``."""
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def multi_head_attention(x: Tensor, memory: Tensor, layer: Any, causal: bool = False) -> Tensor:
    """Let each row of ``x`` (n, d) read the rows of ``memory`` (m, d), head by head; mix the heads."""
    query, key, value = linear(x, layer.query), linear(memory, layer.key), linear(memory, layer.value)
    width = query.size(-1) // layer.n_heads
    heads = []
    for first in range(0, query.size(-1), width):
        q, k, v = (part[:, first : first + width] for part in (query, key, value))
        scores = q @ k.T / math.sqrt(width)
        if causal:
            for i in range(len(x)):
                scores[i, i + 1 :] = -math.inf
        heads.append(softmax(scores) @ v)
    return linear(torch.cat(heads, dim=-1), layer.output)
