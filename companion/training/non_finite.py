"""Origin of a number that is not finite: the first weight, gradient or output of a module that holds one.

Chapter: ``book/concepts/optimization.ipynb``.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from companion.nn.wrappers import plain_name, unwrapped


@torch.no_grad()
def origin(model: nn.Module, compute: Callable[[], object]) -> str:
    """Name of the first tensor that is not finite, in words.

    A weight comes first, then the output of a module in the order in which they are computed; minus infinity, which
    masks, does not count in an output.

    >>> layer = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    >>> origin(layer, lambda: layer(torch.full((1, 2), torch.nan)))
    'the output of 0 is not finite'

    Args:
        model: that computes.
        compute: runs the model as it was run when the number appeared.
    """
    model = unwrapped(model)
    if weight := _weight(model):
        return weight
    found: list[str] = []

    def look(name: str, output: object) -> None:
        if not found and any(bool((~(one.isfinite() | (one == -torch.inf))).any()) for one in _tensors(output)):
            found.append(f"the output of {plain_name(name) or type(model).__name__} is not finite")

    handles = [
        module.register_forward_hook(lambda _, __, output, name=name: look(name, output))
        for name, module in model.named_modules()
    ]
    try:
        compute()
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else "each weight and each output of the model is finite"


def gradient_origin(model: nn.Module) -> str:
    """Name of the first weight that is not finite, or else of the first whose gradient is not, in words.

    >>> layer = nn.Linear(1, 1)
    >>> layer.weight.grad, layer.bias.grad = torch.zeros(1, 1), torch.tensor([torch.inf])
    >>> gradient_origin(layer)
    'the gradient of bias is not finite'
    """
    model = unwrapped(model)
    if weight := _weight(model):
        return weight
    named = ((name, parameter.grad) for name, parameter in model.named_parameters())
    first = next((name for name, gradient in named if gradient is not None and not gradient.isfinite().all()), None)
    if first is None:
        return "the gradient of each parameter is finite, and their norm is too large"
    return f"the gradient of {plain_name(first)} is not finite"


def _weight(model: nn.Module) -> str:
    first = next((name for name, parameter in model.named_parameters() if not parameter.isfinite().all()), None)
    return "" if first is None else f"the weight {plain_name(first)} is not finite"


def _tensors(output: object) -> Iterator[Tensor]:
    """Tensors of floating-point numbers in the output of a module."""
    if isinstance(output, Tensor):
        if output.is_floating_point():
            yield output
    elif isinstance(output, tuple | list):
        for one in output:
            yield from _tensors(one)
