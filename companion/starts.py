"""Where training begins: numbers from which a small encoder learns sooner.

Chapter: ``book/algorithms/bert.ipynb``, "A better start". Source: Trockman & Kolter 2023, "Mimetic Initialization of
Self-Attention Layers".
"""

import torch
from torch import nn

from companion.attention import MultiHeadAttention


@torch.no_grad()
def matching_start(model: nn.Module, scale: float = 0.1) -> None:
    """Fit the size of the matrices to the model's width, and let equal tokens attend to each other from the start.

    Each matrix W is drawn from N(0, 1 / d_model), and in every self-attention the key's matrix begins equal to the
    query's, so that the score of a vector x with itself is ``|W x|^2 / sqrt(d_head)``, above that of most others.
    Segments begin as large as :func:`companion.positions.sinusoidal_start` makes tokens and positions. Nothing is
    added to the model: only the numbers that training begins with are others. A matrix that is an embedding too is
    left alone.

    Args:
        model: with :class:`companion.attention.MultiHeadAttention` layers, and a ``config`` with its ``d_model``.
        scale: standard deviation of the segment embeddings, where the model has any.

    Raises:
        ValueError: when the model has no such layer, or the scale is not above 0.
    """
    if not scale > 0:
        raise ValueError(f"scale must be above 0; got {scale}")
    layers = [module for module in model.modules() if isinstance(module, MultiHeadAttention)]
    if not layers:
        raise ValueError(f"{type(model).__name__} has no MultiHeadAttention to begin with matching keys")
    width: int = model.config.d_model  # type: ignore[union-attr,assignment]
    tables = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and id(module.weight) not in tables:
            nn.init.normal_(module.weight, std=width**-0.5)
        if isinstance(module, nn.Embedding) and name.endswith("segment_embedding"):
            nn.init.normal_(module.weight, std=scale)
    for layer in layers:
        layer.key.weight.copy_(layer.query.weight)
