"""File of a training run: safetensors that are written whole or not at all, and looked at before they are read.

Chapter: ``book/algorithms/gpt.ipynb``.
"""

import glob
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

ABANDONED = 3600.0  # seconds after which a file that a killed run left half-written is removed


def write(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """Write tensors and texts to ``path``; a run that is killed meanwhile leaves the old file or the new one.

    Each process writes aside under a name of its own, so that two runs at one file do not write into one another.

    Raises:
        OSError: when the file cannot be written, with its name; what stood there stays.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(f"{glob.escape(path.name)}.*.part"):
            if time.time() - left.stat().st_mtime > ABANDONED:
                left.unlink(missing_ok=True)
        # a transposed weight has no block of memory of its own, as safetensors wants
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, part, metadata=metadata)
        part.replace(path)
    except (SafetensorError, OSError) as error:
        raise OSError(f"the run could not be saved to {path}: {error}") from error
    finally:
        with suppress(OSError):  # it was moved to its place, or never made
            part.unlink()


def read_header(path: Path) -> tuple[dict[str, tuple[int, ...]], dict[str, str]]:
    """Shapes of the tensors in a file, by name, and its texts; no tensor is read.

    Raises:
        ValueError: when there is no such file, or it is damaged.
    """
    if not path.is_file():
        raise ValueError(f"{path} is no file")
    try:
        with safe_open(path, framework="pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is truncated, or no checkpoint of a training run: {error}") from error


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a file whose header was found right.

    Raises:
        ValueError: when it is damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is truncated, or no checkpoint of a training run: {error}") from error
