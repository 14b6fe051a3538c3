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
    """The outputs of one of the two models for a batch, with zeros at padding positions.

    Attributes:
        scores: logits, and hidden states where the model has several outputs.
        attention: weights of every layer, (batch, heads, query, key), of every kind that the family has.
        loss: scalar.
    """

    scores: list[Tensor]
    attention: list[Tensor]
    loss: Tensor


@dataclass
class Case:
    """A pair of models with the same weights.

    Attributes:
        ours: model of this package, loaded by ``from_pretrained`` from the checkpoint of theirs.
        theirs: model of ``transformers``, with eager attention.
        run_ours: our model -> its outputs for a fixed random batch with padding.
        run_theirs: their model -> its outputs for the same batch.
        family: checkpoint format, such as ``companion.checkpoints.gpt2``.
        skipped: parameters of theirs that take part in none of the outputs.
        their_name: name in the layout -> name of the parameter of theirs, where the file has another name.
        as_in_the_file: tensors by parameter name -> by name in the file, where one parameter of theirs is several
            tensors of the file.
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
    """Move every parameter off its neutral initial value, so that biases and norms show in the outputs."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))


def real_tokens(batch: int, length: int, side: str = "right") -> Tensor:
    """A mask (batch, length): row i has i padding tokens, True = a real token."""
    position = torch.arange(length)[None]
    padding = torch.arange(batch)[:, None]
    return position < length - padding if side == "right" else position >= padding


def on_real(tensor: Tensor, real: Tensor) -> Tensor:
    """(batch, length, …) with zeros at padding positions."""
    return tensor * real.view(*real.shape, *[1] * (tensor.dim() - 2)).to(tensor)


def maps_on_real(weights: Tensor, real: Tensor) -> Tensor:
    """(batch, heads, query, key) with zeros in the rows of padding."""
    return weights * real[:, None, :, None].to(weights)


def saved(theirs: nn.Module, folder: Path) -> Path:
    """Save the model of ``transformers``, and return the folder."""
    theirs.save_pretrained(folder)
    return folder
