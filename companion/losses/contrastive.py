"""Contrastive learning: vectors of two views of a text are drawn together, and apart from all others in the batch.

Chapter: ``book/algorithms/retrieval.ipynb``. Sources: van den Oord et al. 2018, "Representation Learning with
Contrastive Predictive Coding", section 2.3 (InfoNCE); Gao et al. 2021, "SimCSE", section 2.1.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from companion.data.batch import upcast
from companion.nn.checks import check_temperature


class Views(NamedTuple):
    """Batch of positive pairs, two views of each text: row i of one belongs to row i of the other.

    Attributes:
        inputs: (batch, length), the first views.
        attention_mask: boolean (batch, length), True = a real token.
        other_inputs: (batch, other length), the second views; for SimCSE the first once more, under another dropout.
        other_attention_mask: boolean (batch, other length).
    """

    inputs: Tensor
    attention_mask: Tensor
    other_inputs: Tensor
    other_attention_mask: Tensor


def similarity(a: Tensor, b: Tensor) -> Tensor:
    """Cosine similarity of each vector of ``a`` (n, d) with each of ``b`` (m, d): (n, m).

    >>> similarity(torch.eye(2), torch.tensor([[3.0, 4.0]]))
    tensor([[0.6000],
            [0.8000]])
    """
    return F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T


def contrastive_loss(a: Tensor, b: Tensor, temperature: float = 0.05) -> Tensor:
    """InfoNCE loss with in-batch negatives, in nats: cross-entropy of picking each a's own b among all of the batch.

    ``L = -1/n sum_i log( exp(cos(a_i, b_i) / T) / sum_j exp(cos(a_i, b_j) / T) )`` (Gao et al. 2021, eq. 1): a
    classification with n classes, whose negatives are the other rows' partners and cost nothing more.

    >>> same = torch.ones(4, 3)  # the four texts cannot be told apart
    >>> contrastive_loss(same, same).exp()
    tensor(4.)

    Args:
        a: vectors (n, d), n >= 2.
        b: vectors (n, d); row i is the positive of row i of ``a``.
        temperature: T; the smaller, the more the hardest negatives count.

    Raises:
        ValueError: when the shapes differ, there is no negative, or the temperature is not positive and finite.
    """
    if a.dim() != 2 or a.shape != b.shape or len(a) < 2:
        raise ValueError(f"a and b must both be (n >= 2, d); got {tuple(a.shape)} and {tuple(b.shape)}")
    check_temperature(temperature)
    return F.cross_entropy(upcast(similarity(a, b)) / temperature, torch.arange(len(a), device=a.device))


def views_loss(model: nn.Module, batch: Views) -> Tensor:
    """InfoNCE loss of a batch of views, each of them encoded once.

    SimCSE's pairs need dropout in the model: without it both views are the same vector.

    >>> encoder = lambda ids, mask: torch.nn.functional.one_hot(ids[:, 0], 4).float()
    >>> ids, mask = torch.tensor([[0], [1]]), torch.ones(2, 1, dtype=torch.bool)
    >>> round(views_loss(encoder, Views(ids, mask, ids, mask)).item(), 6)
    0.0

    Args:
        model: an encoder, (ids, attention_mask) -> vectors (batch, d), such as
            :class:`companion.models.sentence_encoder.SentenceEncoder`.
        batch: two views of each text.
    """
    first = model(batch.inputs, batch.attention_mask)
    return contrastive_loss(first, model(batch.other_inputs, batch.other_attention_mask))
