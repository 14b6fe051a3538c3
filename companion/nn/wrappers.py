"""Wrappers that torch puts around a model, for compilation and for several devices, and the names without them.

Chapter: ``book/concepts/optimization.ipynb``.
"""

from torch import nn

COMPILED = "_orig_mod"  # what torch.compile calls the module inside
ADDED = (COMPILED, "_checkpoint_wrapped_module", "_fsdp_wrapped_module")  # to the name of a module that is wrapped


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
    """Name of a parameter or module without what torch adds to that of a module that it wraps.

    It does so where it compiles, checkpoints activations, or divides the weights among devices.

    >>> plain_name("blocks.0._orig_mod.attention.query.weight")
    'blocks.0.attention.query.weight'
    """
    return ".".join(part for part in name.split(".") if part not in ADDED)
