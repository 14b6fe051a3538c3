"""Models made without initial values, because a file's take their place.

Chapter: ``book/practice/huggingface.ipynb``.
"""

from collections.abc import Callable, Sequence
from typing import Any

from torch.overrides import TorchFunctionMode

DRAWS = ("normal_", "uniform_", "kaiming_uniform_")


class Uninitialized(TorchFunctionMode):
    """Within it, a model is made without drawing initial values, and its random numbers stay undrawn.

    Drawing them takes longer than reading a file; on the device "meta" it would import torch's compiler, too.

    >>> from torch import nn
    >>> with Uninitialized():
    ...     layer = nn.Linear(2, 3)
    >>> layer.weight.shape
    torch.Size([3, 2])
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        """Call a function of torch, unless it draws."""
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in DRAWS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)
