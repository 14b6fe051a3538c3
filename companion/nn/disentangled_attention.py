"""Disentangled attention: a word's vector and its distance are compared apart, each with the other's words.

Chapter: ``book/algorithms/encoders.ipynb``. Source: He et al. 2021, "DeBERTa: Decoding-enhanced BERT with Disentangled
Attention", section 3.1; the order of the distances in the third term is that of the released code.
"""

import math

import torch
from torch import Tensor, nn

from companion.nn.attention import Attention, within_range


def distance_index(length: int, span: int, device: torch.device | str | None = None) -> Tensor:
    """Return the row of the distance table for each query and key: ``clamp(i - j + span, 0, 2 span - 1)``.

    Args:
        length: number of positions.
        span: distances from ``-span`` to ``span - 1`` have a row each; farther ones have the last (eq. 3).
        device: device of the indices.

    Returns:
        (query, key), integers.

    Example:
        >>> distance_index(4, span=2)
        tensor([[2, 1, 0, 0],
                [3, 2, 1, 0],
                [3, 3, 2, 1],
                [3, 3, 3, 2]])
    """
    position = torch.arange(length, device=device)
    return (position[:, None] - position + span).clamp(0, 2 * span - 1)


def position_scores(query: Tensor, key: Tensor, query_of: Tensor, key_of: Tensor) -> Tensor:
    """Return the scores with a distance in them: content to position, plus position to content (eq. 4).

    ``s_ij = q_i . k^r_d + q^r_d . k_j`` with d the row of the distance from i to j (:func:`distance_index`).

    Args:
        query: (batch, heads, length, d_head), of the words.
        key: (batch, heads, length, d_head), of the words.
        query_of: (heads, 2 span, d_head), of the distances.
        key_of: (heads, 2 span, d_head), of the distances.

    Returns:
        (batch, heads, query, key).

    Example:
        >>> ones = torch.ones(1, 1, 3, 1)
        >>> position_scores(ones, ones, torch.zeros(1, 4, 1), torch.arange(4.0).view(1, 4, 1))[0, 0].int()
        tensor([[2, 1, 0],
                [3, 2, 1],
                [3, 3, 2]], dtype=torch.int32)
    """
    row = distance_index(query.size(-2), key_of.size(-2) // 2, query.device).expand(*query.shape[:2], -1, -1)
    content_to_position = (query @ key_of.mT).gather(-1, row)  # q_i . k^r at the row of (i, j)
    position_to_content = (query_of @ key.mT).gather(-2, row)  # q^r at the row of (i, j) . k_j
    return content_to_position + position_to_content


class DisentangledAttention(Attention):
    """Self-attention whose scores have three terms: word to word, word to distance, and distance to word.

    ``s_ij = (q_i . k_j + q_i . k^r_d + q^r_d . k_j) / sqrt(3 d_head)`` (eq. 4). No position is added to the words: the
    distances have vectors of their own, the same table in every layer, which each layer projects with matrices of its
    own. A fourth term, distance to distance, would be the same for all words and is left out.

    Example:
        >>> layer = DisentangledAttention(d_model=12, n_heads=3)
        >>> layer(torch.zeros(2, 5, 12), distances=torch.zeros(8, 12)).shape  # four distances to either side
        torch.Size([2, 5, 12])
    """

    def __init__(self, d_model: int, n_heads: int, *, dropout: float = 0.0) -> None:
        """Make the projections of words and of distances.

        Args:
            d_model: width of the input and of the output, and of a distance's vector.
            n_heads: attention heads, a divisor of ``d_model``.
            dropout: probability of dropping an attention weight in training.

        Raises:
            ValueError: when ``d_model`` is not a multiple of ``n_heads``.
        """
        if n_heads < 1 or d_model % n_heads:
            raise ValueError(f"d_model must be a multiple of n_heads >= 1; got {d_model} and {n_heads}")
        super().__init__(n_heads, dropout=dropout, scale=1 / math.sqrt(3 * d_model / n_heads))
        self.query, self.key, self.value = (nn.Linear(d_model, d_model) for _ in range(3))
        self.distance_query, self.distance_key = (nn.Linear(d_model, d_model) for _ in range(2))
        self.output = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor, distances: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attend from each position to all.

        Args:
            x: (batch, length, d_model).
            distances: (2 span, d_model), the table of the distances' vectors; see :func:`distance_index`.
            mask: boolean, broadcastable to (batch, heads, length, length); True = may attend.

        Returns:
            (batch, length, d_model).
        """
        q, k, v = (self._split(part(x)) for part in (self.query, self.key, self.value))
        rows = self._split(self.distance_query(distances)), self._split(self.distance_key(distances))
        assert self.scale is not None
        parts = (part.float() if part.dtype == torch.float16 else part for part in (q, k, *rows))
        bias = within_range(position_scores(*parts) * self.scale, q.dtype)
        heads = self.attend(q, k, v, mask, bias=bias)
        output: Tensor = self.output(heads.transpose(1, 2).flatten(2))
        return output

    def _split(self, x: Tensor) -> Tensor:
        """(…, length, d_model) -> (…, heads, length, d_head)."""
        return torch.unflatten(x, -1, (self.n_heads, -1)).transpose(-3, -2)
