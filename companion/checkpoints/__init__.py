"""Checkpoints in Hugging Face's layout: found, checked, read into our models, and written back.

Weights are read from safetensors only; a pickle is never opened. Chapter: ``book/algorithms/gpt.ipynb``.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message names the file or the tensor, and what is allowed."""


@dataclass(frozen=True)
class Rule:
    """How one tensor of theirs becomes one or more of ours.

    Attributes:
        theirs: its name in the checkpoint.
        ours: the parameters that it holds, side by side along its output axis.
        transposed: theirs is (in, out), as in GPT-2's ``Conv1D``; ours is (out, in).
    """

    theirs: str
    ours: tuple[str, ...]
    transposed: bool = False

    def split(self, tensor: Tensor) -> Iterable[tuple[str, Tensor]]:
        """Theirs -> pairs (our name, our tensor)."""
        tensor = tensor.T if self.transposed else tensor
        return zip(self.ours, tensor.chunk(len(self.ours)), strict=True)

    def join(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """Ours -> theirs."""
        tensor = torch.cat([parameters[name] for name in self.ours])
        return (tensor.T if self.transposed else tensor).contiguous()


@dataclass(frozen=True)
class Layout:
    """The tensors of one family's checkpoints.

    Attributes:
        rules: one for each tensor that must be there.
        prefix: what the full model's file puts before the names and the bare model's leaves out.
        ignored: a pattern of names that hold no weights of their own.
    """

    rules: list[Rule]
    prefix: str
    ignored: str


def locate(folder_or_hub_id: str | Path) -> Path:
    """Return the checkpoint's folder; a name that is no folder is fetched from the Hugging Face hub.

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


def read_config(folder: Path, family: str) -> dict[str, Any]:
    """Return ``config.json`` as a dict.

    Args:
        folder: the checkpoint.
        family: the ``model_type`` that it must name, such as "gpt2".

    Raises:
        CheckpointError: when the file is missing, not JSON, or names another family.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise CheckpointError(f"{folder} has no config.json")
    try:
        config = json.loads(path.read_text(encoding="utf8"))
    except ValueError as error:
        raise CheckpointError(f"{path} is not valid JSON: {error}") from error
    found = config.get("model_type") if isinstance(config, dict) else None
    if found != family:
        raise CheckpointError(f"{path} is of the family {found!r}; this class loads {family!r}")
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


def load_weights(model: nn.Module, folder: Path, layout: Layout) -> None:
    """Copy a checkpoint's tensors into ``model``, each exactly once, in the model's own dtype.

    Raises:
        CheckpointError: on a tensor that is missing, unexpected, or of another size.
    """
    tensors = {
        name.removeprefix(layout.prefix): tensor
        for name, tensor in read_tensors(folder).items()
        if not re.search(layout.ignored, name)
    }
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for rule in layout.rules:
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


def save_weights(
    model: nn.Module,
    folder: str | Path,
    config: dict[str, Any],
    layout: Layout,
    dtype: torch.dtype | None = None,
) -> None:
    """Write ``config.json`` and ``model.safetensors``; a half-written file never replaces a whole one."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    parameters = {name: p.detach().to("cpu", dtype or p.dtype) for name, p in model.named_parameters()}
    head = "lm_head."  # stands beside the prefixed body
    tensors = {
        rule.theirs if rule.theirs.startswith(head) else layout.prefix + rule.theirs: rule.join(parameters)
        for rule in layout.rules
    }
    (folder / (WEIGHTS + ".part")).write_bytes(save(tensors, metadata={"format": "pt"}))
    (folder / "config.json.part").write_text(json.dumps(config, indent=2) + "\n", encoding="utf8")
    for name in (WEIGHTS, "config.json"):
        (folder / (name + ".part")).replace(folder / name)
