"""Types of the fields of a configuration, checked as soon as it is made.

Chapter: ``book/algorithms/gpt.ipynb``.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from numbers import Integral, Real
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints, overload

LARGEST = 2**63 - 1  # integer that a tensor or a seed can be


class Kind(NamedTuple):
    """A type of a field.

    Attributes:
        words: its name in a message.
        allows: (value) -> whether the value is of it.
    """

    words: str
    allows: Callable[[Any], bool]


def _is_number(value: Any, kind: type) -> bool:
    """Whether a value is a number of a kind, of Python or NumPy; True is none."""
    return isinstance(value, kind) and not isinstance(value, bool)


class DerivedSize:
    """A field of a configuration that is an int when read, computed from other fields when None was given.

    A descriptor, which a dataclass takes as the field's default; see "Descriptor-typed fields" in Python's manual.
    """

    def __init__(self, default: Callable[[Any], int]) -> None:
        """Set the function that computes the size from a configuration."""
        self.default = default

    def __set_name__(self, owner: type, name: str) -> None:
        """Learn the name of the field."""
        self.name = name

    @overload
    def __get__(self, config: None, owner: type) -> None: ...

    @overload
    def __get__(self, config: object, owner: type) -> int: ...

    def __get__(self, config: object, owner: type) -> int | None:
        """Return the size in a configuration; None, the default of the field, in the class itself."""
        if config is None:
            return None
        given: int | None = vars(config)[self.name]
        return self.default(config) if given is None else given

    def __set__(self, config: object, given: int | None) -> None:
        """Keep what a configuration is made with."""
        vars(config)[self.name] = given


PLAIN: dict[Any, Kind] = {
    int: Kind("an integer", lambda value: _is_number(value, Integral) and abs(int(value)) <= LARGEST),
    float: Kind(
        "a number",
        # infinity and NaN are floats; which of them a field may be, its class says
        lambda value: _is_number(value, Real) and (isinstance(value, float) or abs(value) <= sys.float_info.max),
    ),
    bool: Kind("True or False", lambda value: isinstance(value, bool)),
    str: Kind("a string", lambda value: isinstance(value, str)),
    Path: Kind("a Path", lambda value: isinstance(value, Path)),
    NoneType: Kind("None", lambda value: value is None),
}


def check_field_types(config: Any) -> None:
    """Check that the fields of a dataclass hold what its annotations say; ranges are for the class to check.

    A field is looked at where its annotation is a number, a string, a flag, a path, None, a dataclass, a function, a
    tuple of any length of one of these, or a choice among them.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass
        ... class Sizes:
        ...     width: int
        ...     tied: bool | None = None
        >>> check_field_types(Sizes(width=8))
        >>> check_field_types(Sizes(width=8, tied="false"))
        Traceback (most recent call last):
        ValueError: tied must be True or False, or None; got 'false'

    Raises:
        ValueError: naming the field, its value and what it must be.
    """
    for name, kinds in _kinds(config.__class__).items():
        value = vars(config)[name]
        if not any(kind.allows(value) for kind in kinds):
            raise ValueError(f"{name} must be {', or '.join(kind.words for kind in kinds)}; got {value!r:.80}")


@cache
def _kinds(config_class: type) -> Mapping[str, list[Kind]]:
    """The types of each field that is looked at."""
    hints = get_type_hints(config_class)
    found: dict[str, list[Kind]] = {}
    for field in fields(config_class):
        hint = hints[field.name]
        kinds = [_kind(one) for one in (get_args(hint) if get_origin(hint) is UnionType else (hint,))]
        if None not in kinds:
            found[field.name] = [kind for kind in kinds if kind]
    return found


def _kind(hint: Any) -> Kind | None:
    """What an annotation without alternatives allows; None where nothing is looked at."""
    if hint in PLAIN:
        return PLAIN[hint]
    if get_origin(hint) is Callable:
        return Kind("a function", callable)
    if get_origin(hint) is tuple and get_args(hint)[1:] == (...,) and (item := _kind(get_args(hint)[0])):
        allows = item.allows
        return Kind(
            f"a tuple, each of it {item.words}",
            lambda value: isinstance(value, tuple) and all(allows(one) for one in value),
        )
    if is_dataclass(hint):
        made = hint if isinstance(hint, type) else type(hint)
        return Kind(f"a {made.__name__}", lambda value: isinstance(value, made))
    return None
