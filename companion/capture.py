"""Record what flows through a model, or change it, without a line in the model.

Chapter: ``book/concepts/attention.ipynb``, "Look inside".
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from companion.attention import MultiHeadAttention


@dataclass
class Record:
    """What :func:`capture` saw, in the order in which the model computed it.

    Attributes:
        attention: one tensor (batch, heads, query, key) a layer.
        hidden: the input of the first block, then the output of each block: (batch, length, d_model).
    """

    attention: list[Tensor] = field(default_factory=list)
    hidden: list[Tensor] = field(default_factory=list)


def attention_layers(model: nn.Module) -> list[MultiHeadAttention]:
    """Return the attention layers of ``model``, first to last.

    Raises:
        ValueError: when it has none.
    """
    layers = [module for module in model.modules() if isinstance(module, MultiHeadAttention)]
    if not layers:
        raise ValueError(f"{type(model).__name__} has no companion MultiHeadAttention layer to look into")
    return layers


@contextmanager
def capture(model: nn.Module, *, detach: bool = True) -> Iterator[Record]:
    """Record the attention weights and hidden states of each run of ``model`` inside the ``with`` block.

    A second run inside the same block replaces what the first one left.

    Args:
        model: a model of this package.
        detach: cut the recorded tensors from the graph; False keeps them differentiable.

    Raises:
        ValueError: when the model has no attention layer.
    """
    record = Record()
    layers = attention_layers(model)

    def keep(tensor: Tensor) -> Tensor:
        return tensor.detach() if detach else tensor

    def observe(weights: Tensor) -> Tensor:
        record.attention.append(keep(weights))
        return weights

    def start(*_: Any) -> None:
        record.attention.clear()
        record.hidden.clear()

    def enter(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if not record.hidden:
            record.hidden.append(keep(inputs[0]))

    def leave(_: nn.Module, __: Any, output: Tensor) -> None:
        record.hidden.append(keep(output))

    handles = [model.register_forward_pre_hook(start)]
    for block in getattr(model, "blocks", ()):
        handles += [block.register_forward_pre_hook(enter), block.register_forward_hook(leave)]
    for layer in layers:
        layer.observers.append(observe)
    try:
        yield record
    finally:
        for layer in layers:
            layer.observers.remove(observe)
        for handle in handles:
            handle.remove()


@contextmanager
def ablate(model: nn.Module, heads: Iterable[tuple[int, int]]) -> Iterator[None]:
    """Silence attention heads inside the ``with`` block: their weights, and so their outputs, are zero.

    Args:
        model: a model of this package.
        heads: pairs (layer, head), both counted from 0.

    Raises:
        ValueError: when the model has no such layer or head.
    """
    layers = attention_layers(model)
    silenced: dict[int, list[int]] = {}
    for layer, head in heads:
        if not 0 <= layer < len(layers):
            raise ValueError(f"layer must be 0 to {len(layers) - 1}; got {layer}")
        if not 0 <= head < layers[layer].n_heads:
            raise ValueError(f"head must be 0 to {layers[layer].n_heads - 1}; got {head}")
        silenced.setdefault(layer, []).append(head)

    def silence(which: list[int]) -> Any:
        def observer(weights: Tensor) -> Tensor:
            keep = torch.ones(weights.size(1), 1, 1, dtype=weights.dtype, device=weights.device)
            keep[which] = 0
            return weights * keep

        return observer

    observers = {layer: silence(which) for layer, which in silenced.items()}
    for layer, observer in observers.items():
        # before any recorder, so that what is recorded is what was used
        layers[layer].observers.insert(0, observer)
    try:
        yield
    finally:
        for layer, observer in observers.items():
            layers[layer].observers.remove(observer)
