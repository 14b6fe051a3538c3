"""GPT-2, a decoder-only Transformer: a stack of causal self-attention blocks that predicts the next token.

Chapter: ``book/algorithms/gpt.ipynb``. Source: Radford et al. 2019, "Language Models are Unsupervised Multitask
Learners", section 2.3 (pre-LN blocks, learned positions, tied embedding), after Radford et al. 2018.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from companion.checkpoints import gpt2
from companion.checkpoints.pretrained import Pretrained
from companion.models.gpt_decode_step import GPTDecodeStep, is_plain
from companion.nn.attention import MultiHeadAttention
from companion.nn.checks import check_dropout, check_eps, check_heads, check_ids, check_mask, check_sizes
from companion.nn.feed_forward import ACTIVATIONS, FeedForward
from companion.nn.field_types import check_field_types
from companion.nn.initialization import normal_initialization
from companion.nn.kv_cache import KVCache
from companion.nn.masks import key_mask
from companion.nn.positions import real_positions
from companion.nn.watching import is_watched


@dataclass(frozen=True)
class GPTConfig:
    """The sizes of a GPT.

    Attributes:
        vocab_size: number of tokens in the vocabulary.
        context_length: number of positions, the length of the longest text.
        n_layers: number of blocks.
        n_heads: attention heads per block; each has d_model / n_heads dimensions.
        d_model: width of the residual stream.
        d_ff: width inside the feed-forward network; 4 d_model when not given.
        dropout: probability of dropping an activation in training.
        activation: "gelu_new" (GPT-2's tanh form), "gelu" or "relu".
        norm_eps: number added to the variance in LayerNorm.
        tied: whether the output matrix is the token embedding.
    """

    vocab_size: int
    context_length: int
    n_layers: int
    n_heads: int
    d_model: int
    d_ff: int | None = None
    dropout: float = 0.0
    activation: str = "gelu_new"
    norm_eps: float = 1e-5
    tied: bool = True

    def __post_init__(self) -> None:
        """Raise ValueError on a size below 1, heads that do not divide d_model, or an unknown activation."""
        check_field_types(self)
        check_sizes(self, ("vocab_size", "context_length", "n_layers", "n_heads", "d_model", "d_ff"))
        check_dropout(self.dropout)
        check_eps(self.norm_eps)
        check_heads(self.d_model, self.n_heads)
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}; got {self.activation!r}")


class Block(nn.Module):
    """The pre-LN block of GPT-2: normalise, attend, add; normalise, feed forward, add."""

    def __init__(self, config: GPTConfig) -> None:
        """Make the two sublayers and their norms."""
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.d_model, eps=config.norm_eps)
        self.attention = MultiHeadAttention(config.d_model, config.n_heads, dropout=config.dropout)
        self.feed_forward_norm = nn.LayerNorm(config.d_model, eps=config.norm_eps)
        d_ff = config.d_ff or 4 * config.d_model
        self.feed_forward = FeedForward(config.d_model, d_ff, config.activation)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None, cache: KVCache | None = None) -> Tensor:
        """(batch, length, d_model) -> the same."""
        attended = self.attention(self.attention_norm(x), mask=mask, causal=True, cache=cache)
        x = x + self.dropout(attended)
        x = x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))
        return x


class GPT(Pretrained):
    """A decoder-only language model, exact enough to load any GPT-2 checkpoint.

    Example:
        >>> import torch
        >>> model = GPT(GPTConfig(vocab_size=10, context_length=8, n_layers=2, n_heads=2, d_model=12))
        >>> model(torch.tensor([[1, 2, 3]])).shape  # the logits of the next token, at each position
        torch.Size([1, 3, 10])
    """

    config_class = GPTConfig
    checkpoint_family = gpt2

    def __init__(self, config: GPTConfig) -> None:
        """Make a model with GPT-2's initial weights: N(0, 0.02), smaller for outputs to the residual stream."""
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.position_embedding = nn.Embedding(config.context_length, config.d_model)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.final_norm = nn.LayerNorm(config.d_model, eps=config.norm_eps)
        self.unembedding = nn.Linear(config.d_model, config.vocab_size, bias=False)
        if config.tied:
            self.unembedding.weight = self.token_embedding.weight
        self.apply(normal_initialization)
        for name, parameter in self.named_parameters():
            if name.endswith(("attention.output.weight", "feed_forward.contract.weight")):
                # 2 n_layers such contributions add up in the residual stream
                nn.init.normal_(parameter, std=0.02 / (2 * config.n_layers) ** 0.5)

    def forward(
        self, ids: Tensor, attention_mask: Tensor | None = None, cache: Sequence[KVCache] | None = None
    ) -> Tensor:
        """Return the logits of the next token, at each position.

        Args:
            ids: (batch, length) token ids.
            attention_mask: boolean (batch, past + length), True = a real token, False = padding that no token attends
                to; positions are counted over the real tokens, so padding may stand before a text or after it.
            cache: one :class:`KVCache` per layer (see :meth:`new_cache`); ``ids`` continue what it holds.

        Returns:
            logits (batch, length, vocab_size).

        Raises:
            ValueError: on ids of the wrong rank or outside the vocabulary, an empty text, or one longer than
                the context, or a mask of another shape than the text's.
            TypeError: on a mask that is not boolean.
        """
        logits: Tensor = self.unembedding(self.hidden(ids, attention_mask, cache))
        return logits

    def hidden(
        self, ids: Tensor, attention_mask: Tensor | None = None, cache: Sequence[KVCache] | None = None
    ) -> Tensor:
        """Return the last hidden states (batch, length, d_model); arguments and errors are :meth:`forward`'s."""
        past = cache[0].length if cache else 0
        check_ids(ids, self.config.vocab_size, self.config.context_length, past)
        check_mask(attention_mask, ids.size(0), past + ids.size(1))
        positions = real_positions(ids, attention_mask, past)
        x = self.dropout(self.token_embedding(ids) + self.position_embedding(positions))
        mask = key_mask(attention_mask)
        for layer, block in enumerate(self.blocks):
            x = block(x, mask=mask, cache=cache[layer] if cache else None)
        hidden: Tensor = self.final_norm(x)
        return hidden

    def unembedded(self) -> Tensor | None:
        """Return the matrix by which :meth:`forward` turns :meth:`hidden` into logits, or None if it does other things.

        Returns:
            (vocab_size, d_model).
        """
        plain = type(self).forward is GPT.forward and type(self.unembedding) is nn.Linear and not is_watched(self)
        return self.unembedding.weight if plain else None

    def new_cache(self) -> list[KVCache]:
        """Return an empty cache for each layer, to be passed to :meth:`forward` again and again."""
        return [KVCache(self.config.context_length) for _ in self.blocks]

    def decode_step(self, cache: Sequence[KVCache]) -> GPTDecodeStep | None:
        """Return what continues the one text of ``cache`` faster, or None where only :meth:`forward` can."""
        return GPTDecodeStep(self, cache) if is_plain(self, {GPT, Block}) else None
