"""ModernBERT: the pieces of today's decoder in an encoder, most of whose layers look at neighbours only.

Chapter: ``book/algorithms/encoders.ipynb``. Source: Warner et al. 2024, "Smarter, Better, Faster, Longer: A Modern
Bidirectional Encoder", section 2.1 and table 4.
"""

import math
from dataclasses import dataclass

from torch import Tensor, nn

from companion.checkpoints import modern_bert
from companion.checkpoints.pretrained import Pretrained
from companion.nn.checks import check_dropout, check_eps, check_heads, check_ids, check_mask, check_sizes
from companion.nn.feed_forward import GeGLU
from companion.nn.field_types import check_field_types
from companion.nn.grouped_query_attention import GroupedQueryAttention
from companion.nn.initialization import normal_initialization
from companion.nn.masks import band_mask, combine_masks, key_mask
from companion.nn.positions import real_positions, rotary, rotary_frequencies


@dataclass(frozen=True)
class ModernBertConfig:
    """The sizes of a ModernBERT.

    Attributes:
        vocab_size: number of tokens in the vocabulary.
        context_length: number of positions, the length of the longest text.
        n_layers: number of blocks.
        n_heads: attention heads per block.
        d_model: width of the residual stream.
        d_ff: width inside the feed-forward network.
        reach: largest distance that a local layer attends to, to either side.
        global_every: every how many layers one attends to all tokens, the first layer being the first of them.
        global_base: base of the rotary positions in the global layers.
        local_base: base of the rotary positions in the local layers.
        dropout: probability of dropping an attention weight in training.
        norm_eps: number added to the variance in LayerNorm.
        tied: whether the output matrix is the token embedding.

    Example:
        >>> config = ModernBertConfig(vocab_size=10, context_length=8, n_layers=7, n_heads=2, d_model=12, d_ff=8)
        >>> [layer for layer in range(7) if config.is_global(layer)]
        [0, 3, 6]
    """

    vocab_size: int
    context_length: int
    n_layers: int
    n_heads: int
    d_model: int
    d_ff: int
    reach: int = 64
    global_every: int = 3
    global_base: float = 160_000.0
    local_base: float = 10_000.0
    dropout: float = 0.0
    norm_eps: float = 1e-5
    tied: bool = True

    def __post_init__(self) -> None:
        """Raise ValueError on a size out of range, or heads that do not fit."""
        check_field_types(self)
        names = ("vocab_size", "context_length", "n_layers", "n_heads", "d_model", "d_ff", "reach", "global_every")
        check_sizes(self, names)
        check_dropout(self.dropout)
        check_eps(self.norm_eps)
        check_heads(self.d_model, self.n_heads)
        for name in ("global_base", "local_base"):
            base = getattr(self, name)
            if not 1 < base < math.inf:  # NaN too
                raise ValueError(f"{name} must be finite and above 1; got {base}")
            rotary_frequencies(self.d_model // self.n_heads, base)  # checks that the width of a head is even

    def is_global(self, layer: int) -> bool:
        """Return whether a layer attends to all tokens."""
        return layer % self.global_every == 0


class ModernBertBlock(nn.Module):
    """A pre-LN block without biases; the first has no norm before its attention, as the embeddings have one."""

    def __init__(self, config: ModernBertConfig, layer: int) -> None:
        """Make the two sublayers and their norms."""
        super().__init__()
        d_head = config.d_model // config.n_heads
        self.attention_norm = _norm(config) if layer else nn.Identity()
        self.attention = GroupedQueryAttention(
            config.d_model, config.n_heads, config.n_heads, d_head, dropout=config.dropout, causal=False
        )
        self.feed_forward_norm = _norm(config)
        self.feed_forward = GeGLU(config.d_model, config.d_ff)

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor], mask: Tensor | None) -> Tensor:
        """(batch, length, d_model) -> the same; the arguments are those of :class:`GroupedQueryAttention`."""
        x = x + self.attention(self.attention_norm(x), rotation, mask)
        x = x + self.feed_forward(self.feed_forward_norm(x))
        return x


class ModernBert(nn.Module):
    """The ModernBERT encoder: embeddings, blocks that attend locally or globally, and a norm.

    Example:
        >>> import torch
        >>> sizes = {"vocab_size": 10, "context_length": 8, "n_layers": 4, "n_heads": 2, "d_model": 12, "d_ff": 8}
        >>> ModernBert(ModernBertConfig(**sizes, reach=1))(torch.tensor([[1, 2, 3]])).shape
        torch.Size([1, 3, 12])
    """

    def __init__(self, config: ModernBertConfig) -> None:
        """Make a model with BERT's initial weights, N(0, 0.02)."""
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.embedding_norm = _norm(config)
        self.blocks = nn.ModuleList(ModernBertBlock(config, layer) for layer in range(config.n_layers))
        self.final_norm = _norm(config)
        self.apply(normal_initialization)

    def forward(self, ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Return the contextual vector of each token.

        Args:
            ids: (batch, length) token ids.
            attention_mask: boolean (batch, length), True = a real token, False = padding that no token attends to.

        Returns:
            (batch, length, d_model).

        Raises:
            ValueError: on ids of the wrong shape or outside the vocabulary, an empty text, or one longer than the
                context, or a mask of another shape than the text's.
            TypeError: on a mask that is not boolean.
        """
        config = self.config
        check_ids(ids, config.vocab_size, config.context_length)
        check_mask(attention_mask, *ids.shape)
        positions, d_head = real_positions(ids, attention_mask), config.d_model // config.n_heads
        everywhere = key_mask(attention_mask)  # (batch, 1, 1, key)
        near = combine_masks(band_mask(ids.size(1), config.reach, ids.device), everywhere)
        rotations = [
            rotary(positions, rotary_frequencies(d_head, base, device=ids.device))
            for base in (config.local_base, config.global_base)
        ]
        x = self.embedding_norm(self.token_embedding(ids))
        for layer, block in enumerate(self.blocks):
            far = config.is_global(layer)
            x = block(x, rotations[far], everywhere if far else near)
        hidden: Tensor = self.final_norm(x)
        return hidden


class ModernBertForMaskedLM(Pretrained):
    """ModernBERT with its masked-language-model head, exact enough to load the published one.

    Example:
        >>> import torch
        >>> sizes = {"vocab_size": 10, "context_length": 8, "n_layers": 1, "n_heads": 2, "d_model": 12, "d_ff": 8}
        >>> ModernBertForMaskedLM(ModernBertConfig(**sizes))(torch.tensor([[1, 2, 3]])).shape
        torch.Size([1, 3, 10])
    """

    config_class = ModernBertConfig
    checkpoint_family = modern_bert

    def __init__(self, config: ModernBertConfig) -> None:
        """Make the body and its head."""
        super().__init__()
        self.config = config
        self.encoder = ModernBert(config)
        self.transform = nn.Linear(config.d_model, config.d_model, bias=False)
        self.transform_norm = _norm(config)
        self.decoder = nn.Linear(config.d_model, config.vocab_size)
        self.apply(normal_initialization)
        if config.tied:
            self.decoder.weight = self.encoder.token_embedding.weight

    def forward(self, ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Return the logits of every token at each position; arguments and errors are :meth:`ModernBert.forward`'s.

        Returns:
            logits (batch, length, vocab_size).
        """
        hidden = self.transform(self.encoder(ids, attention_mask))
        logits: Tensor = self.decoder(self.transform_norm(nn.functional.gelu(hidden)))
        return logits


def _norm(config: ModernBertConfig) -> nn.LayerNorm:
    return nn.LayerNorm(config.d_model, eps=config.norm_eps, bias=False)
