"""PyTorch's functions with companion's weights: parts of the larger formulas by PyTorch.

Chapter: ``book/concepts/attention.ipynb``.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Categorical

from companion.nn.attention import MultiHeadAttention
from companion.nn.feed_forward import FeedForward
from companion.nn.norms import RMSNorm


def multi_head_attention(x: Tensor, memory: Tensor, layer: MultiHeadAttention, causal: bool = False) -> Tensor:
    """Multi-head attention of queries from ``x`` (n, d) over keys and values from ``memory`` (m, d)."""
    inputs = (layer.query, layer.key, layer.value)
    weight = torch.cat([part.weight for part in inputs])
    bias = None if layer.query.bias is None else torch.cat([part.bias for part in inputs])
    hidden = torch.ones(len(x), len(memory), dtype=torch.bool).triu(1) if causal else None
    query, source, mixer = x[:, None], memory[:, None], layer.output
    weights = {"in_proj_weight": weight, "in_proj_bias": bias}
    weights |= {"out_proj_weight": mixer.weight, "out_proj_bias": mixer.bias}
    options: dict[str, Any] = {"bias_k": None, "bias_v": None, "add_zero_attn": False, "dropout_p": 0.0, **weights}
    sizes = {"embed_dim_to_check": x.size(-1), "num_heads": layer.n_heads}
    options |= {"need_weights": False, "attn_mask": hidden, **sizes}
    output, _ = F.multi_head_attention_forward(query, source, source, **options)
    return output[:, 0]


def layer_norm(x: Tensor, layer: nn.LayerNorm) -> Tensor:
    """Layer norm of each row (n, d)."""
    return F.layer_norm(x, (x.size(-1),), layer.weight, layer.bias, layer.eps)


def rms_norm(x: Tensor, layer: RMSNorm) -> Tensor:
    """RMS norm of each row (n, d)."""
    return F.rms_norm(x, (x.size(-1),), layer.weight, layer.eps)


def linear(x: Tensor, layer: nn.Linear) -> Tensor:
    """Linear map of each row."""
    return F.linear(x, layer.weight, layer.bias)


def relu_ffn(x: Tensor, layer: FeedForward) -> Tensor:
    """Feed-forward network with ReLU."""
    return linear(F.relu(linear(x, layer.expand)), layer.contract)


def log_prob(logits: Tensor, tokens: Tensor) -> Tensor:
    """Log-probability of tokens (…) under logits (…, vocab), by PyTorch's categorical distribution."""
    result: Tensor = Categorical(logits=logits).log_prob(tokens)
    return result


def entropy(probabilities: Tensor) -> Tensor:
    """Entropy of distributions (…, outcomes) in nats, by PyTorch's categorical distribution."""
    result: Tensor = Categorical(probabilities).entropy()
    return result


def jacobian(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Jacobian of a function at x, by reverse-mode automatic differentiation."""
    result: Tensor = torch.func.jacrev(function)(x)
    return result


def gradient(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Gradient of a scalar function at x, by automatic differentiation."""
    result: Tensor = torch.func.grad(function)(x)
    return result


def pullback(function: Callable[[Tensor], Tensor], x: Tensor, g: Tensor) -> Tensor:
    """Gradient at x of a loss whose gradient with respect to the function's value is g (vector-Jacobian product)."""
    result: Tensor = torch.func.vjp(function, x)[1](g)[0]
    return result
