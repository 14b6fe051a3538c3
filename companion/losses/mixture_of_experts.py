"""Causal language modelling with a mixture of experts: next-token loss plus auxiliary load-balancing loss.

Chapter: ``book/algorithms/modern_decoder.ipynb``. Source: Fedus et al. 2022, "Switch Transformers", section 2.2, whose
loss is one per layer; here it is one over all layers, as in the Mixtral of ``transformers``.
"""

from typing import Any

from torch import Tensor

from companion.data.batch import IGNORED
from companion.losses.causal import causal_loss
from companion.nn.checks import check_weight
from companion.nn.mixture_of_experts import load_balancing_loss, record_routing


def causal_loss_with_load_balancing(model: Any, ids: Tensor, weight: float = 0.01) -> Tensor:
    """Causal loss plus the auxiliary load-balancing loss, ``L_causal + weight * L_balance``, in nats.

    L_balance pools the tokens of all layers; see :func:`companion.nn.mixture_of_experts.load_balancing_loss`.

    >>> import torch
    >>> from companion.models.modern_decoder import ModernConfig, ModernDecoder
    >>> config = ModernConfig(8, context_length=4, n_layers=1, n_heads=1, d_model=4, family="mixtral", n_experts=2)
    >>> model, ids = ModernDecoder(config), torch.tensor([[1, 2, 3]])
    >>> balance = causal_loss_with_load_balancing(model, ids, weight=1.0) - causal_loss(model, ids)
    >>> round(balance.item(), 4)  # each token uses both experts
    2.0

    Args:
        model: a model with experts, such as a :class:`companion.models.modern_decoder.ModernDecoder` of the family
            "mixtral".
        ids: token ids, see :func:`companion.losses.causal_loss`; padding does not count for the balance.
        weight: coefficient of the auxiliary loss; 0.01 in Switch Transformers.

    Raises:
        ValueError: when the model has no experts, or there is nothing to predict.
    """
    with record_routing(model) as logits:
        loss = causal_loss(model, ids)
    check_weight("weight", weight)
    return loss + weight * load_balancing_loss(logits, model.config.experts_per_token, ids[:, :-1] != IGNORED)
