"""Checks of a model's sizes and of its inputs, before it computes; each error says what is allowed.

Chapter: ``book/concepts/transformer.ipynb``.
"""

import math
import operator
from collections.abc import Iterable, Sequence
from numbers import Integral, Real

import torch
from torch import Tensor

LARGEST_SIZE = 2**31 - 1  # of an axis of a tensor
SMALLEST = torch.finfo(torch.float32).tiny  # below it, single precision loses digits, and then the number


def check_integer(name: str, value: object, least: int = 1, most: int | None = None) -> None:
    """Check that a number that counts something is an integer of at least ``least`` and, if given, at most ``most``.

    Raises:
        ValueError: naming it and its value.
    """
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise ValueError(f"{name} must be an integer; got {value!r:.80}")
    if int(value) < least:
        raise ValueError(f"{name} must be at least {least}; got {value}")
    if most is not None and int(value) > most:
        raise ValueError(f"{name} must be at most {most}; got {value}")


def whole(value: object) -> int:
    """Plain integer of one of Python, numpy or torch.

    >>> whole(torch.tensor(3))
    3

    Raises:
        TypeError: on anything else, a bool among it.
    """
    if isinstance(value, bool) or getattr(value, "dtype", None) == torch.bool:
        raise TypeError(f"{value!r:.80} is a truth value")
    return operator.index(value)  # type: ignore[arg-type]  # which it says itself


def pair_of(pair: object, name: str = "heads") -> tuple[int, int]:
    """A layer and a head as plain integers: a tensor is no key of a dictionary, and half a layer none of a model.

    >>> pair_of(torch.tensor([0, 2]))
    (0, 2)

    Raises:
        ValueError: on what is no pair of integers, by the name.
    """
    try:
        layer, head = map(whole, pair)  # type: ignore[call-overload]
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be pairs (layer, head); got {pair!r:.60}") from error
    return layer, head


def check_weight(name: str, value: object) -> None:
    """Check that the weight of a term of a loss is a number of at least 0: a negative one would turn the term around.

    Raises:
        ValueError: naming it and its value.
    """
    if not isinstance(value, Real) or isinstance(value, bool) or not 0 <= float(value) < math.inf:  # NaN too
        raise ValueError(f"{name} must be a number, at least 0 and finite; got {value!r:.80}")


def check_temperature(value: float) -> None:
    """Check that a temperature that divides scores is positive and finite, and no zero in single precision.

    Raises:
        ValueError: when it is not.
    """
    if not SMALLEST <= value < math.inf:  # NaN too
        raise ValueError(f"temperature must be positive and finite; got {value}; the smallest is {SMALLEST:.2g}")


def check_sizes(config: object, names: Iterable[str]) -> None:
    """Check that the fields of a configuration with these names, where they are given, are sizes of an axis.

    Raises:
        ValueError: naming the field and its value.
    """
    for name in names:
        if getattr(config, name) is not None:
            check_integer(name, getattr(config, name), most=LARGEST_SIZE)


def check_eps(eps: float) -> None:
    """Check that the number that a norm adds to a variance, ``norm_eps``, is at least 0 and below 1.

    Raises:
        ValueError: when it is not.
    """
    if not 0 <= eps < 1:  # NaN too
        raise ValueError(f"norm_eps must be at least 0 and below 1; got {eps}")


def check_dropout(dropout: float) -> None:
    """Check that a dropout probability is at least 0 and below 1.

    Raises:
        ValueError: when it is not.
    """
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout must be in [0, 1); got {dropout}")


def check_heads(d_model: int, n_heads: int) -> None:
    """Check that ``d_model`` is a multiple of ``n_heads``, so that all heads are of one width.

    Raises:
        ValueError: when they do not.
    """
    if d_model % n_heads:
        raise ValueError(f"d_model must be a multiple of n_heads; got {d_model} and {n_heads}")


def check_numbers(name: str, rows: Tensor) -> None:
    """Check that no row of scores holds NaN, by which nothing can be ordered.

    Raises:
        FloatingPointError: naming the first row that does.
    """
    wrong = rows.isnan().reshape(len(rows), -1).any(1).nonzero()
    if len(wrong):
        raise FloatingPointError(f"{name} must be numbers; row {wrong[0].item()} holds nan")


def check_ids(ids: Tensor, vocab_size: int, longest: int | None = None, past: int = 0, name: str = "ids") -> None:
    """Check token ids (batch, length) before they are looked up.

    Args:
        ids: token ids (batch, length).
        vocab_size: number of ids, which are 0 to ``vocab_size`` - 1.
        longest: number of positions of the model; no limit when not given.
        past: number of cached positions, which count towards ``longest``.
        name: name of the argument, for the message.

    Raises:
        TypeError: on ids that are no tensor of integers.
        ValueError: on another rank, an empty batch or text, a text that is too long, or an id outside the vocabulary.
    """
    if not isinstance(ids, Tensor):
        raise TypeError(f"{name} must be a tensor of integers; got {type(ids).__name__}")
    if ids.dtype not in (torch.int64, torch.int32):
        raise TypeError(f"{name} must be integers, torch.int64 or torch.int32; got {ids.dtype}")
    if ids.dim() != 2 or ids.size(1) == 0 or ids.size(0) == 0:
        raise ValueError(f"{name} must be (batch, length), neither of them 0; got shape {tuple(ids.shape)}")
    if longest is not None and past + ids.size(1) > longest:
        raise ValueError(f"{past + ids.size(1)} tokens do not fit into the context of {longest}")
    if not torch.compiler.is_compiling():  # an exporter traces shapes, not values
        low, high = int(ids.min()), int(ids.max())
        if low < 0 or high >= vocab_size:
            bad = low if low < 0 else high
            raise ValueError(f"token id {bad} is outside the vocabulary, 0 to {vocab_size - 1}")


def check_mask(mask: Tensor | None, batch: int, length: int, name: str = "attention_mask") -> None:
    """Check a padding mask (batch, length), True = a real token.

    Raises:
        TypeError: when it is not boolean.
        ValueError: when it is of another shape.
    """
    if mask is None:
        return
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        given = getattr(mask, "dtype", type(mask).__name__)
        raise TypeError(f"{name} must be boolean, True = a real token; got {given}")
    if mask.shape != (batch, length):
        raise ValueError(f"{name} must be (batch, length) = {(batch, length)}; got {tuple(mask.shape)}")


def check_segments(token_type_ids: Tensor | None, ids: Tensor, n_segments: int) -> None:
    """Check the segment ids (batch, length) of the tokens of ``ids``.

    Raises:
        ValueError: when they are of another shape than the ids, outside 0 to ``n_segments`` - 1, or given to a model
            without segments.
    """
    if token_type_ids is None:
        return
    if n_segments < 1:
        raise ValueError("this model has no segments; leave token_type_ids out")
    if token_type_ids.shape != ids.shape:
        raise ValueError(f"token_type_ids must be {tuple(ids.shape)}, as ids; got {tuple(token_type_ids.shape)}")
    if not torch.compiler.is_compiling():
        low, high = int(token_type_ids.min()), int(token_type_ids.max())
        if low < 0 or high >= n_segments:
            bad = low if low < 0 else high
            raise ValueError(f"token_type_ids must be 0 to {n_segments - 1}; got {bad}")


def check_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> None:
    """Check the arguments of :func:`companion.nn.attention.scaled_dot_product_attention`.

    Raises:
        ValueError: on a tensor of rank below 2, sizes that do not fit, or a mask of the wrong shape.
        TypeError: on a mask that is not boolean.
    """
    for name, tensor in (("query", query), ("key", key), ("value", value)):
        if tensor.dim() < 2:
            raise ValueError(f"{name} must have at least 2 axes (…, length, size); got shape {tuple(tensor.shape)}")
    if query.size(-1) != key.size(-1):
        raise ValueError(f"query and key must have the same last size d_k; got {query.size(-1)} and {key.size(-1)}")
    if key.size(-2) != value.size(-2):
        raise ValueError(f"key and value must have the same length m; got {key.size(-2)} and {value.size(-2)}")
    leading = _broadcast(query.shape[:-2], key.shape[:-2])
    if leading is None or _broadcast(leading, value.shape[:-2]) is None:
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in (query, key, value))
        raise ValueError(f"query, key and value must agree in the axes before the last two; got {shapes}")
    if mask is None:
        return
    if mask.dtype != torch.bool:
        raise TypeError(f"mask must be boolean, True = may attend; got {mask.dtype}")
    expected = (*leading, query.size(-2), key.size(-2))
    if _broadcast(mask.shape, expected) != expected:
        raise ValueError(f"mask must be broadcastable to (…, n, m) = {expected}; got {tuple(mask.shape)}")


def _broadcast(*shapes: Sequence[int]) -> tuple[int, ...] | None:
    """The shape to which all of these are broadcast; None when they are not."""
    if all(shape == shapes[0] for shape in shapes):  # the usual case; torch takes as long for it as for a small product
        return tuple(shapes[0])
    try:
        return tuple(torch.broadcast_shapes(*shapes))
    except RuntimeError:
        return None
