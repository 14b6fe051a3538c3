"""Queries, keys and values as they stand in the product of attention, recorded in a run of a model.

What a layer multiplies is not always what its matrices gave: positions may have been rotated into queries and keys, or
a key repeated for all heads of a group. So it is taken where the product is computed. Chapter:
``book/concepts/attention.ipynb``, "Queries, keys and values".
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from companion.nn.attention import Attention, scaled_dot_product_attention
from companion.nn.capture import attention_layers
from companion.nn.masks import causal_mask, combine_masks


@dataclass(frozen=True)
class Product:
    """What one layer of self-attention computed its weights and its output from.

    Attributes:
        query: (batch, heads, n, d_k).
        key: (batch, heads, m, d_k), one for each query head.
        value: (batch, heads, m, d_v).
        mask: boolean, broadcastable to (batch, heads, n, m), True = may attend; causality is part of it.
        bias: added to the scaled scores, broadcastable to (batch, heads, n, m), or None.
        scale: multiplies the scores.
        sink: a score beside those of the keys, broadcastable to (batch, heads, n, 1), or None.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    mask: Tensor
    bias: Tensor | None
    scale: float
    sink: Tensor | None = None

    def weights(self) -> Tensor:
        """Attention weights (batch, heads, n, m), computed again."""
        _, weights = scaled_dot_product_attention(
            self.query, self.key, self.value, self.mask, bias=self.bias, scale=self.scale, sink=self.sink
        )
        return weights


@contextmanager
def capture_products(model: nn.Module) -> Iterator[list[Product]]:
    """Record the product of each layer of self-attention in each run of ``model`` inside the ``with`` block.

    A second run inside the same block replaces the record of the first.

    Args:
        model: a model of this package.

    Raises:
        ValueError: when the model has no attention layer.

    Example:
        >>> from companion.nn.attention import MultiHeadAttention
        >>> model = nn.Sequential(MultiHeadAttention(d_model=12, n_heads=3))
        >>> with capture_products(model) as products:
        ...     output = model(torch.zeros(1, 5, 12))
        >>> products[0].query.shape, products[0].weights().shape
        (torch.Size([1, 3, 5, 4]), torch.Size([1, 3, 5, 5]))
    """
    layers = list(dict.fromkeys(attention_layers(model)))  # a shared one is asked several times
    products: list[Product] = []
    start = model.register_forward_pre_hook(lambda *_: products.clear())
    for layer in layers:
        vars(layer)["attend"] = _recorded(layer, products)  # found before the method of the class
    try:
        yield products
    finally:
        start.remove()
        for layer in layers:
            del vars(layer)["attend"]


def _recorded(layer: Attention, products: list[Product]) -> Callable[..., Tensor]:
    """The layer's ``attend``, which records its arguments first."""
    attend = layer.attend

    def record(
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None = None,
        *,
        causal: bool = False,
        bias: Tensor | None = None,
        sink: Tensor | None = None,
    ) -> Tensor:
        n, m = query.size(-2), key.size(-2)
        every = torch.ones(n, m, dtype=torch.bool, device=query.device)
        allowed = combine_masks(every, mask, causal_mask(n, m, query.device) if causal else None)
        assert allowed is not None
        scale = 1 / math.sqrt(query.size(-1)) if layer.scale is None else layer.scale
        added, aside = (None if one is None else one.detach() for one in (bias, sink))
        products.append(Product(query.detach(), key.detach(), value.detach(), allowed, added, scale, aside))
        return attend(query, key, value, mask, causal=causal, bias=bias, sink=sink)

    return record
