"""Permutation language modelling: a random factorisation order; each token is predicted from those before it in it.

The tokens keep their positions; only the order of *prediction* is permuted. Chapter: ``book/algorithms/xlnet.ipynb``.
Source: Yang et al. 2019, "XLNet", sections 2.2 and 2.3.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from companion.data.batch import IGNORED
from companion.losses.cross_entropy import cross_entropy
from companion.losses.selection import check_fraction, compact, ranks, real_tokens, rounded, uniform
from companion.nn.masks import order_mask


class Permuted(NamedTuple):
    """Batch of texts with a factorisation order each.

    Attributes:
        inputs: token ids (batch, length), nothing masked and nothing moved.
        order: (batch, length), rank of each position in the factorisation order, 0 first; padding comes last.
        predict: (batch, k), the predicted positions, those of the highest ranks; 0 where a row has fewer.
        targets: (batch, k), the tokens there, ``IGNORED`` where a row has fewer.
        visible: mask of the query stream, boolean (batch, query, key): a position attends to real tokens of a lower
            rank, never to itself.
    """

    inputs: Tensor
    order: Tensor
    predict: Tensor
    targets: Tensor
    visible: Tensor


def permute(
    ids: Tensor,
    attention_mask: Tensor | None,
    *,
    fraction: float = 1 / 6,
    generator: torch.Generator | None = None,
) -> Permuted:
    """Batch for permutation language modelling: a random factorisation order for each text, its last tokens as targets.

    The first tokens in the order would be predicted from next to nothing, so only the last ones are predicted
    (section 2.3, "Partial prediction", with K = 1 / fraction), and at least one.

    >>> batch = permute(torch.tensor([[5, 6, 7, 8]]), None, fraction=0.5)
    >>> batch.order.sort().values, batch.targets.shape
    (tensor([[0, 1, 2, 3]]), torch.Size([1, 2]))
    >>> batch.order.gather(1, batch.predict).sort().values  # the last two in the order are predicted
    tensor([[2, 3]])

    Args:
        ids: token ids (batch, length).
        attention_mask: boolean (batch, length), True = a real token; all are real when not given.
        fraction: expected fraction of the tokens that are predicted.
        generator: source of randomness; torch's global one when not given.

    Returns:
        the batch, on the device of ``ids``.

    Raises:
        ValueError: when the fraction is not in (0, 1), a shape does not fit, or a row has no real token.
        TypeError: on a mask that is not boolean.
    """
    real = real_tokens(ids, attention_mask)
    check_fraction("fraction", fraction)
    order = ranks(uniform(tuple(ids.shape), ids.device, generator).masked_fill(~real, 2.0))
    n = real.sum(1)
    wanted = rounded(fraction * n, generator).clamp(min=1)
    predicted = real & (order >= (n - wanted)[:, None])
    position = torch.arange(ids.size(1), device=ids.device).expand_as(ids)
    predict, real_targets = compact(position, predicted)
    targets = ids.gather(1, predict).masked_fill(~real_targets, IGNORED)
    return Permuted(ids, order, predict, targets, order_mask(order) & real[:, None, :])


def permutation_loss(model: nn.Module, batch: Permuted) -> Tensor:
    """Permutation loss: cross-entropy of the predicted tokens given those before them in the order, in nats.

    ``L = -1/k sum_{t > c} log p(x_{z_t} | x_{z_<t}, z_t)``, z the order and c the number of tokens that are context
    only (Yang et al. 2019, eq. 5). Padding ranks last, so no real position attends to it, and no other mask is needed.

    >>> uniform = lambda ids, order, targets: torch.zeros(*targets.shape, 9)
    >>> permutation_loss(uniform, permute(torch.tensor([[5, 6, 7, 8]]), None)).exp()
    tensor(9.)

    Args:
        model: (ids, order=, targets=) -> logits (batch, k, vocab), such as :class:`companion.models.xlnet.XLNet`.
        batch: texts with a factorisation order.
    """
    return cross_entropy(model(batch.inputs, order=batch.order, targets=batch.predict), batch.targets)
