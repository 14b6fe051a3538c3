"""The device to compute on.

Chapter: ``book/concepts/optimization.ipynb``.
"""

import torch

DEVICES = ("cuda", "mps", "cpu")  # the fastest first


def check_device(name: str) -> None:
    """Check the name of a device, "auto" or one of ``DEVICES`` with or without a number, there or not.

    Raises:
        ValueError: naming it.
    """
    kind, colon, number = name.partition(":")
    if name != "auto" and (kind not in DEVICES or (colon and not number.isdecimal())):
        raise ValueError(f"device must be one of auto, {', '.join(DEVICES)}; got {name!r}")


def pick_device(name: str = "auto") -> torch.device:
    """Device to compute on: "auto" takes CUDA, then Apple's MPS, then the CPU.

    Raises:
        ValueError: when the named device is not one of them or not there.

    >>> pick_device("cpu")
    device(type='cpu')
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind, there in available.items() if there)
    if not isinstance(name, str) or not available.get(name.split(":")[0]):
        here = ", ".join(kind for kind, there in available.items() if there)
        raise ValueError(f"device {name!r} is not available; choose auto, {here}")
    return torch.device(name)
