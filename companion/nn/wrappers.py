"""Wrappers that torch puts around a model, for compilation and for several devices, and the names without them.

Chapter: ``book/concepts/optimization.ipynb``.
"""

from torch import nn

COMPILED = "_orig_mod"  # what torch.compile calls the module inside


def unwrapped(model: nn.Module) -> nn.Module:
    """Model inside the wrappers of ``torch.compile``, ``DataParallel`` and ``DistributedDataParallel``.

    >>> unwrapped(nn.DataParallel(nn.Linear(2, 2)))
    Linear(in_features=2, out_features=2, bias=True)
    """
    while True:
        if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            model = model.module
        elif isinstance(inside := getattr(model, COMPILED, None), nn.Module):
            model = inside
        else:
            return model


def plain_name(name: str) -> str:
    """Name of a parameter or module without what ``torch.compile`` adds to that of a module that it wraps.

    >>> plain_name("blocks.0._orig_mod.attention.query.weight")
    'blocks.0.attention.query.weight'
    """
    return ".".join(part for part in name.split(".") if part != COMPILED)
