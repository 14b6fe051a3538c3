"""Today's decoder: GPT-2 with rotary positions, RMSNorm, SwiGLU, shared keys and values, and, if asked, experts.

Chapter: ``book/algorithms/modern_decoder.ipynb``. Sources: Touvron et al. 2023, "LLaMA", section 2.2; Yang et al. 2024,
"Qwen2"; Yang et al. 2025, "Qwen3"; Jiang et al. 2023, "Mistral 7B"; Jiang et al. 2024, "Mixtral of Experts".
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from companion.checkpoints import modern_decoder
from companion.checkpoints.pretrained import Pretrained
from companion.nn.checks import check_dropout, check_heads, check_ids, check_mask, check_sizes
from companion.nn.feed_forward import SwiGLU
from companion.nn.grouped_query_attention import GroupedQueryAttention
from companion.nn.kv_cache import KVCache
from companion.nn.masks import window_mask
from companion.nn.mixture_of_experts import MixtureOfExperts
from companion.nn.norms import RMSNorm
from companion.nn.positions import RopeScaling, real_positions, rotary, rotary_frequencies

FAMILIES = ("llama", "qwen2", "qwen3", "mistral", "mixtral")


@dataclass(frozen=True)
class ModernConfig:
    """The sizes of a decoder. What is not given is filled in, so that a configuration always says all of it.

    Attributes:
        vocab_size: tokens in the vocabulary.
        context_length: positions that the model was trained on, and that a cache has room for.
        n_layers: blocks.
        n_heads: attention heads a block that ask.
        d_model: width of the residual stream.
        n_kv_heads: heads that are asked, each by n_heads / n_kv_heads others; n_heads when not given.
        d_head: width of a head, even; d_model / n_heads when not given.
        d_ff: width inside the feed-forward network, or inside each expert; 8/3 d_model, rounded up to a multiple of 8,
            when not given: as many parameters as a plain network of 4 d_model.
        family: whose details: "llama", "qwen2" (biases on queries, keys and values), "qwen3" (queries and keys
            normalised), "mistral", or "mixtral" (experts).
        window: tokens that a query sees, itself included; all when not given. Not in the family "llama".
        full_layers: layers that see all despite the window, as some of Qwen's do.
        n_experts: feed-forward networks to choose from; the family "mixtral" has them, no other has.
        experts_per_token: that each token uses.
        rope_base: of the rotary positions; see :func:`companion.nn.positions.rotary_frequencies`.
        rope_scaling: how a model was stretched to longer texts.
        dropout: probability of dropping an attention weight in training.
        norm_eps: added to the mean square in RMSNorm.
        tied: read the logits off the token embedding itself.
    """

    vocab_size: int
    context_length: int
    n_layers: int
    n_heads: int
    d_model: int
    n_kv_heads: int = None  # type: ignore[assignment]  # a whole number as soon as the configuration is made
    d_head: int = None  # type: ignore[assignment]
    d_ff: int = None  # type: ignore[assignment]
    family: str = "llama"
    window: int | None = None
    full_layers: tuple[int, ...] = ()
    n_experts: int | None = None
    experts_per_token: int = 2
    rope_base: float = 10_000.0
    rope_scaling: RopeScaling | None = None
    dropout: float = 0.0
    norm_eps: float = 1e-6
    tied: bool = True

    def __post_init__(self) -> None:
        """Fill in what was not given; raise ValueError on sizes that do not fit, or parts that the family lacks."""
        check_sizes(self, ("vocab_size", "context_length", "n_layers", "n_heads", "d_model"))
        check_dropout(self.dropout)
        if self.d_head is None:
            check_heads(self.d_model, self.n_heads)
        filled = {"n_kv_heads": self.n_heads, "d_head": self.d_model // self.n_heads, "d_ff": -(-self.d_model // 3) * 8}
        for name, value in filled.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)  # frozen, but not yet in use
        check_sizes(self, filled)
        if self.n_heads % self.n_kv_heads:
            raise ValueError(f"n_heads must be a multiple of n_kv_heads; got {self.n_heads} and {self.n_kv_heads}")
        rotary_frequencies(self.d_head, self.rope_base)  # refuses what cannot turn
        self._check_parts()

    def _check_parts(self) -> None:
        if self.family not in FAMILIES:
            raise ValueError(f"family must be one of {', '.join(FAMILIES)}; got {self.family!r}")
        if self.window is not None and (self.window < 1 or self.family == "llama"):
            raise ValueError(f"window must be at least 1, in another family than llama; got {self.window}")
        if self.full_layers and (self.window is None or not self.family.startswith("qwen")):
            raise ValueError(f"full_layers need a window in a family of Qwen's; got {self.family!r}, {self.window}")
        if not set(self.full_layers) <= set(range(self.n_layers)):
            raise ValueError(f"full_layers must be 0 to {self.n_layers - 1}; got {self.full_layers}")
        if (self.n_experts is not None) != (self.family == "mixtral"):
            raise ValueError(f"mixtral, and no other family, has n_experts; got {self.family!r}, {self.n_experts}")
        if self.n_experts is not None and not 1 <= self.experts_per_token <= self.n_experts:
            raise ValueError(
                f"experts_per_token must be 1 to n_experts; got {self.experts_per_token} of {self.n_experts}"
            )


class ModernBlock(nn.Module):
    """Normalise, attend, add; normalise, feed forward, add: GPT-2's block with other parts."""

    def __init__(self, config: ModernConfig) -> None:
        """Make the two sublayers and their norms."""
        super().__init__()
        self.attention_norm = RMSNorm(config.d_model, config.norm_eps)
        self.attention = GroupedQueryAttention(
            config.d_model,
            config.n_heads,
            config.n_kv_heads,
            config.d_head,
            bias=config.family == "qwen2",
            norm_eps=config.norm_eps if config.family == "qwen3" else None,
            dropout=config.dropout,
        )
        self.feed_forward_norm = RMSNorm(config.d_model, config.norm_eps)
        self.feed_forward: nn.Module
        if config.n_experts is None:
            self.feed_forward = SwiGLU(config.d_model, config.d_ff)
        else:
            experts = config.n_experts, config.experts_per_token
            self.feed_forward = MixtureOfExperts(config.d_model, config.d_ff, *experts)

    def forward(
        self, x: Tensor, rotation: tuple[Tensor, Tensor], mask: Tensor | None = None, cache: KVCache | None = None
    ) -> Tensor:
        """(batch, length, d_model) -> the same; the arguments are those of :class:`GroupedQueryAttention`."""
        x = x + self.attention(self.attention_norm(x), rotation, mask, cache)
        return x + self.feed_forward(self.feed_forward_norm(x))


class ModernDecoder(Pretrained):
    """A decoder-only language model, exact enough to load Llama, Qwen2, Qwen3, Mistral and Mixtral."""

    config_class = ModernConfig
    checkpoint_family = modern_decoder

    def __init__(self, config: ModernConfig) -> None:
        """Make a model with the initial weights of our GPT: N(0, 0.02), less for what adds to the residual stream."""
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.blocks = nn.ModuleList(ModernBlock(config) for _ in range(config.n_layers))
        self.final_norm = RMSNorm(config.d_model, config.norm_eps)
        self.unembedding = nn.Linear(config.d_model, config.vocab_size, bias=False)
        if config.tied:
            self.unembedding.weight = self.token_embedding.weight
        for name, parameter in self.named_parameters():
            adds = name.endswith(("output.weight", "contract.weight"))
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.02 / ((2 * config.n_layers) ** 0.5 if adds else 1))
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(
        self, ids: Tensor, attention_mask: Tensor | None = None, cache: Sequence[KVCache] | None = None
    ) -> Tensor:
        """Score every token of the vocabulary as the next one, at each position.

        Args:
            ids: (batch, length) token numbers.
            attention_mask: boolean (batch, past + length), True = a real token, False = padding that nobody reads.
            cache: one :class:`KVCache` a layer (see :meth:`new_cache`); ``ids`` continue what it holds.

        Returns:
            logits (batch, length, vocab_size).

        Raises:
            ValueError: on ids of the wrong rank or outside the vocabulary, an empty text, or one longer than
                the context, or a mask of another shape than the text's.
            TypeError: on a mask that is not boolean.
        """
        config, past = self.config, cache[0].length if cache else 0
        check_ids(ids, config.vocab_size, config.context_length, past)
        check_mask(attention_mask, ids.size(0), past + ids.size(1))
        frequencies = rotary_frequencies(config.d_head, config.rope_base, config.rope_scaling, ids.device)
        rotation = rotary(real_positions(ids, attention_mask, past), frequencies)
        real = None if attention_mask is None else attention_mask[:, None, None, :]  # (batch, 1, 1, key)
        near = real  # (batch or 1, 1, query or 1, key), for the layers with a window
        if config.window is not None:
            window = window_mask(ids.size(1), past + ids.size(1), config.window, ids.device)
            near = real if window is None else window if real is None else window & real
        x = self.token_embedding(ids)
        for layer, block in enumerate(self.blocks):
            x = block(x, rotation, real if layer in config.full_layers else near, cache[layer] if cache else None)
        return self.unembedding(self.final_norm(x))

    def new_cache(self) -> list[KVCache]:
        """Make an empty cache for each layer, to be passed to :meth:`forward` again and again."""
        return [KVCache(self.config.context_length) for _ in self.blocks]
