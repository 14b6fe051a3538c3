"""Direct preference optimisation (DPO): the answer that people preferred gains probability on the rejected one.

Chapter: ``book/formulas/optimizers.ipynb``. Source: Rafailov et al. 2023, "Direct Preference Optimization: Your
Language Model is Secretly a Reward Model", section 4.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from companion.data.batch import upcast


def dpo_loss(
    policy_chosen: Tensor,
    policy_rejected: Tensor,
    reference_chosen: Tensor,
    reference_rejected: Tensor,
    beta: float = 0.1,
) -> Tensor:
    """DPO loss: mean negative log-likelihood, in nats, of the choices that people made between two answers.

    ``L = -mean log sigmoid(beta ((pi_w - ref_w) - (pi_l - ref_l)))``, where w was chosen and l rejected (Rafailov et
    al. 2023, eq. 7). It is log 2 while the policy is the reference.

    >>> chosen, rejected = torch.tensor([-5.0]), torch.tensor([-3.0])
    >>> dpo_loss(chosen, rejected, chosen, rejected)  # log 2
    tensor(0.6931)
    >>> dpo_loss(chosen + 4, rejected, chosen, rejected)
    tensor(0.5130)

    Args:
        policy_chosen: (batch,), log-probability of each chosen answer, summed over its tokens, not averaged.
        policy_rejected: (batch,), the same of the rejected answers.
        reference_chosen: (batch,), log-probability of the chosen answers under the reference model, which the policy
            began as; it gets no gradient.
        reference_rejected: (batch,), the same of the rejected answers.
        beta: strength of the KL penalty that keeps the policy near the reference, above 0.

    Raises:
        ValueError: when the batch is empty, the shapes differ, a number is not a finite log-probability, or beta is not
            positive and finite.
    """
    given = {
        "policy_chosen": policy_chosen,
        "policy_rejected": policy_rejected,
        "reference_chosen": reference_chosen,
        "reference_rejected": reference_rejected,
    }
    for name, values in given.items():
        if values.dim() != 1 or not len(values) or values.shape != policy_chosen.shape:
            raise ValueError(f"all must be (batch,), not empty, and alike; {name} is {tuple(values.shape)}")
        if not bool((torch.isfinite(values) & (values <= 0)).all()):
            raise ValueError(f"log-probabilities are finite and at most 0; {name} has {_worst(values)}")
    if not 0 < beta < float("inf"):
        raise ValueError(f"beta must be positive and finite; got {beta}")
    moved = upcast(policy_chosen) - upcast(policy_rejected)
    at_first = upcast(reference_chosen) - upcast(reference_rejected)
    return -F.logsigmoid(beta * (moved - at_first.detach())).mean()


def _worst(values: Tensor) -> float:
    """The first value that is no log-probability."""
    return float(values[~(torch.isfinite(values) & (values <= 0))][0])
