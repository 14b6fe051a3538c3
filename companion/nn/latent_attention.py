"""Multi-head latent attention (MLA): keys and values of all heads come from one short vector, which alone is kept.

Chapter: ``book/algorithms/decoders_2026.ipynb``. Sources: DeepSeek-AI 2024, "DeepSeek-V2", section 2.1; DeepSeek-AI
2024, "DeepSeek-V3", section 2.1.1, eq. 1 to 11.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from companion.nn.attention import Attention
from companion.nn.checks import check_sizes
from companion.nn.field_types import check_field_types
from companion.nn.kv_cache import KVCache
from companion.nn.norms import RMSNorm
from companion.nn.positions import rotate


@dataclass(frozen=True)
class LatentSizes:
    """The sizes of a latent attention; DeepSeek-V3 has 128 heads and 512, 128, 64, 128, 1536.

    Attributes:
        n_heads: attention heads.
        d_latent: width of the latent, from which keys and values are made.
        d_head: width of a head's queries and keys without position.
        d_rotary: width of the rotary key that all heads share, and of each head's rotary query; even.
        d_value: width of a head's values.
        d_query_latent: width of the latent from which the queries are made; none when not given.
    """

    n_heads: int
    d_latent: int
    d_head: int
    d_rotary: int
    d_value: int
    d_query_latent: int | None = None

    def __post_init__(self) -> None:
        """Raise ValueError on what is no size of an axis, or an odd ``d_rotary``."""
        check_field_types(self)
        check_sizes(self, ("n_heads", "d_latent", "d_head", "d_rotary", "d_value", "d_query_latent"))
        if self.d_rotary % 2:
            raise ValueError(f"d_rotary must be even, as pairs of dimensions rotate; got {self.d_rotary}")


class LatentAttention(Attention):
    """Causal self-attention that caches one latent and one rotary key per position, whatever the number of heads.

    ``c = norm(W_DKV x)``, ``k = [W_UK c, RoPE(W_KR x)]``, ``v = W_UV c``: each head's key is a part made from the
    latent, without position, and a rotary part that all heads share (DeepSeek-V2, eq. 9 to 19).

    Example:
        >>> from companion.nn.positions import rotary, rotary_frequencies
        >>> sizes = LatentSizes(n_heads=4, d_latent=6, d_head=8, d_rotary=2, d_value=5)
        >>> layer, cache = LatentAttention(16, sizes), KVCache(capacity=8)
        >>> positions = torch.arange(3)[None]
        >>> layer(torch.zeros(1, 3, 16), rotary(positions, rotary_frequencies(2)), cache=cache).shape
        torch.Size([1, 3, 16])
        >>> [part.shape[-1] for part in cache.filled()]  # of 4 * (8 + 5) numbers that multi-head attention keeps
        [6, 2]
    """

    def __init__(self, d_model: int, sizes: LatentSizes, *, norm_eps: float = 1e-6, dropout: float = 0.0) -> None:
        """Make the projections.

        Args:
            d_model: width of the input and of the output.
            sizes: of heads and latents.
            norm_eps: number added to the mean square in the norms of the latents.
            dropout: probability of dropping an attention weight in training.
        """
        d_key = sizes.d_head + sizes.d_rotary
        super().__init__(sizes.n_heads, dropout=dropout, scale=d_key**-0.5)
        self.sizes = sizes
        d_query = sizes.d_query_latent or d_model
        self.query_down = nn.Linear(d_model, d_query, bias=False) if sizes.d_query_latent else nn.Identity()
        self.query_norm = RMSNorm(d_query, norm_eps) if sizes.d_query_latent else nn.Identity()
        self.query = nn.Linear(d_query, sizes.n_heads * d_key, bias=False)
        self.down = nn.Linear(d_model, sizes.d_latent, bias=False)
        self.latent_norm = RMSNorm(sizes.d_latent, norm_eps)
        self.rotary_key = nn.Linear(d_model, sizes.d_rotary, bias=False)
        self.key_up = nn.Linear(sizes.d_latent, sizes.n_heads * sizes.d_head, bias=False)
        self.value_up = nn.Linear(sizes.d_latent, sizes.n_heads * sizes.d_value, bias=False)
        self.output = nn.Linear(sizes.n_heads * sizes.d_value, d_model, bias=False)

    def forward(
        self, x: Tensor, rotation: tuple[Tensor, Tensor], mask: Tensor | None = None, cache: KVCache | None = None
    ) -> Tensor:
        """Attend from each position to itself and to those before it.

        Args:
            x: (batch, length, d_model).
            rotation: cosines and sines of these positions, of ``d_rotary / 2`` pairs.
            mask: boolean, broadcastable to (batch, heads, length, past + length); True = may attend.
            cache: latents and rotary keys of earlier positions, to which the new ones are appended.

        Returns:
            (batch, length, d_model).
        """
        q, q_rotary = self._queries(x, rotation)
        latent, k_rotary = self._kept(x, rotation, cache)  # (batch, 1, past + length, d_latent or d_rotary)
        k, v = (self._heads(up(latent[:, 0])) for up in (self.key_up, self.value_up))
        k = torch.cat([k, k_rotary.expand(-1, self.n_heads, -1, -1)], dim=-1)
        heads = self.attend(torch.cat([q, q_rotary], dim=-1), k, v, mask, causal=True)
        output: Tensor = self.output(heads.transpose(1, 2).flatten(2))
        return output

    def absorbed(
        self, x: Tensor, rotation: tuple[Tensor, Tensor], mask: Tensor | None = None, cache: KVCache | None = None
    ) -> Tensor:
        """Compute the same without a key or a value of any head: queries are taken to the latents.

        ``q . (W_UK c) = (W_UK^T q) . c``, and the weighted mean of ``W_UV c`` is W_UV of the weighted mean of c. So all
        heads read the same latents, as in multi-query attention; arguments are those of :meth:`forward`.
        """
        sizes, (q, q_rotary) = self.sizes, self._queries(x, rotation)
        latent, k_rotary = self._kept(x, rotation, cache)
        up_keys = self.key_up.weight.view(self.n_heads, sizes.d_head, sizes.d_latent)
        up_values = self.value_up.weight.view(self.n_heads, sizes.d_value, sizes.d_latent)
        key = torch.cat([latent, k_rotary], dim=-1).expand(-1, self.n_heads, -1, -1)
        means = self.attend(  # (batch, heads, length, d_latent)
            torch.cat([q @ up_keys, q_rotary], dim=-1), key, latent.expand(-1, self.n_heads, -1, -1), mask, causal=True
        )
        output: Tensor = self.output((means @ up_values.mT).transpose(1, 2).flatten(2))
        return output

    def _queries(self, x: Tensor, rotation: tuple[Tensor, Tensor]) -> list[Tensor]:
        """Queries without position and rotary ones, (batch, heads, length, d_head or d_rotary) each."""
        q = self._heads(self.query(self.query_norm(self.query_down(x))))
        plain, turning = q.split([self.sizes.d_head, self.sizes.d_rotary], dim=-1)
        return [plain, rotate(turning, rotation)]

    def _kept(self, x: Tensor, rotation: tuple[Tensor, Tensor], cache: KVCache | None) -> tuple[Tensor, Tensor]:
        """Latents and rotary keys of all positions, of one head each."""
        latent, key = self.latent_norm(self.down(x))[:, None], rotate(self.rotary_key(x)[:, None], rotation)
        return (latent, key) if cache is None else cache.append(latent, key)

    def _heads(self, x: Tensor) -> Tensor:
        """(batch, length, heads d) -> (batch, heads, length, d)."""
        return torch.unflatten(x, -1, (self.n_heads, -1)).transpose(1, 2)
