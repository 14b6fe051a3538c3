"""Whether anything looks into the run of a model, so that no part of it may be left out or computed in another way.

Chapter: ``book/concepts/attention.ipynb``, "Look inside".
"""

from torch import nn
from torch.nn.modules.module import _has_any_global_hook

REPLACED = {"forward", "attend"}  # methods that stand in an instance only where someone put another in their place


def is_watched(model: nn.Module) -> bool:
    """Whether something looks into a run of ``model`` or its gradients, or computes a part of it in another way.

    >>> from companion.nn.attention import MultiHeadAttention
    >>> from companion.nn.capture import capture
    >>> layer = MultiHeadAttention(d_model=12, n_heads=3)
    >>> with capture(layer):
    ...     inside = is_watched(layer)
    >>> inside, is_watched(layer)
    (True, False)
    """
    return _has_any_global_hook() or any(
        part._forward_hooks
        or part._forward_pre_hooks
        or part._backward_hooks
        or part._backward_pre_hooks
        or getattr(part, "observers", None)
        or REPLACED & vars(part).keys()
        for part in model.modules()
    )
