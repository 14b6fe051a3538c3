"""Attention masks: which query may attend to which key, boolean, True = may attend.

Chapters: ``book/concepts/attention.ipynb``, ``book/algorithms/xlnet.ipynb``,
``book/algorithms/modern_decoder.ipynb``, ``book/algorithms/encoders.ipynb``. Sources: Vaswani et al. 2017, section
3.2.3 (causal); Yang et al. 2019, section 2.3 (factorisation order); Jiang et al. 2023, "Mistral 7B", section 2 (sliding
window); Warner et al. 2024, "ModernBERT", section 2.1 (to both sides).
"""

import torch
from torch import Tensor


def causal_mask(query_length: int, key_length: int | None = None, device: torch.device | str | None = None) -> Tensor:
    """Return the causal mask: each query may attend to its own position and to those before it.

    Args:
        query_length: n; the queries are the *last* n of the key positions.
        key_length: m ≥ n; n when not given.
        device: device of the mask.

    Returns:
        boolean (n, m), True = may attend; the lower triangle where n = m.

    Raises:
        ValueError: when the lengths are not 1 ≤ n ≤ m.

    Example:
        >>> causal_mask(2, 4).int()
        tensor([[1, 1, 1, 0],
                [1, 1, 1, 1]], dtype=torch.int32)
    """
    key_length = query_length if key_length is None else key_length
    if not 1 <= query_length <= key_length:
        raise ValueError(f"a causal mask needs 1 <= query_length <= key_length; got {query_length} and {key_length}")
    offset = key_length - query_length
    return torch.ones(query_length, key_length, dtype=torch.bool, device=device).tril(offset)


def order_mask(order: Tensor, *, own: bool = False) -> Tensor:
    """Return the mask of a factorisation order: each position may attend to those of lower rank.

    Position i may attend to position j when ``rank_j < rank_i`` (Yang et al. 2019, section 2.3); with ``own`` when
    ``rank_j <= rank_i``. Ranks 0, 1, 2, … from left to right give the causal mask. Positions of equal rank are
    predicted independently: none of them is context for another.

    Args:
        order: (…, length), integers: the rank of each position in the order.
        own: whether a position may attend to itself and to those of its own rank, as the content stream does; the
            query stream, which predicts, does not.

    Returns:
        boolean (…, query, key), True = may attend.

    Raises:
        TypeError: when the ranks are not integers.
        ValueError: when there is no rank at all.

    Example:
        >>> order_mask(torch.tensor([2, 0, 1])).int()  # the second position comes first
        tensor([[0, 1, 1],
                [0, 0, 0],
                [0, 1, 0]], dtype=torch.int32)
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
    """Return the mask of a sliding window: no query attends ``window`` or more tokens back.

    Args:
        query_length: n; the queries are the last n of the key positions.
        key_length: m >= n.
        window: number of positions that a query attends to, its own included.
        device: device of the mask.

    Returns:
        boolean (n, m), True = near enough, later positions included; None when every key is near enough.

    Example:
        >>> window_mask(2, 4, window=2).int()  # to be combined with the causal mask
        tensor([[0, 1, 1, 1],
                [0, 0, 1, 1]], dtype=torch.int32)
    """
    if key_length <= window:
        return None
    query = torch.arange(key_length - query_length, key_length, device=device)[:, None]
    return torch.arange(key_length, device=device) > query - window


def band_mask(length: int, reach: int, device: torch.device | str | None = None) -> Tensor:
    """Return the mask of a window to both sides: a query attends to keys at most ``reach`` tokens away.

    Args:
        length: number of positions.
        reach: largest distance.
        device: device of the mask.

    Returns:
        boolean (length, length), True = may attend.

    Raises:
        ValueError: when there is no position, or ``reach`` is negative.

    Example:
        >>> band_mask(4, reach=1).int()
        tensor([[1, 1, 0, 0],
                [1, 1, 1, 0],
                [0, 1, 1, 1],
                [0, 0, 1, 1]], dtype=torch.int32)
    """
    if length < 1 or reach < 0:
        raise ValueError(f"length must be at least 1 and reach not negative; got {length} and {reach}")
    position = torch.arange(length, device=device)
    return (position[:, None] - position).abs() <= reach


def key_mask(attention_mask: Tensor | None) -> Tensor | None:
    """Return a padding mask (batch, key) in the shape (batch, 1, 1, key), for all heads and queries; None for None."""
    return None if attention_mask is None else attention_mask[:, None, None, :]


def combine_masks(*masks: Tensor | None) -> Tensor | None:
    """Return the conjunction of the masks that are given, broadcast against each other; None when none is given."""
    combined: Tensor | None = None
    for mask in masks:
        combined = mask if combined is None else combined if mask is None else combined & mask
    return combined
