"""Parts that the PyTorch forms of larger equations are made of: PyTorch's functions, fed with our weights.

Chapter: ``book/concepts/attention.ipynb``.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def multi_head_attention(x: Tensor, memory: Tensor, layer: Any, causal: bool = False) -> Tensor:
    """Let ``x`` (n, d) read ``memory`` (m, d) through PyTorch's multi-head attention."""
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


def layer_norm(x: Tensor, layer: Any) -> Tensor:
    """Normalise by PyTorch's layer norm."""
    return F.layer_norm(x, (x.size(-1),), layer.weight, layer.bias, layer.eps)


def rms_norm(x: Tensor, layer: Any) -> Tensor:
    """Normalise by PyTorch's RMS norm."""
    return F.rms_norm(x, (x.size(-1),), layer.weight, layer.eps)


def linear(x: Tensor, layer: Any) -> Tensor:
    """Map by PyTorch's linear function."""
    return F.linear(x, layer.weight, layer.bias)


def relu_ffn(x: Tensor, layer: Any) -> Tensor:
    """Widen, rectify and narrow by PyTorch's functions."""
    return linear(F.relu(linear(x, layer.expand)), layer.contract)
