"""Traits that hold one picture of attention: its tokens, its maps, and what is shown of them, checked.

Chapter: ``book/concepts/attention.ipynb``.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from companion.data.checks import check_list
from companion.widgets.encoding import as_array, check_weights, encode

if TYPE_CHECKING:
    from companion.widgets.live import AttentionTrace

KINDS = ("encoder", "decoder", "cross")
PAIRS = ("", "AA", "AB", "BA", "BB")
MOST_HEADS = 4  # over each other


def traced(seen: "AttentionTrace", kind: str = "") -> dict[str, Any]:
    """Return the traits that hold the picture of one run; of an encoder and a decoder, cross-attention comes first."""
    if seen.maps:
        return kinds_of(seen.tokens, seen.target, seen.maps, kind or "cross")
    return {**picture_of(seen.tokens, seen.attention, seen.segments), "model_layers": seen.model_layers}


def picture_of(
    tokens: Sequence[str], attention: Any, segments: Sequence[int] = (), name: str = "attention"
) -> dict[str, Any]:
    """Return the traits that hold the picture of one text.

    Args:
        tokens: n labels.
        attention: as :func:`companion.widgets.encoding.as_array` takes it.
        segments: n numbers, or none; see :class:`companion.widgets.AttentionView`.
        name: what an error calls the attention.

    Raises:
        ValueError: where they do not fit each other, or the weights are none.
    """
    tokens = _shown(tokens, "tokens")
    values = as_array(attention)
    if values.shape[-1] != len(tokens):
        raise ValueError(f"{name} is over {values.shape[-1]} tokens, but {len(tokens)} tokens were given")
    if segments and len(segments) != len(tokens):
        raise ValueError(f"segments must be one per token, {len(tokens)}; got {len(segments)}")
    check_weights(values)
    encoding, data = encode(values)
    shape, sentences = list(values.shape), [int(one) for one in segments]
    return {"tokens": tokens, "segments": sentences, "shape": shape, "encoding": encoding, "attention": data}


def kinds_of(source: Sequence[str], target: Sequence[str], maps: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Return the traits that hold the maps of an encoder and a decoder.

    Args:
        source: n labels.
        target: m labels.
        maps: by kind; see :meth:`companion.widgets.AttentionView.encoder_decoder`.
        kind: that is shown.

    Raises:
        ValueError: where they do not fit each other, or a kind is unknown or has no maps.
    """
    for name in maps:
        check_name("each kind of maps", name, KINDS)
    check_name("kind", kind, [name for name in KINDS if name in maps])
    source, target = _shown(source, "source"), _shown(target, "target")
    sizes = {"encoder": (source, source), "decoder": (target, target), "cross": (target, source)}
    arrays = {name: as_array(maps[name], square=False) for name in KINDS if name in maps}
    for name, values in arrays.items():
        expected = tuple(map(len, sizes[name]))
        if values.shape[2:] != expected:
            raise ValueError(
                f"{name} attention must be (layers, heads, {expected[0]}, {expected[1]}); got {values.shape}"
            )
        check_weights(values)
    encoding, data = encode(*arrays.values())
    kinds = [{"kind": name, "shape": list(values.shape)} for name, values in arrays.items()]
    shape = list(arrays[kind].shape)
    tokens = {"tokens": source, "target": target}
    return {**tokens, "kinds": kinds, "kind": kind, "shape": shape, "encoding": encoding, "attention": data}


def _shown(tokens: Sequence[str], name: str) -> list[str]:
    check_list(name, tokens)
    if not len(tokens):
        raise ValueError(f"{name} must hold at least one token; got none")
    return [half_characters_shown(token) for token in tokens]


def half_characters_shown(token: str) -> str:
    """The token with its code in the place of half of a character, which no page can be written with."""
    return "".join(f"⟨{ord(c):04X}⟩" if "\ud800" <= c <= "\udfff" else c for c in token)


def check_index(name: str, value: int, count: int) -> None:
    """Raise ValueError where ``value`` counts none of so many."""
    if not 0 <= value < count:
        raise ValueError(f"{name} must be 0 to {count - 1}; got {value}")


def check_name(what: str, name: str, allowed: Sequence[str]) -> None:
    """Raise ValueError on a name that is not allowed."""
    if name not in allowed:
        raise ValueError(f"{what} must be one of {', '.join(allowed)}; got {name!r}")


def check_pair(pair: str, segments: Sequence[int]) -> None:
    """Raise ValueError on an unknown pair of sentences, or one of a text that has not both."""
    check_name("pair", pair, PAIRS)
    if pair and not {0, 1} <= set(segments):
        raise ValueError(
            f"a pair needs segments with tokens of both sentences, 0 and 1; got {pair!r} and {list(segments)}"
        )


def check_overlay(overlay: Sequence[Sequence[int]], layers: int, heads: int) -> None:
    """Raise ValueError on more heads over each other than are told apart, or one that is not there."""
    if len(overlay) > MOST_HEADS:
        raise ValueError(f"overlay must hold at most {MOST_HEADS} heads; got {len(overlay)}")
    for one in overlay:
        if len(one) != 2:
            raise ValueError(f"each head of overlay must be (layer, head); got {tuple(one)}")
        check_index("layer", one[0], layers)
        check_index("head", one[1], heads)
