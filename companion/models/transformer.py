"""The Transformer of 2017: an encoder, and a decoder with cross-attention to its output.

The blocks are post-LN, as in the paper: normalise *after* adding. Chapter: ``book/concepts/transformer.ipynb``.
Source: Vaswani et al. 2017, "Attention Is All You Need", section 3.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from companion.nn.attention import MultiHeadAttention
from companion.nn.checks import check_dropout, check_eps, check_heads, check_ids, check_mask, check_sizes
from companion.nn.feed_forward import ACTIVATIONS, FeedForward
from companion.nn.field_types import check_field_types
from companion.nn.kv_cache import DecoderCache
from companion.nn.masks import key_mask
from companion.nn.positions import real_positions, sinusoidal_positions


@dataclass(frozen=True)
class TransformerConfig:
    """The sizes of a Transformer; the paper's base model is 6 layers, 8 heads, d_model 512, d_ff 2048.

    Attributes:
        vocab_size: number of tokens in the vocabulary of source and target.
        context_length: number of positions, of the source and of the target.
        n_layers: number of blocks of the encoder, and as many of the decoder.
        n_heads: attention heads per block.
        d_model: width of the residual stream.
        d_ff: width inside the feed-forward network; 4 d_model when not given.
        dropout: probability of dropping an activation in training.
        activation: "relu", as in the paper, or another of ``ACTIVATIONS``.
        norm_eps: number added to the variance in LayerNorm.
        start_id: id of the token that the decoder begins with.
    """

    vocab_size: int
    context_length: int
    n_layers: int
    n_heads: int
    d_model: int
    d_ff: int | None = None
    dropout: float = 0.0
    activation: str = "relu"
    norm_eps: float = 1e-5
    start_id: int = 0

    def __post_init__(self) -> None:
        """Raise ValueError on a size below 1, heads that do not divide d_model, or an unknown activation."""
        check_field_types(self)
        check_sizes(self, ("vocab_size", "context_length", "n_layers", "n_heads", "d_model", "d_ff"))
        check_dropout(self.dropout)
        check_eps(self.norm_eps)
        check_heads(self.d_model, self.n_heads)
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}; got {self.activation!r}")
        if not 0 <= self.start_id < self.vocab_size:
            raise ValueError(f"start_id must be in the vocabulary, 0 to {self.vocab_size - 1}; got {self.start_id}")


class EncoderBlock(nn.Module):
    """A post-LN encoder block: attend, add, normalise; feed forward, add, normalise (section 3.1)."""

    def __init__(
        self, d_model: int, n_heads: int, d_ff: int, activation: str, norm_eps: float = 1e-5, dropout: float = 0.0
    ) -> None:
        """Make the two sublayers and their norms; the arguments are fields of :class:`TransformerConfig`."""
        super().__init__()
        self.attention = MultiHeadAttention(d_model, n_heads, dropout=dropout)
        self.attention_norm = nn.LayerNorm(d_model, eps=norm_eps)
        self.feed_forward = FeedForward(d_model, d_ff, activation)
        self.feed_forward_norm = nn.LayerNorm(d_model, eps=norm_eps)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None, *, first_only: bool = False) -> Tensor:
        """Return the hidden states after this block.

        Args:
            x: (batch, length, d_model).
            mask: broadcastable to (batch, heads, length, length); True = may attend.
            first_only: compute the first position alone; it attends to all.

        Returns:
            (batch, length, d_model), or (batch, 1, d_model).
        """
        query, memory = (x[:, :1], x) if first_only else (x, None)
        x = self.attention_norm(query + self.dropout(self.attention(query, memory, mask)))
        x = self.feed_forward_norm(x + self.dropout(self.feed_forward(x)))
        return x


class DecoderBlock(EncoderBlock):
    """A post-LN decoder block: causal self-attention, cross-attention to the encoder's output, feed forward."""

    def __init__(
        self, d_model: int, n_heads: int, d_ff: int, activation: str, norm_eps: float = 1e-5, dropout: float = 0.0
    ) -> None:
        """Make the three sublayers and their norms."""
        super().__init__(d_model, n_heads, d_ff, activation, norm_eps, dropout)
        self.cross_attention = MultiHeadAttention(d_model, n_heads, dropout=dropout)
        self.cross_attention_norm = nn.LayerNorm(d_model, eps=norm_eps)

    def forward(  # type: ignore[override]  # it has the memory beside x
        self, x: Tensor, memory: Tensor, memory_mask: Tensor | None = None, cache: DecoderCache | None = None
    ) -> Tensor:
        """Return the hidden states of the target after this block.

        Args:
            x: (batch, length, d_model), hidden states of the target.
            memory: (batch, source length, d_model), the encoder's output.
            memory_mask: broadcastable to (batch, heads, length, source length); True = may attend.
            cache: caches of the positions before those of x.

        Returns:
            (batch, length, d_model).
        """
        own, read = (cache.own, cache.memory) if cache else (None, None)
        x = self.attention_norm(x + self.dropout(self.attention(x, causal=True, cache=own)))
        attended = self.cross_attention(x, memory, memory_mask, cache=read)
        x = self.cross_attention_norm(x + self.dropout(attended))
        x = self.feed_forward_norm(x + self.dropout(self.feed_forward(x)))
        return x


class Stack(nn.Module):
    """A stack of blocks, one after the other; each gets the same further arguments."""

    def __init__(self, blocks: Sequence[nn.Module]) -> None:
        """Keep the blocks."""
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor, *arguments: Tensor | None, cache: Sequence[DecoderCache] | None = None) -> Tensor:
        """(batch, length, d_model) -> the same."""
        for layer, block in enumerate(self.blocks):
            x = block(x, *arguments, cache=cache[layer]) if cache else block(x, *arguments)
        return x


class EncoderDecoder(nn.Module, ABC):
    """An encoder–decoder model: the source is encoded once, and read by each position of the target.

    Attributes:
        config: sizes; ``vocab_size`` and ``context_length``, the capacity of a cache, among them.
        encoder: stack of blocks over the source.
        decoder: stack of blocks over the target.
        longest: number of positions of the longest text; no limit when None.
    """

    config: Any
    encoder: Stack
    decoder: Stack
    longest: int | None = None

    @abstractmethod
    def embed(self, ids: Tensor, attention_mask: Tensor | None, past: int = 0) -> Tensor:
        """Return the embeddings (batch, length, d_model) of ids (batch, length) that follow ``past`` others."""

    @abstractmethod
    def unembed(self, hidden: Tensor) -> Tensor:
        """Return the logits (batch, length, vocab_size) of the decoder's output (batch, length, d_model)."""

    def forward(self, ids: Tensor, decoder_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Return the logits of the target's next token, at each of its positions.

        Args:
            ids: (batch, source length), the source.
            decoder_ids: (batch, length), the target so far; it begins with ``config.start_id``.
            attention_mask: boolean (batch, source length), True = a real token, False = padding.

        Returns:
            logits (batch, length, vocab_size).

        Raises:
            ValueError: on ids of the wrong rank or outside the vocabulary, an empty text or one longer than
                ``longest``, another number of rows in source and target, or a mask of another shape than the source's.
            TypeError: on a mask that is not boolean.
        """
        return self.decode(decoder_ids, self.encode(ids, attention_mask), attention_mask)

    def encode(self, ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Return the encoder's output (batch, source length, d_model) for a source (batch, source length)."""
        check_ids(ids, self.config.vocab_size, self.longest)
        check_mask(attention_mask, *ids.shape)
        memory: Tensor = self.encoder(self.embed(ids, attention_mask), key_mask(attention_mask))
        return memory

    def decode(
        self,
        decoder_ids: Tensor,
        memory: Tensor,
        attention_mask: Tensor | None = None,
        cache: Sequence[DecoderCache] | None = None,
    ) -> Tensor:
        """Return the logits of the target's next token, given the output of :meth:`encode`.

        Args:
            decoder_ids: (batch, length); with a cache, only the new tokens.
            memory: (batch, source length, d_model), the encoder's output.
            attention_mask: padding mask of the source.
            cache: one cache per decoder block; see :meth:`new_cache`.

        Returns:
            logits (batch, length, vocab_size).
        """
        past = cache[0].length if cache else 0
        check_ids(decoder_ids, self.config.vocab_size, self.longest, past, "decoder_ids")
        if decoder_ids.size(0) != memory.size(0):
            raise ValueError(f"source and target must have as many rows; got {memory.size(0)} and {len(decoder_ids)}")
        check_mask(attention_mask, *memory.shape[:2])
        x = self.embed(decoder_ids, None, past)
        return self.unembed(self.decoder(x, memory, key_mask(attention_mask), cache=cache))

    def new_cache(self, memory_length: int) -> list[DecoderCache]:
        """Return an empty cache for each block of the decoder, for a source of ``memory_length`` tokens."""
        return [DecoderCache(self.config.context_length, memory_length) for _ in self.decoder.blocks]


class Transformer(EncoderDecoder):
    """The encoder–decoder model of the paper, with one embedding for source, target and output (section 3.4).

    Example:
        >>> import torch
        >>> model = Transformer(TransformerConfig(vocab_size=10, context_length=8, n_layers=1, n_heads=2, d_model=12))
        >>> model(torch.tensor([[1, 2, 3]]), torch.tensor([[0, 4]])).shape  # the logits of the target's next token
        torch.Size([1, 2, 10])
    """

    positions: Tensor  # (context_length, d_model), fixed

    def __init__(self, config: TransformerConfig) -> None:
        """Make a model with weights drawn as Glorot & Bengio 2010 propose, and embeddings N(0, 1 / d_model)."""
        super().__init__()
        self.config, self.longest = config, config.context_length
        d_ff = config.d_ff or 4 * config.d_model
        sizes = (config.d_model, config.n_heads, d_ff, config.activation, config.norm_eps, config.dropout)
        self.token_embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.encoder = Stack([EncoderBlock(*sizes) for _ in range(config.n_layers)])
        self.decoder = Stack([DecoderBlock(*sizes) for _ in range(config.n_layers)])
        self.dropout = nn.Dropout(config.dropout)
        self.register_buffer("positions", sinusoidal_positions(config.context_length, config.d_model), persistent=False)
        for name, parameter in self.named_parameters():
            if name.endswith("weight") and parameter.dim() == 2:
                nn.init.xavier_uniform_(parameter)
        nn.init.normal_(self.token_embedding.weight, std=config.d_model**-0.5)

    def embed(self, ids: Tensor, attention_mask: Tensor | None, past: int = 0) -> Tensor:
        """Return token embeddings, times ``sqrt(d_model)``, plus positional encodings."""
        tokens = self.token_embedding(ids) * self.config.d_model**0.5
        embedded: Tensor = self.dropout(tokens + self.positions[real_positions(ids, attention_mask, past)])
        return embedded

    def unembed(self, hidden: Tensor) -> Tensor:
        """Return the logits; the output matrix is the token embedding."""
        return F.linear(hidden, self.token_embedding.weight)
