"""Two-stream attention over relative positions: the attention of XLNet.

Chapter: ``book/algorithms/xlnet.ipynb``. Sources: Yang et al. 2019, "XLNet", sections 2.3 to 2.5; relative positions
after Dai et al. 2019, "Transformer-XL", section 3.3.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from companion.nn.attention import Attention, within_range
from companion.nn.masks import combine_masks, order_mask


class Relations(NamedTuple):
    """The relation of each query to each key: distance, segment and masks; the same in every layer.

    The queries are those of the content stream, one per position, then those of the query stream, one per target.

    Attributes:
        sinusoids: (2 length, d_model), one for each distance from ``length`` down to ``1 - length``.
        row: (batch or 1, queries, length), the row of ``sinusoids`` for the distance from query to key.
        other_segment: boolean (batch, queries, length), True = of different segments; None without segments.
        content_mask: boolean, broadcastable to (batch, heads, length, length), or None when every key is allowed.
        query_mask: boolean, broadcastable to (batch, heads, targets, length); None without targets.
    """

    sinusoids: Tensor
    row: Tensor
    other_segment: Tensor | None
    content_mask: Tensor | None
    query_mask: Tensor | None


def relate(
    x: Tensor,
    attention_mask: Tensor | None = None,
    token_type_ids: Tensor | None = None,
    order: Tensor | None = None,
    targets: Tensor | None = None,
) -> Relations:
    """Return the relations of the queries of both streams to the positions of a text.

    Args:
        x: (batch, length + targets, d_model), the content stream and after it the query stream.
        attention_mask: boolean (batch, length), True = a real token.
        token_type_ids: (batch, length), or None where there are no segments.
        order: (batch, length), each position's rank, or None when every position may attend to every other.
        targets: (batch, targets), the positions that the query stream predicts; they need an order.
    """
    batch, length = len(x), x.size(1) - (0 if targets is None else targets.size(1))
    position = torch.arange(length, device=x.device)
    queries = position[None] if targets is None else torch.cat([position.expand(batch, -1), targets], dim=1)
    other = None
    if token_type_ids is not None:
        own = token_type_ids.gather(1, queries.expand(batch, -1))
        other = own[:, :, None] != token_type_ids[:, None, :]  # (batch, query, key)
    real = None if attention_mask is None else attention_mask[:, None, :]  # (batch, 1, key)
    content = combine_masks(None if order is None else order_mask(order, own=True), real)
    if content is not None:  # no row is left without a key: padding attends to itself
        content = (content | torch.eye(length, dtype=torch.bool, device=x.device))[:, None]
    query = None
    if targets is not None and order is not None:
        earlier = order_mask(order).gather(1, targets[:, :, None].expand(-1, -1, length))
        query = (earlier if real is None else earlier & real)[:, None]  # (batch, 1, target, key)
    distance = queries[:, :, None] - position  # (batch or 1, query, key)
    return Relations(relative_sinusoids(length, x.size(-1)).to(x), length - distance, other, content, query)


def relative_sinusoids(length: int, d_model: int) -> Tensor:
    """Return the relative positional encoding: sines, then cosines, of each distance between two positions of a text.

    ``r_e[i] = sin(e / 10000^(2i / d_model))``, and the cosines after all sines (Dai et al. 2019, section 3.3). A
    distance is the query's position minus the key's: negative for later keys.

    Args:
        length: number of positions of the text.
        d_model: size of each vector, even.

    Returns:
        (2 length, d_model), for the distances ``length``, …, ``1 - length``; the first never occurs. In float32, as
        the published models computed it.

    Example:
        >>> relative_sinusoids(1, 2).round(decimals=2)  # distances 1 and 0
        tensor([[0.8400, 0.5400],
                [0.0000, 1.0000]])
    """
    distance = torch.arange(length, -length, -1, dtype=torch.float32)[:, None]
    frequency = 1 / 10_000 ** (torch.arange(0, d_model, 2, dtype=torch.float32) / d_model)
    return torch.cat([(distance * frequency).sin(), (distance * frequency).cos()], dim=-1)


class TwoStreamAttention(nn.Module):
    """Attention by content, distance and segment, from two streams to the content stream, with one set of weights.

    ``score_ij = [(q_i + u) k_j + (q_i + v) W^R r_(i-j) + (q_i + w) s_ij] / sqrt(d_k)`` (Dai et al. 2019, section 3.3;
    the last term Yang et al. 2019, section 2.5, where ``s_ij`` says whether i and j are of one segment).
    """

    def __init__(self, d_model: int, n_heads: int, *, dropout: float = 0.0) -> None:
        """Make the five projections, the biases u, v and w, and two vectors per head for the segments.

        Args:
            d_model: width of both streams, a multiple of ``n_heads``.
            n_heads: attention heads.
            dropout: probability of dropping an attention weight in training.
        """
        super().__init__()
        self.n_heads = n_heads
        self.query = nn.Linear(d_model, d_model, bias=False)
        self.key = nn.Linear(d_model, d_model, bias=False)
        self.value = nn.Linear(d_model, d_model, bias=False)
        self.position = nn.Linear(d_model, d_model, bias=False)
        self.output = nn.Linear(d_model, d_model, bias=False)
        self.content_bias = nn.Parameter(torch.zeros(d_model))
        self.position_bias = nn.Parameter(torch.zeros(d_model))
        self.segment_bias = nn.Parameter(torch.zeros(d_model))
        self.segment_embedding = nn.Parameter(torch.zeros(2, n_heads, d_model // n_heads))  # the same, another
        self.content_attention = Attention(n_heads, dropout=dropout)
        self.query_attention = Attention(n_heads, dropout=dropout)

    def forward(self, x: Tensor, relations: Relations) -> Tensor:
        """Attend from both streams to the content stream.

        Args:
            x: (batch, length + targets, d_model), the content stream and after it the query stream.
            relations: relations of the queries to the positions; see :func:`relate`.

        Returns:
            (batch, length + targets, d_model).
        """
        length = relations.row.size(-1)
        query, content = self.query(x), x[:, :length]
        key, value = self._split(self.key(content)), self._split(self.value(content))
        bias = self._bias(query, relations)  # (batch, heads, query, key)
        q = self._split(query + self.content_bias)  # (batch, heads, query, d_head)
        heads = self.content_attention.attend(
            q[:, :, :length], key, value, relations.content_mask, bias=bias[:, :, :length]
        )
        if relations.query_mask is not None:
            query_stream = self.query_attention.attend(
                q[:, :, length:], key, value, relations.query_mask, bias=bias[:, :, length:]
            )
            heads = torch.cat([heads, query_stream], dim=2)
        output: Tensor = self.output(heads.transpose(1, 2).flatten(2))
        return output

    def _bias(self, query: Tensor, relations: Relations) -> Tensor:
        """The terms of distance and segment in the scores."""
        position = self._split(self.position(relations.sinusoids)[None])  # (1, heads, 2 length, d_head)
        narrow = query.dtype
        if narrow == torch.float16:  # its largest number is 65,504, and the terms are scaled after the product
            query, position = query.float(), position.float()
        by_distance = self._split(query + self.position_bias) @ position.transpose(-2, -1)
        index = relations.row[:, None].expand(*by_distance.shape[:3], -1)
        bias = by_distance.gather(-1, index)  # (batch, heads, query, key)
        if relations.other_segment is not None:
            q = self._split(query + self.segment_bias)
            same, other = torch.einsum("bhqd,shd->sbhq", q, self.segment_embedding.to(q.dtype))[..., None]
            bias = bias + torch.where(relations.other_segment[:, None], other, same)
        scale: float = (query.size(-1) // self.n_heads) ** -0.5
        return within_range(bias * scale, narrow)

    def _split(self, x: Tensor) -> Tensor:
        """(batch, length, width) -> (batch, heads, length, d_head)."""
        return torch.unflatten(x, -1, (self.n_heads, -1)).transpose(1, 2)
