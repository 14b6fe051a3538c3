"""Cross-entropy over the positions with a target: the loss that most objectives end in.

Chapter: ``book/formulas/losses.ipynb``.
"""

import torch.nn.functional as F
from torch import Tensor

from companion.data.batch import IGNORED, upcast


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of the targets, in nats: mean negative log-likelihood over the positions with a target.

    >>> import torch
    >>> logits = torch.tensor([[0.0, 0.0], [9.0, -9.0]])
    >>> cross_entropy(logits, torch.tensor([1, IGNORED]))  # log 2
    tensor(0.6931)

    Args:
        logits: (…, vocab).
        targets: (…), ``IGNORED`` at positions without a target.

    Raises:
        ValueError: when the shapes do not fit, or no position has a target.
    """
    if logits.shape[:-1] != targets.shape:
        raise ValueError(f"logits must be (*targets, vocab); got {tuple(logits.shape)} for {tuple(targets.shape)}")
    if bool((targets == IGNORED).all()):
        raise ValueError(f"each of the {targets.numel()} targets is {IGNORED}, padding; there is nothing to predict")
    return F.cross_entropy(upcast(logits).flatten(0, -2), targets.flatten(), ignore_index=IGNORED)
