"""Safetensors files of a checkpoint: their headers are compared before a tensor is read, and tensors are read singly.

Chapter: ``book/algorithms/gpt.ipynb``.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open
from torch import Tensor

from companion.checkpoints.errors import CheckpointError

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
SAVE = "companion_save"  # the identity of a save, in every file of it
FLOATS = ("F64", "F32", "F16", "BF16")
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


class Entry(NamedTuple):
    """What a header says of a tensor.

    Attributes:
        file: file that holds it.
        shape: its shape.
        dtype: safetensors' name of its dtype, such as "F32".
    """

    file: Path
    shape: tuple[int, ...]
    dtype: str


def read_json(path: Path) -> Any:
    """Content of a JSON file.

    Raises:
        CheckpointError: when it cannot be read, is not JSON, or is nested without end.
    """
    try:
        return json.loads(path.read_text(encoding="utf8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not valid JSON: {error}") from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error


def read_header(folder: Path) -> dict[str, Entry]:
    """Header entries of all tensors of a checkpoint, by name, from one safetensors file or the shards of its index.

    Raises:
        CheckpointError: when there is no safetensors file (only a pickle, perhaps), a shard is missing, a file is
            truncated, a tensor is stored twice or elsewhere than the index says, or the files are of several saves.
    """
    if (folder / WEIGHTS).is_file():
        places = None
        files = [folder / WEIGHTS]
    else:
        places = _index(folder)
        files = [_shard(folder, name) for name in sorted(set(places.values()))]
    entries: dict[str, Entry] = {}
    for file in files:
        with _opened(file) as opened:
            _check_save(folder, file, (opened.metadata() or {}).get(SAVE))
            for name in opened.keys():  # noqa: SIM118 - no mapping
                if name in entries:
                    raise CheckpointError(f"{file} and {entries[name].file.name} both hold the tensor {name!r}")
                if places is not None and places.get(name) != file.name:
                    raise CheckpointError(
                        f"{INDEX} says {places.get(name)!r} of the tensor {name!r}; it is in {file.name}"
                    )
                part = opened.get_slice(name)
                entries[name] = Entry(file, tuple(part.get_shape()), part.get_dtype())
    lost = [name for name in places or () if name not in entries]
    if lost:
        raise CheckpointError(f"{folder / INDEX} names the tensor {lost[0]!r}, which is in none of its shards")
    return entries


def read_tensors(entries: dict[str, Entry]) -> Iterator[tuple[str, Tensor]]:
    """The tensors of header entries, one after the other, file by file.

    Raises:
        CheckpointError: when a file is truncated.
    """
    for file in sorted({entry.file for entry in entries.values()}):
        with _opened(file) as opened:
            for name in [name for name, entry in entries.items() if entry.file == file]:
                yield name, opened.get_tensor(name)


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    try:
        with safe_open(file, framework="pt") as opened:
            yield opened
    except SafetensorError as error:
        raise CheckpointError(f"{file} is truncated or not a safetensors file: {error}") from error
    except OSError as error:
        raise CheckpointError(f"{file} cannot be read: {error}") from error


def _index(folder: Path) -> dict[str, str]:
    """Tensor -> name of its shard, as the index says."""
    path = folder / INDEX
    if not path.is_file():
        pickles = [p.name for ending in PICKLES for p in folder.glob(ending)]
        found = f"; {', '.join(sorted(pickles))} is a pickle, which can run code and is never opened" if pickles else ""
        raise CheckpointError(f"{folder} has no {WEIGHTS} and no {INDEX}{found}")
    content = read_json(path)
    places = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(places, dict) or not all(isinstance(name, str) for name in places.values()) or not places:
        raise CheckpointError(f"{path} is no index of shards: it has no weight_map of tensors and files")
    about = content.get("metadata")
    _check_save(folder, path, about.get(SAVE) if isinstance(about, dict) else None)
    return places


def _shard(folder: Path, name: str) -> Path:
    try:
        if Path(name).name == name and (folder / name).is_file():
            return folder / name
    except (OSError, ValueError):  # no name of a file
        pass
    raise CheckpointError(f"{INDEX} names the shard {name!r}, which is not in {folder}")


def _check_save(folder: Path, file: Path, found: str | None) -> None:
    """Refuse a file of another save than config.json: one that was stopped between two files leaves such a mixture."""
    wanted = read_json(folder / "config.json").get(SAVE) if (folder / "config.json").is_file() else None
    if found is not None and wanted is not None and found != wanted:
        raise CheckpointError(f"{file} and {folder / 'config.json'} are of two saves; save the model again")
