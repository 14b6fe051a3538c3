"""What a model is trained to do: losses over batches.

Chapter: ``book/algorithms/gpt.ipynb``.
"""

import torch.nn.functional as F
from torch import Tensor, nn


def causal_loss(model: nn.Module, ids: Tensor) -> Tensor:
    """Return the mean negative log-likelihood of each token given those before it, in nats.

    ``L = -1/n sum_t log p(x_t | x_<t)``: position t's logits are scored against token t + 1
    (Radford et al. 2018, eq. 1).

    Args:
        model: ids (batch, length) -> logits (batch, length, vocab).
        ids: (batch, length + 1); the model reads all but the last and is asked for all but the first.

    Raises:
        ValueError: when there is nothing to predict.
    """
    if ids.dim() != 2 or ids.size(1) < 2:
        raise ValueError(
            f"ids must be (batch, length >= 2), one token to read and one to predict; got {tuple(ids.shape)}"
        )
    logits = model(ids[:, :-1])
    return F.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten())
