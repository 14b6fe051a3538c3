"""T5: an encoder–decoder Transformer with relative position bias, trained text to text.

Chapter: ``book/algorithms/t5.ipynb``. Sources: Raffel et al. 2020, "Exploring the Limits of Transfer Learning with a
Unified Text-to-Text Transformer", section 2.1; Shazeer 2020, "GLU Variants Improve Transformer", for T5 1.1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from companion.checkpoints import t5
from companion.checkpoints.pretrained import Pretrained
from companion.models.transformer import EncoderDecoder, Stack
from companion.nn.attention import MultiHeadAttention
from companion.nn.checks import check_dropout, check_eps, check_heads, check_sizes
from companion.nn.field_types import check_field_types
from companion.nn.kv_cache import DecoderCache
from companion.nn.norms import RMSNorm
from companion.nn.relative_bias import RelativeBias, check_buckets


@dataclass(frozen=True)
class T5Config:
    """The sizes of a T5.

    Attributes:
        vocab_size: number of tokens in the vocabulary of source and target.
        n_layers: number of blocks of the encoder.
        n_heads: attention heads per block.
        d_model: width of the residual stream.
        n_decoder_layers: number of blocks of the decoder; as many as the encoder's when not given.
        d_head: width of a head, whatever d_model is; d_model / n_heads when not given.
        d_ff: width inside the feed-forward network; 4 d_model when not given.
        n_buckets: number of buckets of distances, each with one bias per head.
        max_distance: distance from which on all share the last bucket.
        gated: whether the feed-forward network is the gated GELU of T5 1.1, in place of T5's ReLU.
        tied: whether the output matrix is the token embedding, as in T5 but not in T5 1.1.
        scaled: whether the decoder's output is multiplied by ``d_model^-0.5`` before the output matrix; where it is
            tied, as in T5 and T5 1.1, when not given.
        dropout: probability of dropping an activation in training.
        norm_eps: number added to the mean square in RMSNorm.
        start_id: id of the token that the decoder begins with.
        context_length: capacity of a cache in tokens. The bias is defined for any distance, so longer texts work too.
    """

    vocab_size: int
    n_layers: int
    n_heads: int
    d_model: int
    n_decoder_layers: int | None = None
    d_head: int | None = None
    d_ff: int | None = None
    n_buckets: int = 32
    max_distance: int = 128
    gated: bool = False
    tied: bool = True
    scaled: bool | None = None
    dropout: float = 0.0
    norm_eps: float = 1e-6
    start_id: int = 0
    context_length: int = 512

    def __post_init__(self) -> None:
        """Raise ValueError on a size below 1, sizes that do not fit together, or a start outside the vocabulary."""
        check_field_types(self)
        check_sizes(self, ("vocab_size", "n_layers", "n_heads", "d_model", "n_decoder_layers", "d_head", "d_ff"))
        check_buckets(self.n_buckets, self.max_distance)
        check_sizes(self, ("n_buckets", "max_distance", "context_length"))
        check_dropout(self.dropout)
        check_eps(self.norm_eps)
        if self.d_head is None:
            check_heads(self.d_model, self.n_heads)
        if not 0 <= self.start_id < self.vocab_size:
            raise ValueError(f"start_id must be in the vocabulary, 0 to {self.vocab_size - 1}; got {self.start_id}")


class FeedForward(nn.Module):
    """The feed-forward network ``ReLU(x W_1) W_2``, or gated ``(GELU(x W_1) * x V) W_2`` (Shazeer 2020, eq. 6)."""

    def __init__(self, config: T5Config) -> None:
        """Make the two projections, or three, without biases."""
        super().__init__()
        d_ff = config.d_ff or 4 * config.d_model
        self.expand = nn.Linear(config.d_model, d_ff, bias=False)
        self.gate = nn.Linear(config.d_model, d_ff, bias=False) if config.gated else None
        self.contract = nn.Linear(d_ff, config.d_model, bias=False)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(…, d_model) -> (…, d_model), each position for itself."""
        x = F.relu(self.expand(x)) if self.gate is None else F.gelu(self.expand(x), approximate="tanh") * self.gate(x)
        output: Tensor = self.contract(self.dropout(x))
        return output


class EncoderBlock(nn.Module):
    """A pre-LN encoder block: normalise, attend, add; normalise, feed forward, add."""

    def __init__(self, config: T5Config) -> None:
        """Make the two sublayers and their norms."""
        super().__init__()
        self.attention_norm = RMSNorm(config.d_model, config.norm_eps)
        self.attention = _attention(config)
        self.feed_forward_norm = RMSNorm(config.d_model, config.norm_eps)
        self.feed_forward = FeedForward(config)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, mask: Tensor | None, bias: Tensor) -> Tensor:
        """(batch, length, d_model) -> the same; mask and bias are broadcastable to (batch, heads, length, length)."""
        x = x + self.dropout(self.attention(self.attention_norm(x), mask=mask, bias=bias))
        x = x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))
        return x


class DecoderBlock(EncoderBlock):
    """A pre-LN decoder block: causal self-attention, cross-attention to the encoder's output, feed forward."""

    def __init__(self, config: T5Config) -> None:
        """Make the three sublayers and their norms."""
        super().__init__(config)
        self.cross_attention_norm = RMSNorm(config.d_model, config.norm_eps)
        self.cross_attention = _attention(config)

    def forward(  # type: ignore[override]  # it has the memory beside x
        self, x: Tensor, memory: Tensor, mask: Tensor | None, bias: Tensor, cache: DecoderCache | None = None
    ) -> Tensor:
        """(batch, length, d_model) -> the same; ``mask`` masks the memory, (batch, source length, d_model)."""
        own, read = (cache.own, cache.memory) if cache else (None, None)
        x = x + self.dropout(self.attention(self.attention_norm(x), causal=True, cache=own, bias=bias))
        x = x + self.dropout(self.cross_attention(self.cross_attention_norm(x), memory, mask, cache=read))
        x = x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))
        return x


class T5Stack(Stack):
    """A stack of blocks with one relative position bias for all of them, and a norm at the end."""

    def __init__(self, config: T5Config, blocks: Sequence[EncoderBlock], *, both_ways: bool) -> None:
        """Keep the blocks."""
        super().__init__(blocks)
        self.relative_bias = RelativeBias(config.n_heads, config.n_buckets, config.max_distance, both_ways=both_ways)
        self.final_norm = RMSNorm(config.d_model, config.norm_eps)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, *arguments: Tensor | None, cache: Sequence[DecoderCache] | None = None) -> Tensor:
        """(batch, length, d_model) -> the same; the blocks take ``arguments`` between x and the bias."""
        past = cache[0].length if cache else 0
        bias = self.relative_bias(x.size(1), past + x.size(1))
        x = super().forward(self.dropout(x), *arguments, bias, cache=cache)
        hidden: Tensor = self.dropout(self.final_norm(x))
        return hidden


class T5(EncoderDecoder, Pretrained):
    """A text-to-text encoder–decoder model, exact enough to load any T5 or T5 1.1 checkpoint.

    Example:
        >>> import torch
        >>> model = T5(T5Config(vocab_size=10, n_layers=1, n_heads=2, d_model=12))
        >>> model(torch.tensor([[1, 2, 3]]), torch.tensor([[0, 4]])).shape  # the logits of the target's next token
        torch.Size([1, 2, 10])
    """

    config_class = T5Config
    checkpoint_family = t5

    def __init__(self, config: T5Config) -> None:
        """Make a model with the initial weights of T5's release; small queries replace the scaling of the scores."""
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.d_model)
        depth = config.n_decoder_layers or config.n_layers
        self.encoder = T5Stack(config, [EncoderBlock(config) for _ in range(config.n_layers)], both_ways=True)
        self.decoder = T5Stack(config, [DecoderBlock(config) for _ in range(depth)], both_ways=False)
        self.unembedding = None if config.tied else nn.Linear(config.d_model, config.vocab_size, bias=False)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=_initial_std(name, parameter, config.d_model, config.n_heads))

    def embed(self, ids: Tensor, attention_mask: Tensor | None, past: int = 0) -> Tensor:
        """Return token embeddings; distances enter in the attention."""
        embedded: Tensor = self.token_embedding(ids)
        return embedded

    def unembed(self, hidden: Tensor) -> Tensor:
        """Return the logits; the output matrix is the token embedding, or one of its own."""
        if self.config.tied if self.config.scaled is None else self.config.scaled:
            hidden = hidden * self.config.d_model**-0.5
        output = self.token_embedding if self.unembedding is None else self.unembedding
        return F.linear(hidden, output.weight)


def _attention(config: T5Config) -> MultiHeadAttention:
    """T5's attention: no biases in the projections, and no scaling of the scores."""
    return MultiHeadAttention(
        config.d_model, config.n_heads, d_head=config.d_head, bias=False, dropout=config.dropout, scale=1.0
    )


def _initial_std(name: str, weight: Tensor, d_model: int, n_heads: int) -> float:
    """1 / sqrt(inputs) for a matrix, less for a query; 1 for the embedding and the output matrix."""
    if name in ("token_embedding.weight", "unembedding.weight"):
        return 1.0
    inputs = d_model if name.endswith("table.weight") else weight.size(1)
    d_head = weight.size(0) // n_heads if name.endswith("query.weight") else 1
    std: float = (inputs * d_head) ** -0.5
    return std
