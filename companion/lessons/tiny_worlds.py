"""Small worlds in which every text can be listed, models that know them, and a look at what enters a part of a model.

Chapter: ``book/concepts/language_model.ipynb``.
"""

from collections.abc import Callable
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn


class Table(nn.Module):
    """Causal language model that knows the probability of every text of n tokens.

    Like companion's models, it maps ids (batch, length) to logits (batch, length, vocab). A row begins with a token
    that starts the text and is not one of it.
    """

    joint: Tensor  # n axes of vocab each; sums to 1

    def __init__(self, joint: Tensor) -> None:
        """Keep the joint distribution, one axis per token."""
        super().__init__()
        self.register_buffer("joint", joint)

    def forward(self, ids: Tensor) -> Tensor:
        """Return ``log p(x_t | x_<t)`` of every token, at each position."""
        return torch.stack([torch.stack([self._next(row[1 : t + 1]) for t in range(len(row))]) for row in ids])

    def _next(self, past: Tensor) -> Tensor:
        masses = self.joint[tuple(past.tolist())]
        masses = masses.reshape(len(masses), -1).sum(1)  # of each token after this past
        return (masses / masses.sum()).log()


class AnyOrderModel(nn.Module):
    """Permutation language model with given logits for each position and each set of known positions.

    Like :class:`companion.models.xlnet.XLNet`, it maps ids, an order and target positions to logits of the targets.
    """

    logits: Tensor  # (n, 2^n, vocab); position i is in set number s where bit i of s is 1

    def __init__(self, logits: Tensor) -> None:
        """Keep the logits (n, 2^n, vocab)."""
        super().__init__()
        self.register_buffer("logits", logits)

    def forward(self, ids: Tensor, order: Tensor, targets: Tensor) -> Tensor:
        """Return logits (batch, k, vocab) of the target positions, each given the positions of a lower rank."""
        known = order[:, None, :] < order.gather(1, targets)[:, :, None]  # (batch, k, n)
        return self.logits[targets, (known * 2 ** torch.arange(ids.size(1))).sum(-1)]


class FixedOutputs(nn.Module):
    """Model that returns the same outputs whatever it reads: a loss of given logits."""

    def __init__(self, outputs: Any) -> None:
        """Keep the outputs."""
        super().__init__()
        self.outputs = outputs

    def forward(self, *_: Any) -> Any:
        """Return the outputs."""
        return self.outputs


def any_order_model(joint: Tensor, text: Tensor) -> AnyOrderModel:
    """Permutation language model of one text that knows the joint distribution, one axis per token."""
    n, vocab_size = joint.dim(), joint.size(0)
    logits = torch.zeros(n, 2**n, vocab_size, dtype=joint.dtype)
    for i, known in product(range(n), range(2**n)):
        if not known >> i & 1:
            index = tuple(int(text[j]) if known >> j & 1 else slice(None) for j in range(n))
            before = sum(not known >> j & 1 for j in range(i))  # axes of unknown positions in front of that of i
            masses = joint[index].movedim(before, 0).reshape(vocab_size, -1).sum(1)
            logits[i, known] = (masses / masses.sum()).log()
    return AnyOrderModel(logits)


def texts(vocab_size: int, n: int) -> list[tuple[int, ...]]:
    """All texts of n tokens."""
    return list(product(range(vocab_size), repeat=n))


def started(text: Tensor) -> Tensor:
    """Batch of one text behind the token that starts it: (1, length + 1)."""
    return torch.cat([torch.zeros(1).long(), text])[None]


def entering(part: nn.Module, run: Callable[[], Any]) -> Tensor:
    """Input of ``part`` of a model, the first time that ``run`` calls it."""
    heard: list[Tensor] = []
    handle = part.register_forward_pre_hook(lambda _, arguments: heard.append(arguments[0]))
    try:
        run()
    finally:
        handle.remove()
    return heard[0]
