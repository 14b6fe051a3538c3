"""How the tensors of a checkpoint become ours: names, halves and thirds, transposed or not.

Chapter: ``book/algorithms/bert_family.ipynb``.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

NOTHING = "(?!)"  # a pattern that no name matches


class SharedFields(Protocol):
    """What every family's files hold of a model's configuration; the configurations themselves are the models'."""

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
    """How one tensor of theirs becomes one or more of ours.

    Attributes:
        theirs: its name in the checkpoint.
        ours: the parameters that it holds, side by side along its output axis.
        transposed: theirs is (in, out), as in GPT-2's ``Conv1D``; ours is (out, in).
        shape: of theirs, where it splits an axis that ours has whole, as XLNet's (d_model, heads, d_head) does.
    """

    theirs: str
    ours: tuple[str, ...]
    transposed: bool = False
    shape: tuple[int, ...] | None = None

    def split(self, tensor: Tensor) -> Iterable[tuple[str, Tensor]]:
        """Theirs -> pairs (our name, our tensor)."""
        tensor = tensor if self.shape is None else tensor.flatten(-2)
        tensor = tensor.T if self.transposed else tensor
        return zip(self.ours, tensor.chunk(len(self.ours)), strict=True)

    def join(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """Ours -> theirs."""
        tensor = torch.cat([parameters[name] for name in self.ours])
        tensor = tensor.T if self.transposed else tensor
        return (tensor if self.shape is None else tensor.reshape(self.shape)).contiguous()


@dataclass(frozen=True)
class Layout:
    """The tensors of one family's checkpoints.

    Attributes:
        rules: one for each tensor that is read and written.
        prefix: what the full model's file puts before the names and the bare model's leaves out.
        heads: how the names begin that stand beside the prefixed body, without the prefix.
        ignored: a pattern of names that are passed over, because they hold nothing that the model has.
        optional: a pattern of names that a file may lack; the model's own values stay.
        renamed: patterns of older names, each with what replaces it.
    """

    rules: list[Rule]
    prefix: str = ""
    heads: tuple[str, ...] = ()
    ignored: str = NOTHING
    optional: str = NOTHING
    renamed: Mapping[str, str] = field(default_factory=dict)

    def short(self, name: str) -> str:
        """A name in a file -> the name in the rules."""
        for old, new in self.renamed.items():
            name = re.sub(old, new, name)
        return name.removeprefix(self.prefix)

    def full(self, name: str) -> str:
        """A name in the rules -> the name in the full model's file."""
        return name if self.heads and name.startswith(self.heads) else self.prefix + name
