"""Planted faults, and what a run of ``Trainer`` and one of :func:`companion.training.fit` are fed with.

Chapter: ``book/practice/huggingface.ipynb``.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from companion.models.gpt import GPT
from companion.nn.capture import capture
from companion.storyworld import World
from companion.storyworld.rows import rows

LENGTH = 40  # tokens of a story that are trained on


def _scaled_query(block: Any) -> None:
    block.attention.query.weight.mul_(1.01)


def _swapped_heads(block: Any) -> None:
    weight = block.attention.output.weight
    width = weight.size(1) // block.attention.n_heads
    weight.copy_(torch.cat([weight[:, width : 2 * width], weight[:, :width], weight[:, 2 * width :]], 1))


def _another_eps(block: Any) -> None:
    block.feed_forward_norm.eps = 1e-2


FAULTS: Mapping[str, Callable[[Any], None]] = {
    "the query is 1 % too large": _scaled_query,
    "two heads are swapped": _swapped_heads,
    "a norm has another eps": _another_eps,
}


@torch.no_grad()
def with_fault(model: GPT, fault: str, layer: int) -> GPT:
    """A copy of a model with a fault planted in one of its layers, counted from 0.

    Raises:
        ValueError: when there is no such fault.
    """
    if fault not in FAULTS:
        raise ValueError(f"there is no fault {fault!r}; choose from {', '.join(FAULTS)}")
    faulty = copy.deepcopy(model)
    FAULTS[fault](faulty.blocks[layer])
    return faulty


@torch.no_grad()
def hidden_states(model: nn.Module, ids: Tensor) -> list[Tensor]:
    """Hidden states of a model of this package: the input of the first block, and the output of each."""
    with capture(model) as record:
        model(ids)
    return record.hidden


def story_ids(n: int, seed: int = 9) -> Tensor:
    """The first tokens of ``n`` stories that are long enough, each begun with the token that ends a text.

    Returns:
        ids (n, 40).
    """
    stories = World().stories(4 * n, seed=seed)
    long = [row[:LENGTH] for row in (rows([story])[0] for story in stories) if len(row) >= LENGTH]
    return torch.stack(long[:n])


def as_examples(ids: Tensor, ignored_first: bool) -> list[dict[str, Any]]:
    """Rows of ids as ``Trainer`` takes them: ``input_ids`` and ``labels``, the same numbers.

    Args:
        ids: (rows, length).
        ignored_first: whether the first label is -100. No position predicts the first token, so it has no loss.
    """
    labels = ids.clone()
    if ignored_first:
        labels[:, 0] = -100
    return [{"input_ids": a, "labels": b} for a, b in zip(ids, labels, strict=True)]


def losses_of(log: Sequence[Mapping[str, Any]]) -> list[float]:
    """The losses of the steps in the log of a ``Trainer``."""
    return [entry["loss"] for entry in log if "loss" in entry]
