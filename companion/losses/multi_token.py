"""Multi-token prediction: the loss of the next token, plus a part of the losses of the tokens after it.

Chapter: ``book/algorithms/decoders_2026.ipynb``. Source: DeepSeek-AI 2024, "DeepSeek-V3", section 2.2, eq. 24 and 25.
"""

from typing import Protocol

import torch
from torch import Tensor

from companion.data.batch import fill_ignored
from companion.losses.cross_entropy import cross_entropy
from companion.nn.checks import check_weight


class Ahead(Protocol):
    """A model that predicts several tokens ahead."""

    def ahead(self, ids: Tensor) -> list[Tensor]:
        """Return the logits of each depth, of the next token first."""


def multi_token_loss(model: Ahead, ids: Tensor, weight: float = 0.3) -> Tensor:
    """Causal loss plus the mean cross-entropy of the deeper predictions, ``L_0 + weight / D sum_k L_k``, in nats.

    Depth k scores its logits at position i against token i + k + 1: the targets of depth 1 are shifted by two.

    >>> class Uniform:
    ...     def ahead(self, ids):
    ...         return [torch.zeros(1, ids.size(1) - k, 8) for k in range(2)]
    >>> loss = multi_token_loss(Uniform(), torch.tensor([[3, 1, 4, 1, 5]]), weight=0.5)
    >>> (loss / 1.5).exp()
    tensor(8.)

    Args:
        model: such as a :class:`companion.models.multi_token.MultiTokenDecoder`.
        ids: token ids (batch, length + 1), padded with ``IGNORED`` at the end.
        weight: of the deeper predictions; 0.3 for most of DeepSeek-V3's training, then 0.1.

    Raises:
        ValueError: when there is nothing to predict at some depth.
    """
    first, *deeper = model.ahead(fill_ignored(ids[:, :-1]))
    losses = [cross_entropy(logits, ids[:, k + 1 :]) for k, logits in enumerate(deeper, start=1)]
    check_weight("weight", weight)
    return cross_entropy(first, ids[:, 1:]) + weight * torch.stack(losses).mean()
