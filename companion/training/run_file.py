"""File of a training run: safetensors that are written whole or not at all, and looked at before they are read.

Chapter: ``book/algorithms/gpt.ipynb``.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from companion.data.whole_files import write_whole


def write(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """Write tensors and texts to ``path``; a process that is killed meanwhile leaves the old file or the new one.

    Raises:
        OSError: when the file cannot be written, with its name; what stood there stays.
        ValueError: when a tensor cannot be saved, with its name.
    """
    whole = _savable(tensors)
    write_whole(path, lambda part: save_file(whole, part, metadata=metadata))


def _savable(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors, each in a block of memory of its own, as safetensors wants.

    Raises:
        ValueError: on a tensor that has no such form, or could not be read back into its place.
    """
    blocks: set[int] = set()
    found = {}
    for name, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.is_meta or tensor.is_quantized or tensor.dtype == torch.complex128:
            raise ValueError(f"{name} cannot be saved: {tensor.dtype}, {tensor.layout}, on {tensor.device}")
        if any(stride == 0 and size > 1 for stride, size in zip(tensor.stride(), tensor.shape, strict=True)):
            raise ValueError(f"{name} cannot be saved: it is expanded, and its numbers share memory; clone it before")
        own = tensor.contiguous()
        block = own.untyped_storage().data_ptr()
        found[name] = own.clone() if block in blocks or own.untyped_storage().nbytes() > own.nbytes else own
        blocks.add(block)
    return found


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
