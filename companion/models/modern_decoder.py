"""Today's decoder: GPT-2 with rotary positions, RMSNorm, SwiGLU, grouped-query attention, and optional experts.

Chapter: ``book/algorithms/modern_decoder.ipynb``. Sources: Touvron et al. 2023, "LLaMA", section 2.2; Yang et al. 2024,
"Qwen2"; Yang et al. 2025, "Qwen3"; Jiang et al. 2023, "Mistral 7B"; Jiang et al. 2024, "Mixtral of Experts"; Bellagente
et al. 2024, "Stable LM 2 1.6B".
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self, overload

from torch import Tensor, nn

from companion.checkpoints import modern_decoder
from companion.checkpoints.gguf import load_gguf
from companion.checkpoints.gguf_file import GGUF
from companion.checkpoints.pretrained import Pretrained
from companion.models.modern_decode_step import ModernDecodeStep, is_plain
from companion.nn.checks import check_dropout, check_eps, check_heads, check_ids, check_mask, check_sizes
from companion.nn.feed_forward import SwiGLU
from companion.nn.field_types import check_field_types
from companion.nn.grouped_query_attention import GroupedQueryAttention
from companion.nn.kv_cache import KVCache
from companion.nn.masks import combine_masks, key_mask, window_mask
from companion.nn.mixture_of_experts import MixtureOfExperts
from companion.nn.norms import RMSNorm
from companion.nn.positions import RopeScaling, real_positions, rotary, rotary_frequencies

FAMILIES = ("llama", "qwen2", "qwen3", "mistral", "mixtral", "stablelm")
WINDOWED = ("qwen2", "qwen3", "mistral", "mixtral")


class DerivedSize:
    """A field of a configuration that is an int when read, computed from other fields when None was given.

    A descriptor, which a dataclass takes as the field's default; see "Descriptor-typed fields" in Python's manual.
    """

    def __init__(self, default: "Callable[[ModernConfig], int]") -> None:
        """Set the function that computes the size from a configuration."""
        self.default = default

    def __set_name__(self, owner: type, name: str) -> None:
        """Learn the name of the field."""
        self.name = name

    @overload
    def __get__(self, config: None, owner: type) -> None: ...

    @overload
    def __get__(self, config: "ModernConfig", owner: type) -> int: ...

    def __get__(self, config: "ModernConfig | None", owner: type) -> int | None:
        """Return the size in a configuration; None, the default of the field, in the class itself."""
        if config is None:
            return None
        given: int | None = vars(config)[self.name]
        return self.default(config) if given is None else given

    def __set__(self, config: "ModernConfig", given: int | None) -> None:
        """Keep what a configuration is made with."""
        vars(config)[self.name] = given


def _equal_heads(config: "ModernConfig") -> int:
    check_heads(config.d_model, config.n_heads)
    return config.d_model // config.n_heads


@dataclass(frozen=True)
class ModernConfig:
    """The sizes of a decoder.

    Attributes:
        vocab_size: number of tokens in the vocabulary.
        context_length: number of positions in training, and capacity of a cache.
        n_layers: number of blocks.
        n_heads: query heads per block.
        d_model: width of the residual stream.
        n_kv_heads: key/value heads, each shared by n_heads / n_kv_heads query heads; n_heads when not given.
        d_head: width of a head, even; d_model / n_heads when not given.
        d_ff: width inside the feed-forward network, or inside each expert; 8/3 d_model, rounded up to a multiple of 8,
            when not given: as many parameters as a plain network of 4 d_model.
        family: family whose details the model has: "llama", "qwen2" (biases on queries, keys and values), "qwen3"
            (queries and keys normalised), "mistral", "mixtral" (experts), or "stablelm" (LayerNorm).
        window: number of tokens that a query attends to, itself included (sliding window); all when not given. Not in
            the families "llama" and "stablelm".
        full_layers: layers without the window, as in some of Qwen's models.
        n_experts: number of experts; in the family "mixtral" and no other.
        experts_per_token: number of experts that process each token.
        rope_base: base of the rotary positions; see :func:`companion.nn.positions.rotary_frequencies`.
        rope_scaling: context extension of the rotary positions.
        rotary_fraction: fraction of a head's dimensions that rotate, the first ones (partial rotary); 1 in all families
            but "stablelm".
        qkv_bias: whether queries, keys and values have biases in the family "stablelm"; in "qwen2" they always do.
        dropout: probability of dropping an attention weight in training.
        norm_eps: number added to the mean square in RMSNorm, or to the variance in LayerNorm.
        tied: whether the output matrix is the token embedding.

    Example:
        >>> config = ModernConfig(vocab_size=10, context_length=8, n_layers=1, n_heads=4, d_model=64)
        >>> config.n_kv_heads, config.d_head, config.d_ff
        (4, 16, 176)
    """

    vocab_size: int
    context_length: int
    n_layers: int
    n_heads: int
    d_model: int
    n_kv_heads: DerivedSize = DerivedSize(lambda config: config.n_heads)
    d_head: DerivedSize = DerivedSize(_equal_heads)
    d_ff: DerivedSize = DerivedSize(lambda config: -(-config.d_model // 3) * 8)
    family: str = "llama"
    window: int | None = None
    full_layers: tuple[int, ...] = ()
    n_experts: int | None = None
    experts_per_token: int = 2
    rope_base: float = 10_000.0
    rope_scaling: RopeScaling | None = None
    rotary_fraction: float = 1.0
    qkv_bias: bool = False
    dropout: float = 0.0
    norm_eps: float = 1e-6
    tied: bool = True

    def __post_init__(self) -> None:
        """Raise ValueError on sizes that do not fit, or parts that the family lacks."""
        check_field_types(self)
        check_sizes(self, ("vocab_size", "context_length", "n_layers", "n_heads", "d_model"))
        check_dropout(self.dropout)
        check_eps(self.norm_eps)
        check_sizes(self, ("n_kv_heads", "d_head", "d_ff", "window", "n_experts", "experts_per_token"))
        if self.n_heads % self.n_kv_heads:
            raise ValueError(f"n_heads must be a multiple of n_kv_heads; got {self.n_heads} and {self.n_kv_heads}")
        if self.family not in FAMILIES:
            raise ValueError(f"family must be one of {', '.join(FAMILIES)}; got {self.family!r}")
        self._check_rotary()
        self._check_parts()

    @property
    def d_rotary(self) -> int:
        """The number of dimensions of a head that rotate."""
        return int(self.d_head * self.rotary_fraction)

    def _check_rotary(self) -> None:
        if not 1 < self.rope_base < math.inf:
            raise ValueError(f"rope_base must be finite and above 1; got {self.rope_base}")
        partial = self.rotary_fraction != 1
        if partial and not (self.family == "stablelm" and 0 < self.rotary_fraction < 1):
            raise ValueError(
                f"rotary_fraction must be 1, or between 0 and 1 in the family stablelm; got {self.rotary_fraction} in "
                f"{self.family!r}"
            )
        rotary_frequencies(self.d_rotary, self.rope_base)  # checks that they are pairs

    def _check_parts(self) -> None:
        if self.window is not None and self.family not in WINDOWED:
            raise ValueError(f"window is for {', '.join(WINDOWED)}; got {self.window} in {self.family!r}")
        if self.qkv_bias and self.family != "stablelm":
            raise ValueError(f"qkv_bias is a choice in the family stablelm alone; got it in {self.family!r}")
        if self.family == "stablelm" and self.n_heads * self.d_head != self.d_model:
            raise ValueError(f"d_head must be d_model / n_heads in stablelm; got {self.d_head} and {self.d_model}")
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
    """A pre-LN block as GPT-2's: normalise, attend, add; normalise, feed forward, add."""

    def __init__(self, config: ModernConfig) -> None:
        """Make the two sublayers and their norms."""
        super().__init__()
        self.attention_norm = _norm(config)
        self.attention = GroupedQueryAttention(
            config.d_model,
            config.n_heads,
            config.n_kv_heads,
            config.d_head,
            bias=config.family == "qwen2" or config.qkv_bias,
            norm_eps=config.norm_eps if config.family == "qwen3" else None,
            dropout=config.dropout,
        )
        self.feed_forward_norm = _norm(config)
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
        x = x + self.feed_forward(self.feed_forward_norm(x))
        return x


class ModernDecoder(Pretrained):
    """A decoder-only language model, exact enough to load Llama, Qwen2, Qwen3, Mistral, Mixtral and StableLM.

    Example:
        >>> import torch
        >>> sizes = {"vocab_size": 10, "context_length": 8, "n_layers": 2, "n_heads": 4, "d_model": 16}
        >>> model = ModernDecoder(ModernConfig(**sizes, n_kv_heads=2))
        >>> model(torch.tensor([[1, 2, 3]])).shape  # the logits of the next token, at each position
        torch.Size([1, 3, 10])
    """

    config_class = ModernConfig
    checkpoint_family = modern_decoder

    @classmethod
    def from_gguf(cls, file: GGUF) -> Self:
        """Return a Llama with the weights of a GGUF file, widened to 32 bits, in evaluation mode.

        Raises:
            companion.checkpoints.CheckpointError: as :func:`companion.checkpoints.gguf.load_gguf`.
        """
        return load_gguf(cls, ModernConfig, file)

    def __init__(self, config: ModernConfig) -> None:
        """Make a model with the initial weights of our GPT: N(0, 0.02), smaller for residual outputs."""
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.blocks = nn.ModuleList(ModernBlock(config) for _ in range(config.n_layers))
        self.final_norm = _norm(config)
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
        """Return the logits of the next token, at each position.

        Args:
            ids: (batch, length) token ids.
            attention_mask: boolean (batch, past + length), True = a real token, False = padding.
            cache: one :class:`KVCache` per layer (see :meth:`new_cache`); ``ids`` continue what it holds.

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
        scaling = config.rope_scaling
        frequencies = rotary_frequencies(config.d_rotary, config.rope_base, scaling, ids.device)
        amplitude = 1.0 if scaling is None else scaling.amplitude
        rotation = rotary(real_positions(ids, attention_mask, past), frequencies, amplitude)
        real = key_mask(attention_mask)  # (batch, 1, 1, key)
        near = real  # (batch or 1, 1, query or 1, key), for the layers with a window
        if config.window is not None:
            near = combine_masks(window_mask(ids.size(1), past + ids.size(1), config.window, ids.device), real)
        x = self.token_embedding(ids)
        for layer, block in enumerate(self.blocks):
            x = block(x, rotation, real if layer in config.full_layers else near, cache[layer] if cache else None)
        logits: Tensor = self.unembedding(self.final_norm(x))
        return logits

    def new_cache(self) -> list[KVCache]:
        """Return an empty cache for each layer, to be passed to :meth:`forward` again and again."""
        return [KVCache(self.config.context_length) for _ in self.blocks]

    def decode_step(self, cache: Sequence[KVCache]) -> ModernDecodeStep | None:
        """Return what continues the one text of ``cache`` faster, or None where only :meth:`forward` can."""
        return ModernDecodeStep(self, cache) if is_plain(self, {ModernDecoder, ModernBlock}) else None


def _norm(config: ModernConfig) -> nn.Module:
    """The family's norm of the residual stream."""
    kind = nn.LayerNorm if config.family == "stablelm" else RMSNorm
    return kind(config.d_model, eps=config.norm_eps)
