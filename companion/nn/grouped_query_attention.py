"""Attention whose heads share keys and values in groups, turned by rotary positions, inside a window or not.

Chapter: ``book/algorithms/modern_decoder.ipynb``. Sources: Ainslie et al. 2023, "GQA", section 2.2; Su et al. 2021,
"RoFormer", section 3.2; Jiang et al. 2023, "Mistral 7B", section 2 (the window).
"""

from torch import Tensor, nn

from companion.nn.attention import Attention
from companion.nn.kv_cache import KVCache
from companion.nn.norms import RMSNorm
from companion.nn.positions import rotate


class GroupedQueryAttention(Attention):
    """``n_heads`` heads that ask, ``n_kv_heads`` that are asked.

    Head h reads the keys and values of group ``h // (n_heads / n_kv_heads)``, so a cache holds ``n_kv_heads`` keys and
    values a position. One group a head is multi-head attention; one group for all is multi-query attention
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
        norm_eps: float | None = None,
        dropout: float = 0.0,
    ) -> None:
        """Make the four projections.

        Args:
            d_model: width of what comes in and goes out.
            n_heads: heads that ask.
            n_kv_heads: heads that are asked; divides ``n_heads``.
            d_head: width of a head, even.
            bias: add a learned vector to queries, keys and values, as Qwen2 does.
            norm_eps: when given, queries and keys are normalised head by head before they turn, as in Qwen3.
            dropout: see :class:`companion.nn.attention.Attention`.

        Raises:
            ValueError: when the heads do not form equal groups.
        """
        super().__init__(n_heads, dropout=dropout)
        if n_kv_heads < 1 or n_heads % n_kv_heads:
            raise ValueError(f"n_heads must be a multiple of n_kv_heads >= 1; got {n_heads} and {n_kv_heads}")
        self.n_kv_heads = n_kv_heads
        self.query = nn.Linear(d_model, n_heads * d_head, bias=bias)
        self.key = nn.Linear(d_model, n_kv_heads * d_head, bias=bias)
        self.value = nn.Linear(d_model, n_kv_heads * d_head, bias=bias)
        self.output = nn.Linear(n_heads * d_head, d_model, bias=False)
        self.query_norm = nn.Identity() if norm_eps is None else RMSNorm(d_head, norm_eps)
        self.key_norm = nn.Identity() if norm_eps is None else RMSNorm(d_head, norm_eps)

    def forward(
        self, x: Tensor, rotation: tuple[Tensor, Tensor], mask: Tensor | None = None, cache: KVCache | None = None
    ) -> Tensor:
        """Let each position read those before it.

        Args:
            x: (batch, length, d_model).
            rotation: of these positions; see :func:`companion.nn.positions.rotary`.
            mask: boolean, broadcastable to (batch, heads, length, past + length); True = may attend.
            cache: the keys (turned already) and values of earlier positions, to which the new ones are added.

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
        heads = self.attend(q, k, v, mask, causal=True)
        return self.output(heads.transpose(1, 2).flatten(2))
