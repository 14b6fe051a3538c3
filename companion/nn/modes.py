"""Evaluation mode for a while: without dropout, and afterwards each part of the model as it was.

Chapter: ``book/algorithms/gpt.ipynb``.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Run a model in evaluation mode inside the ``with`` block.

    Afterwards each part has the mode that it had: one that is frozen may be in another than the whole.

    Args:
        model: an ``nn.Module``.

    >>> from torch import nn
    >>> model = nn.Sequential(nn.Dropout(), nn.Dropout().eval())
    >>> with evaluating(model):
    ...     print([part.training for part in model])
    [False, False]
    >>> [part.training for part in model]
    [True, False]
    """
    training = {part: part.training for part in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for part, mode in training.items():
            part.training = mode
