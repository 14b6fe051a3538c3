"""Scaled dot-product attention, and multi-head attention.

Chapters: ``book/concepts/attention.ipynb``; ``book/algorithms/decoders_2026.ipynb`` (sinks). Sources: Vaswani et al.
2017, "Attention Is All You Need", section 3.2; OpenAI 2025, "gpt-oss-120b & gpt-oss-20b Model Card", section 2.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from companion.nn.checks import check_attention
from companion.nn.kv_cache import KVCache
from companion.nn.machine import fused_attention_is_fast
from companion.nn.masks import causal_mask, combine_masks
from companion.nn.projections import projected


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    *,
    bias: Tensor | None = None,
    scale: float | None = None,
    sink: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the average of the values for each query, weighted by how well its keys match it, and the weights.

    ``weights = softmax(query @ key.T / sqrt(d_k))`` and ``output = weights @ value`` (Vaswani et al. 2017, eq. 1).

    Args:
        query: (…, n, d_k).
        key: (…, m, d_k).
        value: (…, m, d_v).
        mask: boolean, broadcastable to (…, n, m); True = may attend. A row that may attend to nothing gets
            weights of zero, and so an output of zero.
        bias: added to the scores, broadcastable to (…, n, m); T5 and XLNet put relative positions here.
        scale: multiplies the scores; 1 / sqrt(d_k) when not given.
        sink: a score beside those of the keys, broadcastable to (…, n, 1), that has no value.

    Returns:
        output (…, n, d_v) and weights (…, n, m); each row of weights that may attend to something sums to 1, or with a
        sink to less.

    Raises:
        ValueError: on a tensor of rank below 2, sizes that do not fit, or a mask of the wrong shape.
        TypeError: on a mask that is not boolean.

    Example:
        >>> key, value = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[10.0], [20.0]])
        >>> output, weights = scaled_dot_product_attention(torch.zeros(1, 2), key, value)
        >>> output.tolist(), weights.tolist()
        ([[15.0]], [[0.5, 0.5]])
    """
    check_attention(query, key, value, mask)
    weights = _weights(query, key, mask, bias, scale, sink).to(value.dtype)
    return weights @ value, weights


def _weights(
    query: Tensor,
    key: Tensor,
    mask: Tensor | None,
    bias: Tensor | None,
    scale: float | None,
    sink: Tensor | None,
    no_row_is_empty: bool = False,
) -> Tensor:
    """The weights of :func:`scaled_dot_product_attention`, of float16 in single precision."""
    scale = 1 / math.sqrt(query.size(-1)) if scale is None else scale
    if query.dtype == torch.float16:  # its largest number is 65,504: the kernels, too, keep scores in single precision
        query, key = query.float(), key.float()
    scores = (query * scale) @ key.transpose(-2, -1)  # (…, n, m); there are fewer numbers to scale in the queries
    if bias is not None:
        scores = scores + bias
    if mask is not None and no_row_is_empty:  # a sum, whose gradient is no work
        scores = scores.add_(scores.new_zeros(mask.shape).masked_fill_(~mask, -math.inf))
    elif mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    if sink is not None:
        scores = torch.cat([scores, sink.expand(*scores.shape[:-1], 1).to(scores)], dim=-1)
    weights = scores.softmax(dim=-1)[..., : key.size(-2)]
    if mask is None or no_row_is_empty:
        return weights
    return weights.masked_fill(~mask, 0.0)  # the softmax of a row of -inf is NaN


class Attention(nn.Module):
    """Attention without projections, the part of an attention layer that has no parameters.

    ``observers`` are functions ``weights -> weights`` over (batch, heads, query, key); see :mod:`companion.nn.capture`.
    Without any, torch's fused kernel computes the same output and never stores the weights; where it is the slower way
    to train in half precision, the products one by one take its place.
    """

    def __init__(self, n_heads: int, *, dropout: float = 0.0, scale: float | None = None) -> None:
        """Set the number of heads, the dropout probability and the scale of the scores.

        Args:
            n_heads: attention heads.
            dropout: probability of dropping an attention weight in training.
            scale: multiplies the scores; 1 / sqrt(d_k) when not given.
        """
        super().__init__()
        self.n_heads = n_heads
        self.dropout = dropout
        self.scale = scale
        self.observers: list[Callable[[Tensor], Tensor]] = []

    def attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None = None,
        *,
        causal: bool = False,
        bias: Tensor | None = None,
        sink: Tensor | None = None,
    ) -> Tensor:
        """Return the weighted average of the values for each query, by the fused kernel where nothing is observed.

        Args:
            query: (batch, heads, n, d_k).
            key: (batch, heads, m, d_k).
            value: (batch, heads, m, d_v).
            mask: see :func:`scaled_dot_product_attention`.
            causal: allow no position to attend to a later one; the queries are the last n of the key positions.
            bias: see :func:`scaled_dot_product_attention`.
            sink: see :func:`scaled_dot_product_attention`; the fused kernel has none, and is not used then.

        Returns:
            (batch, heads, n, d_v).
        """
        check_attention(query, key, value, mask)
        causal = causal and query.size(-2) > 1  # one query, the last, may attend to all keys
        dropout = self.dropout if self.training else 0.0
        if not self.observers and sink is None and not _is_slow(query):
            return _fused(query, key, value, mask, causal, bias, self.scale, dropout)
        visible = _with_causal(mask, causal, query, key)  # of causality alone, each position sees itself
        weights = _weights(query, key, visible, bias, self.scale, sink, mask is None).to(value.dtype)
        for observer in self.observers:
            weights = observer(weights)  # (batch, heads, query, key)
        return (F.dropout(weights, dropout) if dropout else weights) @ value


class MultiHeadAttention(Attention):
    """Multi-head attention: attention in ``n_heads`` subspaces side by side, mixed by an output matrix.

    ``head_i = Attention(Q W_i^Q, K W_i^K, V W_i^V)``; ``output = Concat(head_1 … head_h) W^O``
    (Vaswani et al. 2017, section 3.2.2). The matrices of all heads are stored side by side in one ``nn.Linear`` each.

    Example:
        >>> layer = MultiHeadAttention(d_model=12, n_heads=3)
        >>> layer(torch.zeros(2, 5, 12), causal=True).shape
        torch.Size([2, 5, 12])
    """

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        *,
        d_head: int | None = None,
        bias: bool = True,
        dropout: float = 0.0,
        scale: float | None = None,
    ) -> None:
        """Make the four projections.

        Args:
            d_model: width of the input and of the output.
            n_heads: attention heads.
            d_head: width of a head; d_model / n_heads when not given.
            bias: whether each projection adds a learned vector.
            dropout: probability of dropping an attention weight in training.
            scale: multiplies the scores; 1 / sqrt(d_k) when not given.

        Raises:
            ValueError: when ``d_model`` is not a multiple of ``n_heads`` and no ``d_head`` is given.
        """
        super().__init__(n_heads, dropout=dropout, scale=scale)
        if n_heads < 1 or (d_head is None and d_model % n_heads):
            raise ValueError(f"d_model must be a multiple of n_heads >= 1; got d_model={d_model}, n_heads={n_heads}")
        width = n_heads * (d_head or d_model // n_heads)
        self.query = nn.Linear(d_model, width, bias=bias)
        self.key = nn.Linear(d_model, width, bias=bias)
        self.value = nn.Linear(d_model, width, bias=bias)
        self.output = nn.Linear(width, d_model, bias=bias)

    def forward(
        self,
        query: Tensor,
        memory: Tensor | None = None,
        mask: Tensor | None = None,
        *,
        causal: bool = False,
        cache: KVCache | None = None,
        bias: Tensor | None = None,
    ) -> Tensor:
        """Attend from each position of ``query`` to those of ``memory``, or of ``query`` itself (self-attention).

        Args:
            query: (batch, n, d_model), projected to the queries.
            memory: (batch, m, d_model), projected to keys and values; ``query`` itself when not given.
            mask: boolean, broadcastable to (batch, heads, n, m); True = may attend.
            causal: allow no position to attend to a later one.
            cache: keys and values of earlier positions, to which the new ones are appended. Those of a ``memory``
                are appended at the first call and read at every later one.
            bias: added to the scores before the softmax, broadcastable to (batch, heads, n, m).

        Returns:
            (batch, n, d_model).
        """
        if memory is None:
            q, k, v = map(self._split, projected(query, (self.query, self.key, self.value)))
        else:
            q = self._split(self.query(query))
            if cache is not None and cache.length:
                k, v = cache.filled()
            else:
                k, v = map(self._split, projected(memory, (self.key, self.value)))
        if cache is not None and (memory is None or not cache.length):
            k, v = cache.append(k, v)
        heads = self.attend(q, k, v, mask, causal=causal, bias=bias)
        output: Tensor = self.output(heads.transpose(1, 2).flatten(2))
        return output

    def _split(self, x: Tensor) -> Tensor:
        """(batch, length, width) -> (batch, heads, length, d_head)."""
        return torch.unflatten(x, -1, (self.n_heads, -1)).transpose(1, 2)


def within_range(bias: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the terms of scores in a narrower dtype; those beyond its range become its largest numbers.

    Example:
        >>> within_range(torch.tensor([1.0, 1e9]), torch.float16).tolist()
        [1.0, 65504.0]
    """
    if bias.dtype == dtype:
        return bias
    limit = torch.finfo(dtype).max
    return bias.clamp(-limit, limit).to(dtype)


def _fused(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None,
    causal: bool,
    bias: Tensor | None,
    scale: float | None,
    dropout: float,
) -> Tensor:
    """The output of torch's fused kernel, with zeros in the rows that may attend to nothing."""
    if mask is None and bias is None and q.size(-2) == k.size(-2):
        return F.scaled_dot_product_attention(q, k, v, is_causal=causal, dropout_p=dropout, scale=scale)
    mask = _with_causal(mask, causal, q, k)
    if mask is None:
        return F.scaled_dot_product_attention(q, k, v, bias, dropout, scale=scale)
    empty = ~mask.any(-1, keepdim=True)  # (…, n, 1); kernels disagree on a row that may attend to nothing
    allowed = mask | empty
    added = allowed if bias is None else bias.masked_fill(~allowed, -math.inf)
    return F.scaled_dot_product_attention(q, k, v, added, dropout, scale=scale).masked_fill(empty, 0.0)


def _is_slow(query: Tensor) -> bool:
    """Whether the fused kernel is the slower way to train in half precision, which the machine was measured for."""
    half = query.dtype == torch.bfloat16 and query.requires_grad
    return half and not fused_attention_is_fast(query.device.type, query.dtype)


def _with_causal(mask: Tensor | None, causal: bool, q: Tensor, k: Tensor) -> Tensor | None:
    """The mask of the keys that ``mask`` allows, and causality too if ``causal``."""
    return combine_masks(mask, causal_mask(q.size(-2), k.size(-2), q.device) if causal else None)
