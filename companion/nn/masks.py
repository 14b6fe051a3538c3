"""Attention masks: which query may attend to which key, boolean, True = may attend.

Chapters: ``book/concepts/attention.ipynb``, ``book/algorithms/xlnet.ipynb``,
``book/algorithms/modern_decoder.ipynb``. Sources: Vaswani et al. 2017, section 3.2.3 (causal); Yang et al. 2019,
section 2.3 (factorisation order); Jiang et al. 2023, "Mistral 7B", section 2 (sliding window).
"""

import torch
from torch import Tensor


def causal_mask(query_length: int, key_length: int | None = None, device: torch.device | str | None = None) -> Tensor:
    """Let each query attend to its own position and to those before it.

    Args:
        query_length: n; the queries are the *last* n of the key positions.
        key_length: m ≥ n; n when it is not given.
        device: where the mask is made.

    Returns:
        boolean (n, m), True = may attend; the lower triangle where n = m.

    Raises:
        ValueError: when the lengths are not 1 ≤ n ≤ m.
    """
    key_length = query_length if key_length is None else key_length
    if not 1 <= query_length <= key_length:
        raise ValueError(f"a causal mask needs 1 <= query_length <= key_length; got {query_length} and {key_length}")
    offset = key_length - query_length
    return torch.ones(query_length, key_length, dtype=torch.bool, device=device).tril(offset)


def order_mask(order: Tensor, *, own: bool = False) -> Tensor:
    """Let each position attend to those that come before it in a factorisation order, wherever they stand.

    Position i may see position j when ``rank_j < rank_i`` (Yang et al. 2019, section 2.3); with ``own`` when
    ``rank_j <= rank_i``. Ranks 0, 1, 2, … from left to right give the causal mask. Positions of one rank are told
    at the same time: none of them is known when the others are predicted.

    Args:
        order: (…, length), integers: the rank of each position in the order.
        own: a position may see itself, and those of its own rank: what the content stream may. The query stream,
            which predicts, may not.

    Returns:
        boolean (…, query, key), True = may attend.

    Raises:
        TypeError: when the ranks are not integers.
        ValueError: when there is no rank at all.
    """
    if order.is_floating_point() or order.is_complex() or order.dtype == torch.bool:
        raise TypeError(f"order must be integers, the rank of each position; got {order.dtype}")
    if order.dim() < 1 or order.size(-1) == 0:
        raise ValueError(f"order must be (…, length), its length not 0; got shape {tuple(order.shape)}")
    query, key = order[..., :, None], order[..., None, :]
    return key <= query if own else key < query


def window_mask(
    query_length: int, key_length: int, window: int, device: torch.device | str | None = None
) -> Tensor | None:
    """Hide what lies ``window`` tokens back or more: a query sees its own position and ``window - 1`` before it.

    Args:
        query_length: n; the queries are the last n of the key positions.
        key_length: m >= n.
        window: tokens.
        device: where the mask is made.

    Returns:
        boolean (n, m), True = near enough, later positions included; None when nothing is too far.
    """
    if key_length <= window:
        return None
    query = torch.arange(key_length - query_length, key_length, device=device)[:, None]
    return torch.arange(key_length, device=device) > query - window


def combine_masks(*masks: Tensor | None) -> Tensor | None:
    """Return the mask of what every given mask allows, broadcast against each other; None when none is given."""
    combined: Tensor | None = None
    for mask in masks:
        combined = mask if combined is None else combined if mask is None else combined & mask
    return combined
