"""Layers in plain arithmetic, parts of the larger formulas by hand: nothing of PyTorch's or companion's layers.

Each is checked by an equation of its own; see :mod:`companion.lessons.attention.equations` and
:mod:`companion.lessons.transformer.equations`. Chapter: ``book/concepts/language_model.ipynb``.
"""

import math

import torch
from torch import Tensor, nn

from companion.nn.attention import MultiHeadAttention
from companion.nn.feed_forward import FeedForward
from companion.nn.norms import RMSNorm


def softmax(scores: Tensor) -> Tensor:
    """Softmax of each row of scores (…, n): ``exp s_j / sum_l exp s_l``."""
    powers = scores.exp()
    return powers / powers.sum(-1, keepdim=True)


def layer_norm(x: Tensor, norm: nn.LayerNorm) -> Tensor:
    """Layer norm of each row (n, d): ``scale * (x - mean) / sqrt(variance + eps) + shift``."""
    mean = x.sum(-1, keepdim=True) / x.size(-1)
    variance = ((x - mean) ** 2).sum(-1, keepdim=True) / x.size(-1)
    normed: Tensor = (x - mean) / (variance + norm.eps) ** 0.5
    return norm.weight * normed + norm.bias


def rms_norm(x: Tensor, norm: RMSNorm) -> Tensor:
    """RMS norm of each row (n, d): ``scale * x / sqrt(mean square + eps)``."""
    root: Tensor = ((x**2).sum(-1, keepdim=True) / x.size(-1) + norm.eps) ** 0.5
    return norm.weight * x / root


def linear(x: Tensor, layer: nn.Linear) -> Tensor:
    """Linear map of each row: ``x W + b``, without ``b`` where the layer has no bias."""
    product = x @ layer.weight.T
    return product if layer.bias is None else product + layer.bias


def relu_ffn(x: Tensor, layer: FeedForward) -> Tensor:
    """Feed-forward network with ReLU: ``max(0, x W_1 + b_1) W_2 + b_2``."""
    wide = linear(x, layer.expand)
    return linear(wide * (wide > 0), layer.contract)


def gelu(x: Tensor) -> Tensor:
    """GELU in GPT-2's form with tanh: ``x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))``."""
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def multi_head_attention(x: Tensor, memory: Tensor, layer: MultiHeadAttention, causal: bool = False) -> Tensor:
    """Multi-head attention of queries from ``x`` (n, d) over keys and values from ``memory`` (m, d), head by head."""
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
