"""Attention as bytes: checked, packed for the wire, and made coarser where a page would grow too large.

Two encodings are used. Up to 65 536 weights travel as ``float16``, so the number shown is the model's own to three
digits. More travel as ``uint8``: ``code = round(levels · √a)``, read back as ``(code / levels)²``. The square root
keeps diffuse attention visible (1/512 is code 11, not 0); with 255 levels the error is at most ``√a / 255``. Chapter:
``book/concepts/attention.ipynb``.
"""

import zlib
from collections.abc import Sequence
from numbers import Number
from typing import Any

import numpy as np

EXACT_VALUES = 65_536
ROW_TOLERANCE = 0.01  # what 16-bit rounding can add to the sum of a row
LADDER = (255, 181, 127, 90, 63, 45, 31, 22, 15, 11, 7)


def as_array(attention: Any, *, square: bool = True) -> np.ndarray:
    """Return attention as float32 (layers, heads, queries, keys), whatever holds it.

    Args:
        attention: one array (layers, heads, n, n), or a sequence by layer of (heads, n, n) or (1, heads, n, n);
            numpy or torch, of any dtype, on any device.
        square: whether there must be as many queries as keys, as in self-attention.

    Raises:
        ValueError: on another rank, a batch, layers that do not have the same shape, or no weights: a fused kernel
            computes attention without them.
    """
    layers = attention if isinstance(attention, list | tuple) else ()
    none = attention is None or (layers is attention and not layers)
    if none or any(layer is None for layer in layers):
        raise ValueError(
            f"there are no attention weights to show; got {attention!r:.60}. A model of `transformers` keeps them with "
            f"attn_implementation='eager' and output_attentions=True"
        )
    if not hasattr(attention, "shape") and layers is not attention:
        raise ValueError(
            f"attention must be an array or a list by layer, such as `outputs.attentions` of a model of "
            f"`transformers`; got {type(attention).__name__}"
        )
    if hasattr(attention, "shape"):
        whole = _to_numpy(attention)
        if whole.ndim != 4:
            raise ValueError(f"attention must be (layers, heads, n, n) or a list by layer; got shape {whole.shape}")
    else:
        odd = next((layer for layer in layers if not _is_numbers(layer)), None)
        if odd is not None:
            raise ValueError(
                f"each layer of attention must be one array of numbers; got {type(odd).__name__}. Of what a model of "
                f"`transformers` generates, attentions[k] are those of token k"
            )
        whole = _stack([_to_numpy(layer) for layer in attention])
    if 0 in whole.shape or (square and whole.shape[2] != whole.shape[3]):
        sizes = "n, n" if square else "queries, keys"
        raise ValueError(f"attention must be (layers, heads, {sizes}), none of them 0; got shape {whole.shape}")
    return whole


def _stack(layers: Sequence[np.ndarray]) -> np.ndarray:
    single = []
    for number, layer in enumerate(layers):
        if layer.ndim == 4 and layer.shape[0] != 1:
            raise ValueError(f"one text at a time: layer {number} must be (1, heads, n, n); got shape {layer.shape}")
        if layer.ndim not in (3, 4):
            raise ValueError(
                f"layer {number} of attention must be (heads, n, n) or (1, heads, n, n); got shape {layer.shape}"
            )
        single.append(layer[0] if layer.ndim == 4 else layer)
        if single[-1].shape != single[0].shape:
            raise ValueError(
                f"every layer must have the shape of layer 0, {single[0].shape}; layer {number} has {single[-1].shape}"
            )
    return np.stack(single)


def _is_numbers(layer: Any) -> bool:
    """Whether a layer is an array, or nested lists of numbers as one reads them from JSON."""
    if hasattr(layer, "shape"):
        return True
    while isinstance(layer, list | tuple) and layer:
        layer = layer[0]
    return isinstance(layer, Number)


def _to_numpy(values: Any) -> np.ndarray:
    if hasattr(values, "detach"):  # torch, recognised without importing it; numpy has no bfloat16
        values = values.detach().float().cpu().numpy()
    return np.asarray(values, dtype=np.float32)


def check_weights(attention: np.ndarray) -> None:
    """Check that each row of attention weights is part of a distribution: none negative, a sum of at most 1.

    Raises:
        ValueError: on a weight that is not finite or is negative, or a row whose sum is above 1; the message names
            the place and the value.
    """
    sums = attention.sum(axis=-1)
    if not np.isfinite(sums).all():
        place, value = _first(~np.isfinite(attention), attention)
        raise ValueError(f"attention must be finite; got {value} at (layer, head, query, key) = {place}")
    if attention.min() < 0:
        place, value = _first(attention < 0, attention)
        raise ValueError(f"attention must not be negative; got {value:.3g} at (layer, head, query, key) = {place}")
    if sums.max() > 1 + ROW_TOLERANCE:
        place, value = _first(sums > 1 + ROW_TOLERANCE, sums)
        raise ValueError(
            f"each row of attention must sum to at most 1; got {value:.3f} at (layer, head, query) = {place}"
        )


def _first(wrong: np.ndarray, values: np.ndarray) -> tuple[tuple[int, ...], float]:
    place = tuple(int(i) for i in np.argwhere(wrong)[0])
    return place, float(values[place])


def encode(*attention: np.ndarray) -> tuple[str, bytes]:
    """Return the encoding's name and the bytes, row-major, of attention (layers, heads, queries, keys), one or more."""
    if sum(one.size for one in attention) <= EXACT_VALUES:
        return "float16", b"".join(one.astype("<f2").tobytes() for one in attention)
    return "uint8", b"".join(_codes(one).tobytes() for one in attention)


def _codes(attention: np.ndarray) -> np.ndarray:
    codes = np.sqrt(attention)
    codes *= LADDER[0]
    codes += 0.5
    rounded: np.ndarray = codes.clip(0, LADDER[0]).astype(np.uint8)
    return rounded


def coarsen(codes: bytes) -> tuple[int, bytes]:
    """Return ``uint8`` codes with as many levels as a page can carry, and that number of levels.

    A picture of millions of weights is drawn with less than a pixel for each, so it may have fewer shades: the
    levels kept are the most whose entropy stays within ``8 (65 536 / values)^0.38`` bits a weight, which lets the
    page grow more slowly than the number of weights.
    """
    values = np.frombuffer(codes, np.uint8)
    budget = 8 * (EXACT_VALUES / values.size) ** 0.38
    counts = np.bincount(values[:: max(1, values.size // 2**20)], minlength=256)
    for levels in LADDER:
        table = np.floor(np.arange(256) * levels / LADDER[0] + 0.5).astype(np.uint8)
        frequencies = np.bincount(table, weights=counts, minlength=256) / counts.sum()
        frequencies = frequencies[frequencies > 0]
        if -(frequencies * np.log2(frequencies)).sum() <= budget:
            break
    return levels, table[values].tobytes()


def deflate(data: bytes) -> bytes:
    """Return ``data`` in zlib's format: runs and repeats squeezed, or only the letters where there are none.

    Diffuse attention is close to noise, for which Huffman's code alone is both smaller and faster.
    """
    packers = (zlib.compressobj(4), zlib.compressobj(4, strategy=zlib.Z_HUFFMAN_ONLY))
    return min((packer.compress(data) + packer.flush() for packer in packers), key=len)
