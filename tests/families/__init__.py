"""Each family twice: random weights in ``transformers``, and what ``companion`` loads from the folder that they saved.

One module a family; its ``CASES`` maps a family's name to a function that makes the case of each of its shapes.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


@dataclass
class Outputs:
    """What one of the twins says of a batch; what stands on padding is set to zero in both.

    Attributes:
        scores: logits, and hidden states where the model has several outputs.
        attention: maps of every layer, (batch, heads, query, key), of every kind that the family has.
        loss: scalar.
    """

    scores: list[Tensor]
    attention: list[Tensor]
    loss: Tensor


@dataclass
class Case:
    """A pair of models with the same weights.

    Attributes:
        ours: loaded by ``from_pretrained`` from what theirs saved.
        theirs: of ``transformers``, with eager attention.
        run_ours: what our model says of a fixed random batch with padding in it.
        run_theirs: what theirs says of the same.
        family: our module of names, such as ``companion.checkpoints.gpt2``.
        skipped: parameters of theirs that take part in none of the outputs.
        their_name: a name in the layout -> the parameter of theirs that it is, where the file has another name.
        as_in_the_file: tensors by the names of their parameters -> by the names in the file, where one parameter of
            theirs is several tensors of the file.
    """

    ours: Any
    theirs: Any
    run_ours: Callable[[Any], Outputs]
    run_theirs: Callable[[Any], Outputs]
    family: Any
    skipped: set[str] = field(default_factory=set)
    their_name: Callable[[str], str] = str
    as_in_the_file: Callable[[dict[str, Tensor]], dict[str, Tensor]] = dict


Maker = Callable[[Path], Case]  # the folder to save in -> the case


def stir(model: nn.Module) -> None:
    """Move every parameter off its neutral start, so that biases and norms show in what the model says."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))


def real_tokens(batch: int, length: int, side: str = "right") -> Tensor:
    """A mask (batch, length): row i has i padding tokens, True = a real token."""
    place = torch.arange(length)[None]
    padding = torch.arange(batch)[:, None]
    return place < length - padding if side == "right" else place >= padding


def on_real(tensor: Tensor, real: Tensor) -> Tensor:
    """(batch, length, …) with zeros where there is padding."""
    return tensor * real.view(*real.shape, *[1] * (tensor.dim() - 2)).to(tensor)


def maps_on_real(weights: Tensor, real: Tensor) -> Tensor:
    """(batch, heads, query, key) with zeros in the rows of padding."""
    return weights * real[:, None, :, None].to(weights)


def saved(theirs: nn.Module, folder: Path) -> Path:
    """Save theirs as ``transformers`` does, and return the folder."""
    theirs.save_pretrained(folder)
    return folder
