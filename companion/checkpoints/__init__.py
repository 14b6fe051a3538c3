"""Checkpoints in Hugging Face's layout: located, validated, loaded into our models, and saved.

Weights are read from safetensors only; a pickle is never opened. Chapter: ``book/algorithms/gpt.ipynb``.
"""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialised
from torch import Tensor, nn

from companion.checkpoints.layout import Layout

HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"


class CheckpointError(ValueError):
    """An unusable checkpoint; the message names the file or the tensor, and what is allowed."""


Model = TypeVar("Model", bound=nn.Module)


def locate(folder_or_hub_id: str | Path) -> Path:
    """Return the checkpoint's folder; a model id is downloaded from the Hugging Face hub.

    Args:
        folder_or_hub_id: a folder, or a model id of the form "owner/name".

    Raises:
        CheckpointError: when it is neither a folder nor a model id that the hub (or its local cache) has.
    """
    path = Path(folder_or_hub_id).expanduser()
    if path.is_dir():
        return path
    if path.is_file():
        raise CheckpointError(f"{path} is a file; give the folder that holds config.json and {WEIGHTS}")
    name = str(folder_or_hub_id)
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
        CheckpointError: when the file is missing, not JSON, or names another family.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise CheckpointError(f"{folder} has no config.json")
    try:
        content = json.loads(path.read_text(encoding="utf8"))
    except ValueError as error:
        raise CheckpointError(f"{path} is not valid JSON: {error}") from error
    config: dict[str, Any] = content if isinstance(content, dict) else {}
    found = config.get("model_type")
    if found not in families:
        allowed = ", ".join(map(repr, families))
        raise CheckpointError(f"{path} is of the family {found!r}; this class loads {allowed}")
    return config


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """Return every tensor of a checkpoint, from one safetensors file or from the shards of its index.

    Raises:
        CheckpointError: when there is no safetensors file (only a pickle, perhaps), a shard is missing, or a file
            is truncated.
    """
    if (folder / WEIGHTS).is_file():
        names = [WEIGHTS]
    elif (folder / INDEX).is_file():
        try:
            names = sorted(set(json.loads((folder / INDEX).read_text(encoding="utf8"))["weight_map"].values()))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(f"{folder / INDEX} is no index of shards: {error!r}") from error
    else:
        pickles = [p.name for ending in ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl") for p in folder.glob(ending)]
        found = f"; {', '.join(sorted(pickles))} is a pickle, which can run code and is never opened" if pickles else ""
        raise CheckpointError(f"{folder} has no {WEIGHTS} and no {INDEX}{found}")
    tensors: dict[str, Tensor] = {}
    for name in names:
        path = (folder / name).resolve()
        if Path(name).name != name or not path.is_file():
            raise CheckpointError(f"{INDEX} names the shard {name!r}, which is not in {folder}")
        try:
            with safe_open(path, framework="pt") as file:
                tensors.update({key: file.get_tensor(key) for key in file.keys()})  # noqa: SIM118 - no mapping
        except SafetensorError as error:
            raise CheckpointError(f"{path} is truncated or not a safetensors file: {error}") from error
    return tensors


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
    fields = family.read_fields(folder)
    try:
        config = config_class(**fields)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{folder}/config.json does not describe a model of this class: {error}") from error
    model = model_class(config)
    load_weights(model, folder, family.layout(config))
    return model.eval()


def load_weights(model: nn.Module, folder: Path, layout: Layout) -> None:
    """Copy a checkpoint's tensors into ``model``, each exactly once, in the model's own dtype.

    Raises:
        CheckpointError: on a tensor that is missing, unexpected, or of another size.
    """
    tensors = {
        layout.short(name): tensor
        for name, tensor in read_tensors(folder).items()
        if not re.search(layout.ignored, name)
    }
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for rule in layout.rules:
            if rule.theirs not in tensors and re.search(layout.optional, rule.theirs):
                continue
            if rule.theirs not in tensors:
                raise CheckpointError(f"{folder} lacks the tensor {rule.theirs!r}")
            theirs = tensors.pop(rule.theirs)
            expected = tuple(rule.join(parameters).shape)
            if tuple(theirs.shape) != expected:
                raise CheckpointError(
                    f"{rule.theirs!r} in {folder} is of shape {tuple(theirs.shape)}; config.json asks for {expected}"
                )
            for name, tensor in rule.split(theirs):
                parameters[name].copy_(tensor)
    if tensors:
        raise CheckpointError(f"{folder} has unexpected tensors: {', '.join(sorted(tensors))}")


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
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    layout = family.layout(model.config)
    parameters = {name: p.detach().to("cpu", dtype or p.dtype) for name, p in model.named_parameters()}
    named = {name for rule in layout.rules for name in rule.ours}
    nameless = [name for name in parameters if name not in named and not re.search(layout.ignored, name)]
    if nameless:
        raise CheckpointError(f"such a checkpoint has no place for {', '.join(nameless)}")
    tensors = {layout.full(rule.theirs): rule.join(parameters) for rule in layout.rules}
    shards = [tensors] if shard_bytes is None else _shards(tensors, shard_bytes)
    names = [WEIGHTS]
    if len(shards) > 1:
        names = [f"model-{i:05}-of-{len(shards):05}.safetensors" for i in range(1, len(shards) + 1)]
    files = {name: serialised(shard, metadata={"format": "pt"}) for name, shard in zip(names, shards, strict=True)}
    if len(shards) > 1:
        weight_map = {key: name for name, shard in zip(names, shards, strict=True) for key in shard}
        size = sum(tensor.nbytes for tensor in tensors.values())
        files[INDEX] = _json({"metadata": {"total_size": size}, "weight_map": weight_map})
    files["config.json"] = _json(family.config_json(model.config))
    for name, content in files.items():
        (folder / (name + ".part")).write_bytes(content)
    for name in files:
        (folder / (name + ".part")).replace(folder / name)
    (folder / (WEIGHTS if len(shards) > 1 else INDEX)).unlink(missing_ok=True)  # of an earlier save


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
