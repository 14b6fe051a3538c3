"""The causal objective of a mixture of experts: predict the next token, and use the experts evenly.

Chapter: ``book/algorithms/modern_decoder.ipynb``. Source: Fedus et al. 2022, "Switch Transformers", section 2.2.
"""

from typing import Any

from torch import Tensor

from companion.data.batch import IGNORED
from companion.losses.causal import causal_loss
from companion.nn.mixture_of_experts import load_balancing_loss, record_routing


def causal_loss_with_load_balancing(model: Any, ids: Tensor, weight: float = 0.01) -> Tensor:
    """Return ``L_causal + weight * L_balance``.

    Args:
        model: with experts, such as a :class:`companion.models.modern_decoder.ModernDecoder` of the family "mixtral".
        ids: see :func:`companion.losses.causal_loss`; what is filled up does not count for the balance.
        weight: of the balance; 0.01 is that of Switch Transformers.

    Raises:
        ValueError: when the model has no experts, or there is nothing to predict.
    """
    with record_routing(model) as logits:
        loss = causal_loss(model, ids)
    return loss + weight * load_balancing_loss(logits, model.config.experts_per_token, ids[:, :-1] != IGNORED)
