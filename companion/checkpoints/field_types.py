"""Types of the fields of a configuration, checked before anything is made from them.

Chapter: ``book/algorithms/gpt.ipynb``.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from types import NoneType
from typing import Any, get_args, get_type_hints

from companion.checkpoints.errors import CheckpointError

WORDS = {int: "an integer", float: "a finite number", bool: "true or false", str: "a string", NoneType: "null"}
LARGEST = 2**31 - 1  # of any size; beyond, no tensor has an axis of it
DEEPEST = 1000  # layers, or experts, that a model may have whatever its file holds


def check_flags(config: Mapping[str, Any], path: object) -> None:
    """Check that no field of a ``config.json`` is a flag in quotes, which Python would take for true.

    Raises:
        CheckpointError: naming the field and its value.
    """
    for name, value in config.items():
        if isinstance(value, str) and value.strip().lower() in ("true", "false", "null", "none"):
            raise CheckpointError(f"{path} sets {name} to the string {value!r}; true, false and null have no quotes")


def check_types(config_class: Callable[..., Any], fields: Mapping[str, Any], path: object) -> None:
    """Check that the fields of a configuration have the types that its class declares, and sizes a tensor can have.

    Raises:
        CheckpointError: naming the field, its value and what it must be.
    """
    hints = get_type_hints(config_class) if is_dataclass(config_class) else {}
    for name, value in fields.items():
        allowed = get_args(hints[name]) or (hints[name],) if name in hints else ()
        kinds = [kind for kind in allowed if kind in WORDS]
        if kinds and len(kinds) == len(allowed) and not any(_is(value, kind) for kind in kinds):
            wanted = " or ".join(WORDS[kind] for kind in kinds)
            raise CheckpointError(f"{path}: {name} must be {wanted}; got {value!r:.60}")
        if type(value) is int and abs(value) > LARGEST:
            raise CheckpointError(f"{path}: {name} must be at most {LARGEST}; got {value!r:.60}")
        if name.endswith("eps") and isinstance(value, float | int) and not 0 <= value < 1:
            raise CheckpointError(f"{path}: {name} must be at least 0 and below 1; got {value!r:.60}")


def check_depth(fields: Mapping[str, Any], tensors: int, path: object) -> None:
    """Check that a model has no more layers or experts than its checkpoint has tensors.

    Raises:
        CheckpointError: naming the field and its value.
    """
    for name in ("n_layers", "n_decoder_layers", "n_experts"):
        if (fields.get(name) or 0) > max(tensors, DEEPEST):
            raise CheckpointError(f"{path}: {name} is {fields[name]}, and the weights have only {tensors} tensors")


def _is(value: Any, kind: type) -> bool:
    """Whether a value of JSON is of a kind; an integer is a number too, and true is none."""
    if kind is float:
        return type(value) in (int, float) and math.isfinite(value)
    return type(value) is kind
