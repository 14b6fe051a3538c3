"""Kinds of the fields of a ``config.json``, checked under the names that the file has, before anything is made of them.

Chapter: ``book/algorithms/gpt.ipynb``.
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from companion.checkpoints.errors import CheckpointError
from companion.nn.feed_forward import ACTIVATIONS

LARGEST = 2**31 - 1  # of any size; beyond, no tensor has an axis of it
DEEPEST = 1000  # layers, or experts, that a model may have whatever its file holds
MOST_LABELS = 2**16


@dataclass(frozen=True)
class Kind:
    """What a field may hold.

    Attributes:
        words: what it must be, for the message.
        allows: (value) -> whether it is that.
    """

    words: str
    allows: Callable[[Any], bool]


def integer(least: int, most: int = LARGEST) -> Kind:
    """Kind of the integers of a range; true is none, and neither is 2.0."""
    return Kind(f"an integer from {least} to {most}", lambda value: type(value) is int and least <= value <= most)


def number(words: str, allows: Callable[[float], bool]) -> Kind:
    """Kind of the finite numbers that a function allows; an integer is one, true is none."""
    largest = sys.float_info.max  # NaN is not below it, and no integer beyond it is a float
    return Kind(words, lambda value: type(value) in (int, float) and abs(value) <= largest and allows(value))


def one_of(values: Iterable[str]) -> Kind:
    """Kind of the strings that are listed."""
    allowed = tuple(values)
    return Kind(f"one of {', '.join(map(repr, allowed))}", lambda value: value in allowed)


def or_null(kind: Kind) -> Kind:
    """Kind of a field that may also say null, as if it were left out."""
    return Kind(f"{kind.words}, or null", lambda value: value is None or kind.allows(value))


SIZE, COUNT = integer(1), integer(0)
BELOW_ONE = number("at least 0 and below 1", lambda value: 0 <= value < 1)
FRACTION = number("above 0 and at most 1", lambda value: 0 < value <= 1)
POSITIVE = number("a finite number above 0", lambda value: value > 0)
NUMBER = number("a finite number", lambda value: True)
FLAG = Kind("true or false", lambda value: isinstance(value, bool))
WORD = Kind("a string", lambda value: isinstance(value, str))
WORDS = Kind("a list of strings", lambda value: isinstance(value, list) and all(isinstance(one, str) for one in value))
OBJECT = Kind("an object with fields of its own", lambda value: isinstance(value, dict))
ACTIVATION = one_of(ACTIVATIONS)

# Fields of our configurations that every family has in its file under a name of its own.
OURS = {
    **dict.fromkeys(("vocab_size", "context_length", "n_layers", "n_heads", "d_model", "d_ff"), SIZE),
    **dict.fromkeys(("d_head", "d_embedding", "n_segments", "n_groups", "blocks_per_group"), SIZE),
    **dict.fromkeys(("dropout", "norm_eps"), BELOW_ONE),
    "activation": ACTIVATION,
}


def kinds_of(names: Mapping[str, str]) -> dict[str, Kind]:
    """Kinds of the fields of a file, from the names of the fields of a configuration that they become."""
    return {theirs: OURS[ours] for theirs, ours in names.items()}


def check_flags(config: Mapping[str, Any], path: object) -> None:
    """Check that no field of a ``config.json`` is a flag in quotes, which Python would take for true.

    Raises:
        CheckpointError: naming the field and its value.
    """
    for name, value in config.items():
        if isinstance(value, str) and value.strip().lower() in ("true", "false", "null", "none"):
            raise CheckpointError(f"{path} sets {name} to the string {value!r}; true, false and null have no quotes")


def check_fields(config: Mapping[str, Any], kinds: Mapping[str, Kind], path: object, within: str = "") -> None:
    """Check the fields that a file has; those that it leaves out are nobody's concern here.

    Args:
        config: the fields, by their names in the file.
        kinds: what each may hold, by its name.
        path: of the file.
        within: name of the object that holds the fields, where it is not the file itself.

    Raises:
        CheckpointError: naming the field, its value and what it must be.
    """
    for name, kind in kinds.items():
        if name in config and not kind.allows(config[name]):
            full = f"{within}.{name}" if within else name
            raise CheckpointError(f"{path}: {full} must be {kind.words}; got {config[name]!r:.60}")


def check_depth(fields: Mapping[str, Any], tensors: int, path: object) -> None:
    """Check that a model has no more layers or experts than its checkpoint has tensors.

    Raises:
        CheckpointError: naming the field and its value.
    """
    for name in ("n_layers", "n_decoder_layers", "n_experts"):
        if (fields.get(name) or 0) > max(tensors, DEEPEST):
            raise CheckpointError(f"{path}: {name} is {fields[name]}, and the weights have only {tensors} tensors")
