"""The mapping between the tensors of a checkpoint (theirs) and the parameters of our models (ours).

Chapter: ``book/algorithms/bert_family.ipynb``.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

NOTHING = "(?!)"  # a regular expression that no name matches


class SharedFields(Protocol):
    """The fields of a model's configuration that the checkpoints of every family hold."""

    vocab_size: int
    n_layers: int
    n_heads: int
    d_model: int
    d_ff: int | None
    dropout: float
    norm_eps: float
    tied: bool


@dataclass(frozen=True)
class Rule:
    """The mapping from one tensor of a checkpoint to one or more parameters of a model.

    Attributes:
        theirs: name of the tensor in the checkpoint.
        ours: names of the parameters, which the tensor holds side by side along its output axis.
        transposed: whether theirs is (in, out), as in GPT-2's ``Conv1D``; ours is (out, in).
        shape: shape of theirs, where it splits an axis of ours, as XLNet's (d_model, heads, d_head) does.
    """

    theirs: str
    ours: tuple[str, ...]
    transposed: bool = False
    shape: tuple[int, ...] | None = None

    def split(self, tensor: Tensor) -> Iterable[tuple[str, Tensor]]:
        """Return the parameters, as pairs (name, tensor), that a tensor of the checkpoint holds."""
        tensor = tensor if self.shape is None else tensor.flatten(-2)
        tensor = tensor.T if self.transposed else tensor
        return zip(self.ours, tensor.chunk(len(self.ours)), strict=True)

    def join(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """Return the tensor of the checkpoint, from the parameters by name."""
        tensor = torch.cat([parameters[name] for name in self.ours])
        tensor = tensor.T if self.transposed else tensor
        return (tensor if self.shape is None else tensor.reshape(self.shape)).contiguous()


@dataclass(frozen=True)
class Layout:
    """The tensors of one family's checkpoints.

    Attributes:
        rules: one mapping for each tensor that is read and written.
        prefix: prefix of the body's names in the full model's file; the bare model's file lacks it.
        heads: prefixes of the names of heads, which never have ``prefix``.
        ignored: regular expression of names that are ignored, because the model has no such parameter.
        optional: regular expression of names that a file may lack; the model keeps its initial values.
        renamed: regular expressions of older names, each with its replacement.
    """

    rules: list[Rule]
    prefix: str = ""
    heads: tuple[str, ...] = ()
    ignored: str = NOTHING
    optional: str = NOTHING
    renamed: Mapping[str, str] = field(default_factory=dict)

    def short(self, name: str) -> str:
        """Return the name in the rules of a name in a file."""
        for old, new in self.renamed.items():
            name = re.sub(old, new, name)
        return name.removeprefix(self.prefix)

    def full(self, name: str) -> str:
        """Return the name in the full model's file of a name in the rules."""
        return name if self.heads and name.startswith(self.heads) else self.prefix + name
