"""Record what flows through a model, or change it, without a line in the model.

Chapter: ``book/concepts/attention.ipynb``, "Look inside".
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from companion.nn.attention import Attention


@dataclass
class Record:
    """What :func:`capture` saw, in the order in which the model computed it.

    Attributes:
        attention: self-attention, one tensor (batch, heads, query, key) a layer; of a model with an encoder and a
            decoder, first the encoder's layers, then the decoder's.
        cross_attention: of the decoder to the encoder's output, one tensor (batch, heads, query, key) a layer.
        query_attention: of XLNet's query stream, one tensor (batch, heads, query, key) a layer.
        hidden: the input of the first block, then the output of each block: (batch, length, d_model); of a model with
            an encoder and a decoder, first the encoder's, then the decoder's.
    """

    attention: list[Tensor] = field(default_factory=list)
    cross_attention: list[Tensor] = field(default_factory=list)
    query_attention: list[Tensor] = field(default_factory=list)
    hidden: list[Tensor] = field(default_factory=list)


def attention_layers(model: nn.Module, kind: str = "attention") -> list[Attention]:
    """Return the layers of ``model`` that attend, first to last; a shared one comes as often as it is used.

    Args:
        model: a model of this package.
        kind: "attention" (to itself), "cross_attention" (to an encoder's output), or "query_attention" (XLNet's
            second stream); the last two are told from the first by the name that the model gives them.

    Raises:
        ValueError: when it has none of them.
    """
    layers = [
        module
        for name, module in model.named_modules(remove_duplicate=False)
        if isinstance(module, Attention) and _kind(name) == kind
    ]
    if not layers:
        raise ValueError(f"{type(model).__name__} has no companion {kind} layer to look into")
    return layers


def _kind(name: str) -> str:
    last = name.rpartition(".")[2]
    return last if last in ("cross_attention", "query_attention") else "attention"


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
    attention_layers(model)
    record = Record()
    entered: set[nn.Module] = set()

    def keep(tensor: Tensor) -> Tensor:
        return tensor.detach() if detach else tensor

    def observer_of(kind: str) -> Callable[[Tensor], Tensor]:
        def observe(weights: Tensor) -> Tensor:
            getattr(record, kind).append(keep(weights))
            return weights

        return observe

    def start(*_: Any) -> None:
        entered.clear()
        for seen in vars(record).values():
            seen.clear()

    def enter(block: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if block not in entered:  # one that all layers share is entered again and again
            entered.add(block)
            record.hidden.append(keep(inputs[0]))

    def leave(_: nn.Module, __: Any, output: Tensor) -> None:
        record.hidden.append(keep(output))

    handles = [model.register_forward_pre_hook(start)]
    for stack in model.modules():
        blocks: Sequence[nn.Module] = getattr(stack, "blocks", ())
        if len(blocks):
            handles.append(blocks[0].register_forward_pre_hook(enter))
        handles += [block.register_forward_hook(leave) for block in dict.fromkeys(blocks)]
    observed = [(m, observer_of(_kind(name))) for name, m in model.named_modules() if isinstance(m, Attention)]
    for layer, observer in observed:
        layer.observers.append(observer)
    try:
        yield record
    finally:
        for layer, observer in observed:
            layer.observers.remove(observer)
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

    def silence(which: list[list[int]]) -> Any:
        turns = itertools.cycle(which)  # one entry, unless the layer is shared

        def observer(weights: Tensor) -> Tensor:
            keep = torch.ones(weights.size(1), 1, 1, dtype=weights.dtype, device=weights.device)
            keep[next(turns)] = 0
            return weights * keep

        return observer

    observers = {}
    for module in dict.fromkeys(layers):
        which = [silenced.get(i, []) for i, layer in enumerate(layers) if layer is module]
        if any(which):
            observers[module] = silence(which)
    for module, observer in observers.items():
        module.observers.insert(0, observer)  # before any recorder, so that what is recorded is what was used
    try:
        yield
    finally:
        for module, observer in observers.items():
            module.observers.remove(observer)
