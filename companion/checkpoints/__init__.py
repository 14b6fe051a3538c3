"""Checkpoints in Hugging Face's layout: located, validated, loaded into our models, and saved.

Weights are read from safetensors only; a pickle is never opened. Chapter: ``book/algorithms/gpt.ipynb``.
"""

import hashlib
import json
import re
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from safetensors.torch import save as serialised
from torch import Tensor, nn

from companion.checkpoints.errors import CheckpointError
from companion.checkpoints.field_types import check_depth, check_flags
from companion.checkpoints.layout import Layout
from companion.checkpoints.uninitialized import Uninitialized
from companion.checkpoints.weight_files import FLOATS, INDEX, SAVE, WEIGHTS, Entry, read_header, read_json, read_tensors
from companion.data.whole_files import write_together
from companion.nn.wrappers import plain_name, unwrapped

__all__ = [
    "INDEX",
    "WEIGHTS",
    "CheckpointError",
    "Family",
    "load_model",
    "load_weights",
    "locate",
    "read_config",
    "save",
]

HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
WRAPPERS = re.compile(r"^(?:module\.|_forward_module\.)+")  # what trainers on several devices put before all names

Model = TypeVar("Model", bound=nn.Module)


def locate(folder_or_hub_id: str | Path) -> Path:
    """Return the checkpoint's folder; a model id is downloaded from the Hugging Face hub.

    Args:
        folder_or_hub_id: a folder, or a model id of the form "owner/name".

    Raises:
        CheckpointError: when it is neither a folder nor a model id that the hub (or its local cache) has.
        TypeError: when it is no string and no Path.
    """
    if not isinstance(folder_or_hub_id, str | Path):
        raise TypeError(f"folder_or_hub_id must be a string or a Path; got {folder_or_hub_id!r:.60}")
    name = str(folder_or_hub_id)
    try:
        path = Path(folder_or_hub_id).expanduser()
        is_folder, is_file = path.is_dir(), path.is_file()
    except (OSError, ValueError, RuntimeError) as error:  # a name that no file can have, or of nobody's home
        raise CheckpointError(f"{name[:60]!r} is no folder and no model id: {error}") from error
    if is_folder:
        return path
    if is_file:
        raise CheckpointError(f"{path} is a file; give the folder that holds config.json and {WEIGHTS}")
    if not HUB_ID.fullmatch(name):
        raise CheckpointError(f"there is no folder {name!r}, and it is no model id of the form 'owner/name'")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=["*.json", "*.safetensors"]))
    except Exception as error:  # the hub's client raises a dozen unrelated types
        raise CheckpointError(
            f"there is no folder {name!r}, and the hub did not give a model of that id: {error}"
        ) from error


def read_config(folder: Path, *families: str) -> dict[str, Any]:
    """Return ``config.json`` as a dict.

    Args:
        folder: folder of the checkpoint.
        families: allowed values of ``model_type``, such as "gpt2".

    Raises:
        CheckpointError: when the file is missing, not JSON, names another family, has a flag in quotes, or says that
            the weights are quantised.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise CheckpointError(f"{folder} has no config.json")
    content = read_json(path)
    config: dict[str, Any] = content if isinstance(content, dict) else {}
    found = config.get("model_type")
    if found not in families:
        allowed = ", ".join(map(repr, families))
        raise CheckpointError(f"{path} is of the family {found!r:.60}; this class loads {allowed}")
    if config.get("quantization_config"):
        raise CheckpointError(f"{path} sets quantization_config; only weights in {', '.join(FLOATS)} are read")
    check_flags(config, path)
    return config


class Family(Protocol):
    """The format of one family of checkpoints: its configuration fields and the names of its tensors."""

    def read_fields(self, folder: Path) -> dict[str, Any]:
        """Return the fields of the model's configuration from ``config.json``; refuse variants that the model lacks."""

    def layout(self, config: Any) -> Layout:
        """Return the tensors of a checkpoint of this configuration."""

    def config_json(self, config: Any) -> dict[str, Any]:
        """Return the content of ``config.json`` for a configuration."""


def load_model(
    model_class: Callable[[Any], Model],
    config_class: Callable[..., Any],
    family: Family,
    folder_or_hub_id: str | Path,
) -> Model:
    """Return a model with the weights of a checkpoint, in evaluation mode.

    Args:
        model_class: constructor, configuration -> model.
        config_class: constructor, fields -> configuration.
        family: format of the checkpoint, such as :mod:`companion.checkpoints.gpt2`.
        folder_or_hub_id: a folder in Hugging Face's layout, or a model id on the hub.

    Raises:
        CheckpointError: when there is none, it is another family's, a tensor is missing, unexpected or of another
            size, or the weights are not safetensors.
    """
    folder = locate(folder_or_hub_id)
    path = folder / "config.json"
    try:
        fields = family.read_fields(folder)
        header = read_header(folder)
        check_depth(fields, len(header), path)
        config = config_class(**fields)
        with torch.device("meta"), Uninitialized():  # shapes without memory
            sizes = model_class(config)
    except CheckpointError:
        raise
    except (TypeError, ValueError, AttributeError, ArithmeticError, LookupError, RuntimeError) as error:
        raise CheckpointError(f"{path} does not describe a model of this class: {error}") from error
    layout = family.layout(config)
    _check_header(header, layout, dict(sizes.named_parameters()), folder)
    model = model_class(config)
    _copy(model, header, layout, folder)
    return model.eval()


def load_weights(model: nn.Module, folder: Path, layout: Layout) -> None:
    """Copy a checkpoint's tensors into ``model``, each exactly once, in the model's own dtype.

    Raises:
        CheckpointError: on a tensor that is missing, unexpected, of another size, or of no floating-point dtype.
    """
    header = read_header(folder)
    _check_header(header, layout, dict(model.named_parameters()), folder)
    _copy(model, header, layout, folder)


def _read(header: Mapping[str, Entry], layout: Layout) -> dict[str, str]:
    """Name in the layout's rules -> name in the file, of each tensor that is not ignored.

    Raises:
        CheckpointError: when two tensors of the file are one tensor of the model.
    """
    names: dict[str, str] = {}
    for name in header:
        plain = WRAPPERS.sub("", plain_name(name))
        if not re.search(layout.ignored, plain) and (other := names.setdefault(layout.short(plain), name)) != name:
            raise CheckpointError(f"{header[name].file} holds one tensor under two names, {other!r} and {name!r}")
    return names


def _check_header(header: Mapping[str, Entry], layout: Layout, parameters: Mapping[str, Tensor], folder: Path) -> None:
    """Compare names, sizes and dtypes of a checkpoint's tensors with those of a model; no tensor is read."""
    names = _read(header, layout)
    for rule in layout.rules:
        name = names.pop(rule.theirs, None)
        if name is None:
            if re.search(layout.optional, rule.theirs):
                continue
            raise CheckpointError(f"{folder} lacks the tensor {rule.theirs!r}")
        expected = tuple(rule.join(parameters).shape)
        if header[name].shape != expected:
            raise CheckpointError(
                f"{rule.theirs!r} in {folder} is of shape {header[name].shape}; config.json asks for {expected}"
            )
        if header[name].dtype not in FLOATS:
            raise CheckpointError(
                f"{rule.theirs!r} in {folder} is of dtype {header[name].dtype}; weights are {', '.join(FLOATS)}"
            )
    if names:
        more = f" and {len(names) - 8} more" if len(names) > 8 else ""
        raise CheckpointError(f"{folder} has unexpected tensors: {', '.join(map(repr, sorted(names)[:8]))}{more}")


def _copy(model: nn.Module, header: Mapping[str, Entry], layout: Layout, folder: Path) -> None:
    """Copy the tensors of a checkpoint whose header was found right; warn of numbers that are not finite."""
    names, parameters = _read(header, layout), dict(model.named_parameters())
    found = {rule.theirs: names[rule.theirs] for rule in layout.rules if rule.theirs in names}
    tensors = dict(read_tensors({name: header[name] for name in found.values()}))
    with torch.no_grad():
        for rule in layout.rules:
            if rule.theirs in found:
                for own, tensor in rule.split(tensors.pop(found[rule.theirs])):
                    parameters[own].copy_(tensor)
    infinite = [name for name, parameter in parameters.items() if not bool(parameter.isfinite().all())]
    if infinite:
        warnings.warn(f"{folder}: {', '.join(infinite[:3])} holds numbers that are not finite", stacklevel=4)


def save(
    model: nn.Module,
    family: Family,
    folder: str | Path,
    dtype: torch.dtype | None = None,
    shard_bytes: int | None = None,
) -> None:
    """Write ``config.json`` and the weights; an incomplete file never replaces a complete one.

    Args:
        model: model whose ``config`` and parameters are written.
        family: format of the checkpoint.
        folder: folder to write to, made when missing.
        dtype: dtype of the weights in the file; the model's own when not given.
        shard_bytes: size of the largest file; several shards get an index. One file of any size when not given.

    Raises:
        CheckpointError: when the model has parameters that the family has no name for, such as adapters.
        OSError: when the folder cannot be written; what stood there stays.
    """
    folder = Path(folder)
    layout = family.layout(model.config)
    named_parameters = unwrapped(model).named_parameters()
    parameters = {plain_name(name): p.detach().to("cpu", dtype or p.dtype) for name, p in named_parameters}
    named = {name for rule in layout.rules for name in rule.ours}
    nameless = [name for name in parameters if name not in named and not re.search(layout.ignored, name)]
    if nameless:
        raise CheckpointError(f"such a checkpoint has no place for {', '.join(nameless)}")
    tensors = {layout.full(rule.theirs): rule.join(parameters) for rule in layout.rules}
    shards = [tensors] if shard_bytes is None else _shards(tensors, shard_bytes)
    names = [WEIGHTS]
    if len(shards) > 1:
        names = [f"model-{i:05}-of-{len(shards):05}.safetensors" for i in range(1, len(shards) + 1)]
    config = family.config_json(model.config)
    identity = _identity(tensors, config)
    about = {"format": "pt", SAVE: identity}
    files = {name: _serialised(shard, about) for name, shard in zip(names, shards, strict=True)}
    if len(shards) > 1:
        weight_map = {key: name for name, shard in zip(names, shards, strict=True) for key in shard}
        size = sum(tensor.nbytes for tensor in tensors.values())
        files[INDEX] = _json({"metadata": {"total_size": size, SAVE: identity}, "weight_map": weight_map})
    files["config.json"] = _json(config | {SAVE: identity})
    _replace(folder, files)


def _replace(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write the files of a save, and remove the weights of an earlier one."""
    try:
        write_together(folder, {name: partial(_write, content) for name, content in files.items()})
        earlier = (*folder.glob("model-*-of-*.safetensors"), *folder.glob("model-*-of-*.safetensors*.part"))
        for old in (folder / WEIGHTS, folder / INDEX, *earlier):
            if old.name not in files:
                old.unlink(missing_ok=True)
    except (OSError, ValueError) as error:  # the latter of a name that no file can have
        raise OSError(f"the checkpoint could not be saved to {folder}: {error}") from error


def _write(content: bytes, part: Path) -> None:
    part.write_bytes(content)


def _serialised(tensors: Mapping[str, Tensor], about: dict[str, str]) -> bytes:
    """A safetensors file; the library writes what is said about it in another order each time."""
    raw = serialised(dict(tensors), metadata=about)
    start = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:start])
    text = json.dumps(header | {"__metadata__": about}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the tensors begin at a multiple of eight
    return len(text).to_bytes(8, "little") + text + raw[start:]


def _identity(tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> str:
    """What all files of a save have in common, so that a folder with files of two saves is told from a whole one."""
    digest = hashlib.sha256(_json(dict(config)))
    for name, tensor in tensors.items():
        digest.update(name.encode())
        digest.update(tensor.contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def _shards(tensors: Mapping[str, Tensor], limit: int) -> list[dict[str, Tensor]]:
    """Split the tensors, in order, into as few files of at most ``limit`` bytes as that order allows."""
    shards: list[dict[str, Tensor]] = [{}]
    for name, tensor in tensors.items():
        held = sum(t.nbytes for t in shards[-1].values())
        if held and held + tensor.nbytes > limit:
            shards.append({})
        shards[-1][name] = tensor
    return shards


def _json(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=2) + "\n").encode()
