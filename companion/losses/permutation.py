"""The permutation objective: tokens are told in a random order, and each is predicted from those told before it.

The words stay where they are; only the order of *predicting* is permuted. Chapter: ``book/algorithms/xlnet.ipynb``.
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
    """Texts with an order in which their tokens are told.

    Attributes:
        inputs: (batch, length), nothing hidden and nothing moved.
        order: (batch, length), each position's rank in the order, 0 first; padding comes after all real tokens.
        predict: (batch, k), the positions that are predicted, those of the highest ranks; 0 where a row has fewer.
        targets: (batch, k), the tokens there, ``IGNORED`` where a row has fewer.
        visible: boolean (batch, query, key), what the query stream sees: real tokens of a lower rank, never itself.
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
    """Draw a factorisation order for each text, and ask for the tokens at its end.

    The first in the order would be guessed from next to nothing, so only the last ``share`` of them are predicted
    (section 2.3, "Partial prediction", with K = 1 / share), and at least one.

    Args:
        ids: (batch, length).
        attention_mask: boolean (batch, length), True = a real token; all are real when not given.
        share: of the tokens to predict, in expectation.
        generator: draws; torch's global one when not given.

    Returns:
        the batch, where ``ids`` is.

    Raises:
        ValueError: when the share is not in (0, 1), a shape does not fit, or a row has no real token.
        TypeError: on a mask that is not boolean.
    """
    real = real_tokens(ids, attention_mask)
    check_fraction("fraction", fraction)
    order = ranks(uniform(tuple(ids.shape), ids.device, generator).masked_fill(~real, 2.0))
    n = real.sum(1)
    wanted = rounded(fraction * n, generator).clamp(min=1)
    predicted = real & (order >= (n - wanted)[:, None])
    place = torch.arange(ids.size(1), device=ids.device).expand_as(ids)
    predict, asked = compact(place, predicted)
    targets = ids.gather(1, predict).masked_fill(~asked, IGNORED)
    return Permuted(ids, order, predict, targets, order_mask(order) & real[:, None, :])


def permutation_loss(model: nn.Module, batch: Permuted) -> Tensor:
    """Return the mean negative log-likelihood of the predicted tokens given those before them in the order, in nats.

    ``L = -1/k sum_{t > c} log p(x_{z_t} | x_{z_<t}, z_t)``, z the order and c the number of tokens that are only read
    (Yang et al. 2019, eq. 5). Padding ranks last, so no real position sees it, and no other mask is needed.

    Args:
        model: (ids, order=, targets=) -> logits (batch, k, vocab), such as :class:`companion.models.xlnet.XLNet`.
        batch: texts with an order.
    """
    return cross_entropy(model(batch.inputs, order=batch.order, targets=batch.predict), batch.targets)
