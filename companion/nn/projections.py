"""Projections of one input by several matrices, as one product where that is faster.

Chapter: ``book/concepts/transformer.ipynb``.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from companion.nn.watching import is_watched


def projected(x: Tensor, layers: Sequence[nn.Module]) -> list[Tensor]:
    """What each of the layers gives for the same input.

    Trained in half precision, plain projections of one size are computed as one, of their matrices side by side: the
    input is rounded once, not for each of them, and the gradients that meet in it are added up in single precision.

    >>> layers = [nn.Linear(4, 6) for _ in "qkv"]
    >>> [part.shape for part in projected(torch.zeros(2, 5, 4), layers)]
    [torch.Size([2, 5, 6]), torch.Size([2, 5, 6]), torch.Size([2, 5, 6])]

    Args:
        x: (…, d_model).
        layers: modules of one input.

    Returns:
        one tensor (…, width) a layer.
    """
    if not (torch.is_grad_enabled() and torch.is_autocast_enabled(x.device.type) and _are_plain(layers)):
        return [layer(x) for layer in layers]
    weight = torch.cat([layer.get_parameter("weight") for layer in layers])
    has_bias = layers[0].bias is not None
    bias = torch.cat([layer.get_parameter("bias") for layer in layers]) if has_bias else None
    return list(F.linear(x, weight, bias).chunk(len(layers), dim=-1))


def _are_plain(layers: Sequence[nn.Module]) -> bool:
    """Whether the layers are linear maps of one size that nothing watches, and all of them with a bias or none."""
    return (
        all(type(layer) is nn.Linear and not is_watched(layer) for layer in layers)
        and len({layer.get_parameter("weight").shape for layer in layers}) == 1
        and len({layer.bias is None for layer in layers}) == 1
    )
