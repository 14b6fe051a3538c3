"""What a model is trained to do: losses over batches.

Chapter: ``book/algorithms/gpt.ipynb``.
"""

import torch.nn.functional as F
from torch import Tensor, nn

IGNORED = -100  # stands where a row has no token: padding at its end


def causal_loss(model: nn.Module, ids: Tensor) -> Tensor:
    """Return the mean negative log-likelihood of each token given those before it, in nats.

    ``L = -1/n sum_t log p(x_t | x_<t)``: position t's logits are scored against token t + 1
    (Radford et al. 2018, eq. 1).

    Rows of different lengths are filled up at their end with ``IGNORED``. What stands there is no target; the model
    reads it as token 0, which changes no score, because no position before it sees it.

    Args:
        model: ids (batch, length) -> logits (batch, length, vocab), each position blind to later ones.
        ids: (batch, length + 1); the model reads all but the last and is asked for all but the first.

    Raises:
        ValueError: when there is nothing to predict.
    """
    if ids.dim() != 2 or ids.size(1) < 2:
        raise ValueError(
            f"ids must be (batch, length >= 2), one token to read and one to predict; got {tuple(ids.shape)}"
        )
    targets = ids[:, 1:]
    if bool((targets == IGNORED).all()):
        raise ValueError(f"each of the {targets.numel()} targets is {IGNORED}, padding; there is nothing to predict")
    logits = model(readable(ids[:, :-1]))
    return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORED)


def readable(ids: Tensor) -> Tensor:
    """Return ids that a model can look up: token 0 in the place of padding."""
    return ids.masked_fill(ids == IGNORED, 0)
