"""Hooks into a model, without a line in the model: record its attention and hidden states, or ablate heads.

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
from companion.nn.checks import pair_of
from companion.nn.memory import keep_freed_memory

Observer = Callable[[Tensor], Tensor]  # weights (batch, heads, query, key) -> the weights that are used


@dataclass
class Record:
    """Attention weights and hidden states recorded by :func:`capture`, in the order of their computation.

    Attributes:
        attention: self-attention, one tensor (batch, heads, query, key) per layer; of a model with an encoder and a
            decoder, first the encoder's layers, then the decoder's.
        cross_attention: attention of the decoder to the encoder's output, one such tensor per layer.
        query_attention: attention of XLNet's query stream, one such tensor per layer.
        hidden: the input of the first block, then the output of each block: (batch, length, d_model); of a model with
            an encoder and a decoder, first the encoder's, then the decoder's.
        heads: outputs of the heads of self-attention before the output matrix mixes them, one tensor
            (batch, heads, length, d_head) per layer; empty for XLNet.
    """

    attention: list[Tensor] = field(default_factory=list)
    cross_attention: list[Tensor] = field(default_factory=list)
    query_attention: list[Tensor] = field(default_factory=list)
    hidden: list[Tensor] = field(default_factory=list)
    heads: list[Tensor] = field(default_factory=list)

    def of(self, kind: str) -> list[Tensor]:
        """Return the list of one kind of attention; see :func:`attention_layers`."""
        lists = {"cross_attention": self.cross_attention, "query_attention": self.query_attention}
        return lists.get(kind, self.attention)

    def clear(self) -> None:
        """Empty all lists."""
        for tensors in (self.attention, self.cross_attention, self.query_attention, self.hidden, self.heads):
            tensors.clear()


def attention_layers(model: nn.Module, kind: str = "attention") -> list[Attention]:
    """Return the attention layers of ``model``, first to last; a shared one comes as often as it is used.

    Args:
        model: a model of this package.
        kind: "attention" (self-attention), "cross_attention" (of a decoder to the encoder's output), or
            "query_attention" (of XLNet's query stream); the last two are recognised by the layer's name in the model.

    Raises:
        ValueError: when it has none of them.
    """
    layers = [
        module
        for name, module in model.named_modules(remove_duplicate=False)
        if isinstance(module, Attention) and _kind(name) == kind
    ]
    if not layers:
        raise ValueError(_without(model, kind))
    return layers


def _without(model: nn.Module, kind: str) -> str:
    return f"{type(model).__name__} has no companion {kind} layer to look into"


def _kind(name: str) -> str:
    last = name.rpartition(".")[2]
    return last if last in ("cross_attention", "query_attention") else "attention"


@contextmanager
def capture(model: nn.Module, *, detach: bool = True) -> Iterator[Record]:
    """Record the attention weights and hidden states of each run of ``model`` inside the ``with`` block.

    A second run inside the same block replaces the record of the first. The memory of a record, once it is freed, is
    kept for the next one; see :func:`companion.nn.memory.keep_freed_memory`.

    Args:
        model: a model of this package.
        detach: whether the recorded tensors are cut from the graph; False keeps them differentiable.

    Raises:
        ValueError: when the model has no attention layer.

    Example:
        >>> from companion.nn.attention import MultiHeadAttention
        >>> layer = MultiHeadAttention(d_model=12, n_heads=3)
        >>> model = nn.Sequential(layer, layer)
        >>> with capture(model) as record:
        ...     output = model(torch.zeros(1, 4, 12))
        >>> [weights.shape for weights in record.attention]
        [torch.Size([1, 3, 4, 4]), torch.Size([1, 3, 4, 4])]
    """
    parts = dict(model.named_modules())  # once: to walk through a model takes as long as a layer of it
    layers = [(layer, _kind(name)) for name, layer in parts.items() if isinstance(layer, Attention)]
    if all(kind != "attention" for _, kind in layers):
        raise ValueError(_without(model, "attention"))
    keep_freed_memory()
    recorder = _Recorder(detach)
    handles = recorder.hook(model, parts)
    try:
        with _observing([(layer, recorder.observer(kind)) for layer, kind in layers]):
            yield recorder.record
    finally:
        for handle in handles:
            handle.remove()


class _Recorder:
    """The hooks and observers that fill a record."""

    def __init__(self, detach: bool) -> None:
        self.record = Record()
        self.detach = detach
        self.entered: set[nn.Module] = set()  # first blocks that the current run has entered

    def hook(self, model: nn.Module, parts: dict[str, nn.Module]) -> list[torch.utils.hooks.RemovableHandle]:
        """Hook into the model, into each of its stacks of blocks, and into what mixes the heads of each layer."""
        handles = [model.register_forward_pre_hook(self.start)]
        for name, part in parts.items():
            if isinstance(part, nn.ModuleList) and name.rpartition(".")[2] == "blocks":
                handles += [block.register_forward_pre_hook(self.enter) for block in part[:1]]
                handles += [block.register_forward_hook(self.leave) for block in dict.fromkeys(part)]
            elif isinstance(part, Attention) and _kind(name) == "attention" and hasattr(part, "output"):
                output: nn.Module = part.get_submodule("output")
                handles.append(output.register_forward_pre_hook(self.mixer(part.n_heads)))
        return handles

    def observer(self, kind: str) -> Observer:
        def observe(weights: Tensor) -> Tensor:
            self.record.of(kind).append(self.keep(weights))
            return weights

        return observe

    def mixer(self, n_heads: int) -> Callable[..., None]:
        """A hook on an output matrix, which takes the outputs of all heads side by side."""

        def mix(output: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            self.record.heads.append(self.keep(inputs[0]).unflatten(-1, (n_heads, -1)).transpose(1, 2))

        return mix

    def start(self, *_: Any) -> None:
        self.entered.clear()
        self.record.clear()

    def enter(self, block: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if block not in self.entered:  # a block that all layers share is entered again and again
            self.entered.add(block)
            self.record.hidden.append(self.keep(inputs[0]))

    def leave(self, block: nn.Module, inputs: Any, output: Tensor) -> None:
        self.record.hidden.append(self.keep(output))

    def keep(self, tensor: Tensor) -> Tensor:
        return tensor.detach() if self.detach else tensor


@contextmanager
def ablate(model: nn.Module, heads: Iterable[tuple[int, int]]) -> Iterator[None]:
    """Ablate attention heads inside the ``with`` block: their weights, and so their outputs, are zero.

    Args:
        model: a model of this package.
        heads: pairs (layer, head), both counted from 0; integers of Python, numpy or torch.

    Raises:
        ValueError: when the model has no such layer or head, or a pair is none of integers.

    Example:
        >>> from companion.nn.attention import MultiHeadAttention
        >>> layer = MultiHeadAttention(d_model=12, n_heads=3)
        >>> with ablate(layer, [(0, 2)]), capture(layer) as record:
        ...     output = layer(torch.zeros(1, 4, 12))
        >>> record.attention[0][0, :, 0, 0].tolist()  # of each head
        [0.25, 0.25, 0.0]
    """
    layers = attention_layers(model)
    ablated: dict[int, list[int]] = {}
    for layer, head in map(pair_of, heads):
        if not 0 <= layer < len(layers):
            raise ValueError(f"layer must be 0 to {len(layers) - 1}; got {layer}")
        if not 0 <= head < layers[layer].n_heads:
            raise ValueError(f"head must be 0 to {layers[layer].n_heads - 1}; got {head}")
        ablated.setdefault(layer, []).append(head)
    observers: list[tuple[Attention, _Silencer]] = []
    for module in dict.fromkeys(layers):
        which = [ablated.get(i, []) for i, layer in enumerate(layers) if layer is module]
        if any(which):
            observers.append((module, _Silencer(which)))

    def begin(*args: object) -> None:
        for _, observer in observers:
            observer.start()

    start = model.register_forward_pre_hook(begin)
    try:
        with _observing(observers, first=True):  # before any recorder, so that the weights recorded are those used
            yield
    finally:
        start.remove()


class _Silencer:
    """Observer that zeroes these heads, one list per use of the layer in a run."""

    def __init__(self, which: list[list[int]]) -> None:
        self.which = which  # one entry, unless the layer is shared
        self.start()

    def start(self) -> None:
        """Begin with the first use, also after a run that was interrupted."""
        self.turns = itertools.cycle(self.which)

    def __call__(self, weights: Tensor) -> Tensor:
        keep = torch.ones(weights.size(1), 1, 1, dtype=weights.dtype, device=weights.device)
        keep[next(self.turns)] = 0
        return weights * keep


@contextmanager
def _observing(observers: Sequence[tuple[Attention, Observer]], *, first: bool = False) -> Iterator[None]:
    """Give each layer its observer inside the ``with`` block, before or after those that it has."""
    for layer, observer in observers:
        layer.observers.insert(0 if first else len(layer.observers), observer)
    try:
        yield
    finally:
        for layer, observer in observers:
            layer.observers.remove(observer)
