"""Interventions: run a model with some of its hidden states or head outputs replaced by others.

Every causal experiment of the chapter is one of them. What differs is what is put in the place: zeros (zero ablation),
a mean over texts (mean ablation), the vectors of another text (activation patching), or a reconstruction (of a sparse
autoencoder). Chapter: ``book/practice/interpretability.ipynb``. Sources: Meng et al. 2022, "Locating and Editing
Factual Associations in GPT", section 2; Zhang & Nanda 2024, "Towards Best Practices of Activation Patching".
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from numbers import Integral
from typing import Any

from torch import Tensor, nn

from companion.nn.capture import attention_layers

Edit = Callable[[Tensor], Tensor]  # what the model computed -> what it goes on with, of the same shape


@contextmanager
def intervene(
    model: nn.Module, *, hidden: Mapping[int, Edit] | None = None, heads: Mapping[int, Edit] | None = None
) -> Iterator[None]:
    """Go on with other activations inside the ``with`` block: each edit maps what was computed to what is used.

    Layers are numbered as in :class:`companion.nn.capture.Record`. A :func:`companion.nn.capture.capture` that is
    opened inside the block records what is used.

    Args:
        model: a model of this package with one stack of blocks, none of them shared.
        hidden: number of a hidden state -> edit of (batch, length, d_model); 0 is the input of the first block, l the
            output of block l.
        heads: number of a layer, from 0 -> edit of its heads' outputs, (batch, heads, length, d_head).

    Raises:
        ValueError: when the model has another number of stacks, shared blocks, or no such layer; and in the run, when
            an edit returns another shape.

    Example:
        >>> import torch
        >>> from companion.models.gpt import GPT, GPTConfig
        >>> model = GPT(GPTConfig(vocab_size=10, context_length=8, n_layers=2, n_heads=2, d_model=12)).eval()
        >>> ids = torch.tensor([[1, 2, 3]])
        >>> with intervene(model, hidden={2: lambda h: 0 * h}):
        ...     print(model(ids).std() < 1e-6)  # nothing is left to predict from
        tensor(True)
    """
    blocks, layers = _blocks(model), attention_layers(model)
    with ExitStack() as stack:
        for layer, edit in (hidden or {}).items():
            _check(layer, len(blocks), "hidden")
            if layer == 0:
                handle = blocks[0].register_forward_pre_hook(_on_input(edit))
            else:
                handle = blocks[layer - 1].register_forward_hook(_on_output(edit))
            stack.callback(handle.remove)
        for layer, edit in (heads or {}).items():
            _check(layer, len(layers) - 1, "heads")
            mixing = layers[layer].output
            assert isinstance(mixing, nn.Linear)
            stack.callback(mixing.register_forward_pre_hook(_on_heads(edit, layers[layer].n_heads)).remove)
        yield


def _blocks(model: nn.Module) -> nn.ModuleList:
    stacks = [
        module
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and name.rpartition(".")[2] == "blocks"
    ]
    if len(stacks) != 1 or len(set(stacks[0])) < len(stacks[0]):
        raise ValueError(f"{type(model).__name__} must have one stack of blocks, none shared; it has {len(stacks)}")
    return stacks[0]


def _check(layer: int, last: int, kind: str) -> None:
    if isinstance(layer, bool) or not isinstance(layer, Integral) or not 0 <= layer <= last:
        raise ValueError(f"a layer of {kind} must be 0 to {last}; got {layer!r:.60}")


def _same_shape(new: Tensor, old: Tensor) -> Tensor:
    if not isinstance(new, Tensor):  # an edit in place returns nothing, and would also change what was recorded before
        raise ValueError(f"an edit must return a tensor {tuple(old.shape)}, what is to be used; got {new!r:.60}")
    if new.shape != old.shape:
        raise ValueError(f"an edit must keep the shape {tuple(old.shape)}; got {tuple(new.shape)}")
    return new


def _on_input(edit: Edit) -> Callable[..., Any]:
    return lambda block, inputs: (_same_shape(edit(inputs[0]), inputs[0]), *inputs[1:])


def _on_output(edit: Edit) -> Callable[..., Any]:
    return lambda block, inputs, output: _same_shape(edit(output), output)


def _on_heads(edit: Edit, n_heads: int) -> Callable[..., Any]:
    def hook(mixing: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        outputs = inputs[0].unflatten(-1, (n_heads, -1)).transpose(1, 2)  # (batch, heads, length, d_head)
        return (_same_shape(edit(outputs), outputs).transpose(1, 2).flatten(2), *inputs[1:])

    return hook
