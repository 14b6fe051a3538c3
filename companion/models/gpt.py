"""GPT-2: a stack of causal attention blocks that predicts the next token.

Chapter: ``book/algorithms/gpt.ipynb``. Source: Radford et al. 2019, "Language Models are Unsupervised Multitask
Learners", section 2.3 (pre-LN blocks, learned positions, tied embedding), after Radford et al. 2018.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from companion.checkpoints import gpt2
from companion.checkpoints.pretrained import Pretrained
from companion.nn.attention import MultiHeadAttention
from companion.nn.checks import check_dropout, check_heads, check_ids, check_mask, check_sizes
from companion.nn.feed_forward import ACTIVATIONS, FeedForward
from companion.nn.kv_cache import KVCache
from companion.nn.positions import real_positions


@dataclass(frozen=True)
class GPTConfig:
    """The sizes of a GPT.

    Attributes:
        vocab_size: tokens in the vocabulary.
        context_length: positions that the model has learned.
        n_layers: blocks.
        n_heads: attention heads a block; each has d_model / n_heads dimensions.
        d_model: width of the residual stream.
        d_ff: width inside the feed-forward network; 4 d_model when not given.
        dropout: probability of dropping an activation in training.
        activation: "gelu_new" (GPT-2's tanh form), "gelu" or "relu".
        norm_eps: added to the variance in LayerNorm.
        tied: read the logits off the token embedding itself.
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
        check_sizes(self, ("vocab_size", "context_length", "n_layers", "n_heads", "d_model"))
        check_dropout(self.dropout)
        check_heads(self.d_model, self.n_heads)
        if self.d_ff is not None and self.d_ff < 1:
            raise ValueError(f"d_ff must be at least 1, or None for 4 d_model; got {self.d_ff}")
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}; got {self.activation!r}")


class Block(nn.Module):
    """Normalise, attend, add; normalise, feed forward, add: the pre-LN block of GPT-2."""

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
        return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))


class GPT(Pretrained):
    """A decoder-only language model, exact enough to load any GPT-2 checkpoint."""

    config_class = GPTConfig
    checkpoint_family = gpt2

    def __init__(self, config: GPTConfig) -> None:
        """Make a model with GPT-2's initial weights: N(0, 0.02), less for what adds to the residual stream."""
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
        self.apply(_initialise)
        for name, parameter in self.named_parameters():
            if name.endswith(("attention.output.weight", "feed_forward.contract.weight")):
                # 2 n_layers such contributions add up in the residual stream
                nn.init.normal_(parameter, std=0.02 / (2 * config.n_layers) ** 0.5)

    def forward(
        self, ids: Tensor, attention_mask: Tensor | None = None, cache: Sequence[KVCache] | None = None
    ) -> Tensor:
        """Score every token of the vocabulary as the next one, at each position.

        Args:
            ids: (batch, length) token numbers.
            attention_mask: boolean (batch, past + length), True = a real token, False = padding that nobody reads;
                positions are counted over the real tokens, so padding may stand before a text or after it.
            cache: one :class:`KVCache` a layer (see :meth:`new_cache`); ``ids`` continue what it holds.

        Returns:
            logits (batch, length, vocab_size).

        Raises:
            ValueError: on ids of the wrong rank or outside the vocabulary, an empty text, or one longer than
                the context, or a mask of another shape than the text's.
            TypeError: on a mask that is not boolean.
        """
        return self.unembedding(self.hidden(ids, attention_mask, cache))

    def hidden(
        self, ids: Tensor, attention_mask: Tensor | None = None, cache: Sequence[KVCache] | None = None
    ) -> Tensor:
        """Return what the logits are read off, (batch, length, d_model); arguments and errors as :meth:`forward`'s."""
        past = cache[0].length if cache else 0
        check_ids(ids, self.config.vocab_size, self.config.context_length, past)
        check_mask(attention_mask, ids.size(0), past + ids.size(1))
        positions = real_positions(ids, attention_mask, past)
        x = self.dropout(self.token_embedding(ids) + self.position_embedding(positions))
        mask = None if attention_mask is None else attention_mask[:, None, None, :]  # (batch, 1, 1, key)
        for layer, block in enumerate(self.blocks):
            x = block(x, mask=mask, cache=cache[layer] if cache else None)
        return self.final_norm(x)

    def new_cache(self) -> list[KVCache]:
        """Make an empty cache for each layer, to be passed to :meth:`forward` again and again."""
        return [KVCache(self.config.context_length) for _ in self.blocks]


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
