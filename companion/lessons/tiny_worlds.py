"""Small worlds in which everything can be listed, and a way to look at what goes into a part of a model.

Chapter: ``book/concepts/language_model.ipynb``.
"""

from collections.abc import Callable
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn


class Table(nn.Module):
    """The probabilities of all texts of n tokens, as a causal language model that knows them.

    Like our models, it maps ids (batch, length) to logits (batch, length, vocab). A row begins with a token that
    starts the text and is not one of it.
    """

    joint: Tensor  # n axes of vocab each; sums to 1

    def __init__(self, joint: Tensor) -> None:
        """Keep the table, one axis a token."""
        super().__init__()
        self.register_buffer("joint", joint)

    def forward(self, ids: Tensor) -> Tensor:
        """Return ``log p(x_t | x_<t)`` of every token, at each position."""
        return torch.stack([torch.stack([self._next(row[1 : t + 1]) for t in range(len(row))]) for row in ids])

    def _next(self, past: Tensor) -> Tensor:
        masses = self.joint[tuple(past.tolist())]
        masses = masses.reshape(len(masses), -1).sum(1)  # of each token after this past
        return (masses / masses.sum()).log()


def texts(vocab_size: int, n: int) -> list[tuple[int, ...]]:
    """List all texts of n tokens."""
    return list(product(range(vocab_size), repeat=n))


def started(text: Tensor) -> Tensor:
    """Put the token that starts a text before it, and make it a batch of one: (1, length + 1)."""
    return torch.cat([torch.zeros(1).long(), text])[None]


def entering(part: nn.Module, run: Callable[[], Any]) -> Tensor:
    """Return the tensor that ``run`` feeds to ``part`` of a model first."""
    heard: list[Tensor] = []
    handle = part.register_forward_pre_hook(lambda _, arguments: heard.append(arguments[0]))
    try:
        run()
    finally:
        handle.remove()
    return heard[0]
