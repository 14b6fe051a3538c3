"""Cross-entropy over the places where something is asked: the loss that most objectives end in.

Chapter: ``book/formulas/losses.ipynb``.
"""

import torch.nn.functional as F
from torch import Tensor

from companion.data.batch import IGNORED, upcast


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the mean negative log-likelihood of the targets, in nats, over the places where something is asked.

    Args:
        logits: (…, vocab).
        targets: (…), ``IGNORED`` where nothing is asked.

    Raises:
        ValueError: when the shapes do not fit, or nothing is asked at all.
    """
    if logits.shape[:-1] != targets.shape:
        raise ValueError(f"logits must be (*targets, vocab); got {tuple(logits.shape)} for {tuple(targets.shape)}")
    if bool((targets == IGNORED).all()):
        raise ValueError(f"each of the {targets.numel()} targets is {IGNORED}, padding; there is nothing to predict")
    return F.cross_entropy(upcast(logits).flatten(0, -2), targets.flatten(), ignore_index=IGNORED)
