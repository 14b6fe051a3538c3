"""The causal objective: each position is asked for the token that comes next.

Chapter: ``book/algorithms/gpt.ipynb``.
"""

from torch import Tensor, nn

from companion.objectives.batches import cross_entropy, readable


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
    return cross_entropy(model(readable(ids[:, :-1])), ids[:, 1:])
