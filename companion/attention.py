"""Scaled dot-product attention, masks, many heads, and the cache of keys and values.

Chapter: ``book/concepts/attention.ipynb``. Source: Vaswani et al. 2017, "Attention Is All You Need", section 3.2.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def scaled_dot_product_attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Average the values, each weighted by how well its key matches the query.

    ``weights = softmax(query @ key.T / sqrt(d_k))`` and ``output = weights @ value`` (Vaswani et al. 2017, eq. 1).

    Args:
        query: (…, n, d_k).
        key: (…, m, d_k).
        value: (…, m, d_v).
        mask: boolean, broadcastable to (…, n, m); True = may attend. A row that may attend to nothing gets
            weights of zero, and so an output of zero.

    Returns:
        output (…, n, d_v) and weights (…, n, m); each row of weights that may attend to something sums to 1.

    Raises:
        ValueError: on a tensor of rank below 2, sizes that do not fit, or a mask of the wrong shape.
        TypeError: on a mask that is not boolean.
    """
    _check_shapes(query, key, value, mask)
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))  # (…, n, m)
    if mask is None:
        weights = scores.softmax(dim=-1)
    else:
        weights = scores.masked_fill(~mask, -math.inf).softmax(dim=-1)
        weights = weights.masked_fill(~mask, 0.0)  # the softmax of a row of -inf is NaN
    return weights @ value, weights


def _check_shapes(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> None:
    for name, tensor in (("query", query), ("key", key), ("value", value)):
        if tensor.dim() < 2:
            raise ValueError(f"{name} must have at least 2 axes (…, length, size); got shape {tuple(tensor.shape)}")
    if query.size(-1) != key.size(-1):
        raise ValueError(f"query and key must have the same last size d_k; got {query.size(-1)} and {key.size(-1)}")
    if key.size(-2) != value.size(-2):
        raise ValueError(f"key and value must have the same length m; got {key.size(-2)} and {value.size(-2)}")
    try:
        leading = torch.broadcast_shapes(query.shape[:-2], key.shape[:-2])
        torch.broadcast_shapes(leading, value.shape[:-2])
    except RuntimeError:
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in (query, key, value))
        raise ValueError(f"query, key and value must agree in the axes before the last two; got {shapes}") from None
    if mask is None:
        return
    if mask.dtype != torch.bool:
        raise TypeError(f"mask must be boolean, True = may attend; got {mask.dtype}")
    expected = (*leading, query.size(-2), key.size(-2))
    try:
        fits = torch.broadcast_shapes(mask.shape, expected) == torch.Size(expected)
    except RuntimeError:
        fits = False
    if not fits:
        raise ValueError(f"mask must be broadcastable to (…, n, m) = {expected}; got {tuple(mask.shape)}")


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


class KVCache:
    """The keys and values of one layer's past positions, so that no position is computed twice.

    Space for ``capacity`` positions is taken at the first :meth:`append`; later calls only fill it.
    """

    def __init__(self, capacity: int) -> None:
        """Make an empty cache that can hold ``capacity`` positions."""
        self.capacity = capacity
        self.length = 0
        self._key: Tensor | None = None
        self._value: Tensor | None = None

    def append(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Add the new positions' keys and values, both (batch, heads, new, d_head), and return all so far.

        Raises:
            ValueError: when the capacity would be exceeded, or the sizes are not those of the earlier positions.
        """
        end = self.length + key.size(-2)
        if end > self.capacity:
            raise ValueError(f"the cache holds {self.capacity} positions; {end} were asked for")
        if self._key is None or self._value is None:
            batch, heads, _, d_head = key.shape
            self._key = key.new_empty(batch, heads, self.capacity, d_head)
            self._value = torch.empty_like(self._key)
        if key.shape[:2] != self._key.shape[:2]:  # one row would silently be copied to all
            expected = tuple(self._key.shape[:2])
            raise ValueError(f"the cache holds (batch, heads) = {expected}; got {tuple(key.shape[:2])}")
        self._key[:, :, self.length : end] = key
        self._value[:, :, self.length : end] = value
        self.length = end
        return self._key[:, :, :end], self._value[:, :, :end]


class MultiHeadAttention(nn.Module):
    """Attention in ``n_heads`` subspaces side by side, mixed by an output matrix.

    ``head_i = Attention(Q W_i^Q, K W_i^K, V W_i^V)``; ``output = Concat(head_1 … head_h) W^O``
    (Vaswani et al. 2017, section 3.2.2). The matrices of all heads are stored side by side in one ``nn.Linear`` each.

    ``observers`` are functions ``weights -> weights`` over (batch, heads, query, key); see :mod:`companion.capture`.
    Without any, torch's fused kernel computes the same output and never stores the weights.
    """

    def __init__(self, d_model: int, n_heads: int, *, bias: bool = True, dropout: float = 0.0) -> None:
        """Make the four projections, each (d_model, d_model).

        Raises:
            ValueError: when ``d_model`` is not a multiple of ``n_heads``.
        """
        super().__init__()
        if n_heads < 1 or d_model % n_heads:
            raise ValueError(f"d_model must be a multiple of n_heads >= 1; got d_model={d_model}, n_heads={n_heads}")
        self.n_heads = n_heads
        self.dropout = dropout
        self.query = nn.Linear(d_model, d_model, bias=bias)
        self.key = nn.Linear(d_model, d_model, bias=bias)
        self.value = nn.Linear(d_model, d_model, bias=bias)
        self.output = nn.Linear(d_model, d_model, bias=bias)
        self.observers: list[Callable[[Tensor], Tensor]] = []

    def forward(
        self,
        query: Tensor,
        memory: Tensor | None = None,
        mask: Tensor | None = None,
        *,
        causal: bool = False,
        cache: KVCache | None = None,
    ) -> Tensor:
        """Let each position of ``query`` (batch, n, d_model) read from ``memory`` (batch, m, d_model).

        Args:
            query: where the questions come from.
            memory: where keys and values come from; ``query`` itself when not given (self-attention).
            mask: boolean, broadcastable to (batch, heads, n, m); True = may attend.
            causal: allow no position to attend to a later one.
            cache: the keys and values of earlier positions; the new ones are added to it.

        Returns:
            (batch, n, d_model).
        """
        memory = query if memory is None else memory
        q, k, v = (self._split(f(x)) for f, x in ((self.query, query), (self.key, memory), (self.value, memory)))
        if cache is not None:
            k, v = cache.append(k, v)
        _check_shapes(q, k, v, mask)
        dropout = self.dropout if self.training else 0.0
        attend = self._explicit if self.observers else _fused
        heads = attend(q, k, v, mask, causal and q.size(-2) > 1, dropout)  # one query, the last, may see all keys
        return self.output(heads.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        """(batch, length, d_model) -> (batch, heads, length, d_head)."""
        return x.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)

    def _explicit(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, dropout: float) -> Tensor:
        _, weights = scaled_dot_product_attention(q, k, v, _both(mask, causal, q, k))
        for observer in self.observers:
            weights = observer(weights)  # (batch, heads, query, key)
        return F.dropout(weights, dropout) @ v


def _fused(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, dropout: float) -> Tensor:
    if mask is None and q.size(-2) == k.size(-2):
        return F.scaled_dot_product_attention(q, k, v, is_causal=causal, dropout_p=dropout)
    mask = _both(mask, causal, q, k)
    if mask is None:
        return F.scaled_dot_product_attention(q, k, v, dropout_p=dropout)
    empty = ~mask.any(-1, keepdim=True)  # (…, n, 1); kernels disagree on a row that may attend to nothing
    return F.scaled_dot_product_attention(q, k, v, mask | empty, dropout).masked_fill(empty, 0.0)


def _both(mask: Tensor | None, causal: bool, q: Tensor, k: Tensor) -> Tensor | None:
    """The mask of those keys that ``mask`` and, where asked for, causality allow."""
    if not causal:
        return mask
    earlier = causal_mask(q.size(-2), k.size(-2), q.device)
    return earlier if mask is None else mask & earlier
