"""Grouped-query attention: query heads share key/value heads in groups; positions are rotary.

Chapters: ``book/algorithms/modern_decoder.ipynb``, ``book/algorithms/encoders.ipynb``,
``book/algorithms/decoders_2026.ipynb``. Sources: Ainslie et al. 2023, "GQA", section 2.2; Su et al. 2021, "RoFormer",
section 3.2; OpenAI 2025, "gpt-oss-120b & gpt-oss-20b Model Card", section 2 (sinks).
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from companion.nn.attention import Attention
from companion.nn.kv_cache import KVCache
from companion.nn.positions import rotate


class GroupedQueryAttention(Attention):
    """Self-attention of ``n_heads`` query heads over ``n_kv_heads`` key/value heads, causal unless told otherwise.

    Query head h reads key/value head ``h // (n_heads / n_kv_heads)``, so a cache holds ``n_kv_heads`` keys and values
    per position. As many key/value heads as query heads is multi-head attention; a single one is multi-query attention
    (Shazeer 2019).
    """

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        n_kv_heads: int,
        d_head: int,
        *,
        bias: bool = False,
        norm: Callable[[int], nn.Module] | None = None,
        dropout: float = 0.0,
        scale: float | None = None,
        causal: bool = True,
        sinks: bool = False,
    ) -> None:
        """Make the four projections.

        Args:
            d_model: width of the input and of the output.
            n_heads: query heads.
            n_kv_heads: key/value heads, a divisor of ``n_heads``.
            d_head: width of a head, even.
            bias: whether the projections to queries, keys and values add a learned vector, as in Qwen2.
            norm: (d_head) -> a norm of each head's queries, or keys, before the rotation, as in Qwen3 and Gemma 3; no
                norm when not given.
            dropout: probability of dropping an attention weight in training.
            scale: multiplies the scores; 1 / sqrt(d_head) when not given.
            causal: whether no position attends to a later one; an encoder such as ModernBERT has False.
            sinks: whether each head has a learned score without a key or a value in its softmax, as in gpt-oss: what
                the head gives to it, it takes from all positions. It begins at 0.

        Raises:
            ValueError: when the heads do not form equal groups.
        """
        super().__init__(n_heads, dropout=dropout, scale=scale)
        if n_kv_heads < 1 or n_heads % n_kv_heads:
            raise ValueError(f"n_heads must be a multiple of n_kv_heads >= 1; got {n_heads} and {n_kv_heads}")
        self.n_kv_heads, self.causal = n_kv_heads, causal
        self.query = nn.Linear(d_model, n_heads * d_head, bias=bias)
        self.key = nn.Linear(d_model, n_kv_heads * d_head, bias=bias)
        self.value = nn.Linear(d_model, n_kv_heads * d_head, bias=bias)
        self.output = nn.Linear(n_heads * d_head, d_model, bias=False)
        self.query_norm = nn.Identity() if norm is None else norm(d_head)
        self.key_norm = nn.Identity() if norm is None else norm(d_head)
        self.sinks = nn.Parameter(torch.zeros(n_heads)) if sinks else None

    def forward(
        self, x: Tensor, rotation: tuple[Tensor, Tensor], mask: Tensor | None = None, cache: KVCache | None = None
    ) -> Tensor:
        """Attend from each position to itself and to those before it, or to all where ``causal`` is False.

        Args:
            x: (batch, length, d_model).
            rotation: cosines and sines of these positions; see :func:`companion.nn.positions.rotary`.
            mask: boolean, broadcastable to (batch, heads, length, past + length); True = may attend.
            cache: rotated keys and values of earlier positions, to which the new ones are appended.

        Returns:
            (batch, length, d_model).
        """
        q = self.query(x).unflatten(-1, (self.n_heads, -1)).transpose(1, 2)  # (batch, n_heads, length, d_head)
        k = self.key(x).unflatten(-1, (self.n_kv_heads, -1)).transpose(1, 2)  # (batch, n_kv_heads, length, d_head)
        v = self.value(x).unflatten(-1, (self.n_kv_heads, -1)).transpose(1, 2)
        q, k = rotate(self.query_norm(q), rotation), rotate(self.key_norm(k), rotation)
        if cache is not None:
            k, v = cache.append(k, v)
        group = self.n_heads // self.n_kv_heads
        k, v = k.repeat_interleave(group, dim=1), v.repeat_interleave(group, dim=1)
        sink = None if self.sinks is None else self.sinks[:, None, None]  # (n_heads, 1, 1)
        heads = self.attend(q, k, v, mask, causal=self.causal, sink=sink)
        output: Tensor = self.output(heads.transpose(1, 2).flatten(2))
        return output
