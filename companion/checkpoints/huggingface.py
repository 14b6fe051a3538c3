"""A checkpoint beside the library it comes from: its file by the byte, its names, the layer where two runs part.

Chapter: ``book/practice/huggingface.ipynb``. Source: the format of safetensors, in the README of
https://github.com/huggingface/safetensors.
"""

import json
from collections.abc import Callable, Iterator
from typing import NamedTuple

from torch import Tensor

from companion.checkpoints.errors import CheckpointError
from companion.checkpoints.pretrained import Pretrained
from companion.nn.checks import check_integer


class StoredTensor(NamedTuple):
    """A tensor of a safetensors file, as the file's header describes it.

    Attributes:
        name: its name in the checkpoint.
        dtype: "F32", "F16", "BF16" …
        shape: its shape.
        start: of its first byte, counted from the file's first.
        end: after its last byte.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


class NamedParameter(NamedTuple):
    """A tensor of a checkpoint and where it goes in a model of this package.

    Attributes:
        theirs: its name in the checkpoint.
        ours: names of the parameters that it holds, side by side.
        shape: its shape in the checkpoint.
        transposed: whether the checkpoint has (in, out), and the model (out, in).
    """

    theirs: str
    ours: tuple[str, ...]
    shape: tuple[int, ...]
    transposed: bool


def stored_tensors(raw: bytes) -> list[StoredTensor]:
    """The tensors of a safetensors file in the order of their bytes, from its header alone.

    Eight bytes, little-endian, say how long the header is; the header is JSON; what follows is numbers.

    >>> import torch
    >>> from safetensors.torch import save
    >>> stored_tensors(save({"weight": torch.zeros(2, 3)}))
    [StoredTensor(name='weight', dtype='F32', shape=(2, 3), start=72, end=96)]

    Args:
        raw: the file's bytes, or as many of them as hold the header.

    Raises:
        CheckpointError: when they hold no such header.
    """
    length = int.from_bytes(raw[:8], "little")
    if len(raw) < 8 + length or not length:
        raise CheckpointError(f"the header should have {length} bytes after the first 8; there are {len(raw)} in all")
    try:
        header = json.loads(raw[8 : 8 + length])
        entries = [(name, entry) for name, entry in header.items() if name != "__metadata__"]
        found = [
            StoredTensor(
                name, entry["dtype"], tuple(entry["shape"]), *(8 + length + at for at in entry["data_offsets"])
            )
            for name, entry in entries
        ]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"the {length} bytes after the first 8 are no header of safetensors: {error}") from error
    return sorted(found, key=lambda tensor: tensor.start)


def tensor_names(model: Pretrained) -> list[NamedParameter]:
    """Each tensor of a model's checkpoint, with the parameters that it becomes.

    >>> from companion.models.gpt import GPT, GPTConfig
    >>> model = GPT(GPTConfig(vocab_size=9, context_length=8, n_layers=1, n_heads=2, d_model=4))
    >>> tensor_names(model)[6]  # query, key and value are one matrix there
    NamedParameter(theirs='transformer.h.0.attn.c_attn.weight', ours=('blocks.0.attention.query.weight', \
'blocks.0.attention.key.weight', 'blocks.0.attention.value.weight'), shape=(4, 12), transposed=True)
    """
    return list(_named(model, dict(model.named_parameters())))


def _named(model: Pretrained, parameters: dict[str, Tensor]) -> Iterator[NamedParameter]:
    layout = model.checkpoint_family.layout(model.config)
    for rule in layout.rules:
        yield NamedParameter(layout.full(rule.theirs), rule.ours, tuple(rule.join(parameters).shape), rule.transposed)


def first_difference(differ: Callable[[int], bool], n: int) -> int:
    """The first of ``n + 1`` states, 0 to n, at which two computations differ, by bisection.

    >>> first_difference(lambda state: state >= 11, 30)
    11

    Args:
        differ: whether the states of this number differ; once they do, all later ones do.
        n: number of the last state, at which they are known to differ.

    Raises:
        ValueError: when n is negative.
    """
    check_integer("n", n, least=0)
    low, high = 0, n  # the first one is in low … high
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if differ(middle) else (middle + 1, high)
    return low
