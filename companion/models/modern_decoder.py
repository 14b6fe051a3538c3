"""Today's decoder: GPT-2 with rotary positions, RMSNorm, SwiGLU, grouped-query attention, and optional experts.

Chapter: ``book/algorithms/modern_decoder.ipynb``. Sources: Touvron et al. 2023, "LLaMA", section 2.2; Yang et al. 2024,
"Qwen2"; Yang et al. 2025, "Qwen3"; Jiang et al. 2023, "Mistral 7B"; Jiang et al. 2024, "Mixtral of Experts"; Bellagente
et al. 2024, "Stable LM 2 1.6B"; Gemma Team 2025, "Gemma 3 Technical Report", section 2.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Self

from torch import Tensor, nn

from companion.checkpoints import modern_decoder
from companion.checkpoints.gguf import load_gguf
from companion.checkpoints.gguf_file import GGUF
from companion.checkpoints.pretrained import Pretrained
from companion.models.modern_decode_step import ModernDecodeStep, is_plain
from companion.nn.checks import check_dropout, check_eps, check_heads, check_ids, check_mask, check_sizes
from companion.nn.feed_forward import GeGLUTanh, SwiGLU
from companion.nn.field_types import DerivedSize, check_field_types
from companion.nn.grouped_query_attention import GroupedQueryAttention
from companion.nn.kv_cache import KVCache
from companion.nn.masks import combine_masks, key_mask, window_mask
from companion.nn.mixture_of_experts import MixtureOfExperts
from companion.nn.norms import RMSNorm, UnitRMSNorm
from companion.nn.positions import RopeScaling, real_positions, rotary, rotary_frequencies

FAMILIES = ("llama", "qwen2", "qwen3", "mistral", "mixtral", "stablelm", "gemma3_text")
WINDOWED = ("qwen2", "qwen3", "mistral", "mixtral", "gemma3_text")
LAYERED = ("qwen2", "qwen3", "gemma3_text")  # the window may be in some layers alone


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
            (queries and keys normalised), "mistral", "mixtral" (experts), "stablelm" (LayerNorm), or "gemma3_text"
            (scaled embeddings, a norm before and after each sublayer, queries and keys normalised, GeGLU).
        window: number of tokens that a query attends to, itself included (sliding window); all when not given. Not in
            the families "llama" and "stablelm".
        full_layers: layers without the window, as in some of Qwen's models, and every sixth of Gemma 3.
        n_experts: number of experts; in the family "mixtral" and no other.
        experts_per_token: number of experts that process each token.
        rope_base: base of the rotary positions; see :func:`companion.nn.positions.rotary_frequencies`.
        rope_scaling: context extension of the rotary positions; in Gemma 3 of the layers without the window alone.
        local_rope_base: base in the layers with a window, in the family "gemma3_text"; ``rope_base`` when not given.
        rotary_fraction: fraction of a head's dimensions that rotate, the first ones (partial rotary); 1 in all families
            but "stablelm".
        qkv_bias: whether queries, keys and values have biases in the family "stablelm"; in "qwen2" they always do.
        query_pre_attn_scalar: number whose square root divides the scores, in the family "gemma3_text"; d_head when not
            given, and in all other families.
        final_softcap: bound c of the logits in the family "gemma3_text", which become c tanh(logits / c); no bound when
            not given.
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
    local_rope_base: float | None = None
    rotary_fraction: float = 1.0
    qkv_bias: bool = False
    query_pre_attn_scalar: DerivedSize = DerivedSize(lambda config: config.d_head)
    final_softcap: float | None = None
    dropout: float = 0.0
    norm_eps: float = 1e-6
    tied: bool = True

    def __post_init__(self) -> None:
        """Raise ValueError on sizes that do not fit, or parts that the family lacks."""
        check_field_types(self)
        check_sizes(self, ("vocab_size", "context_length", "n_layers", "n_heads", "d_model"))
        check_dropout(self.dropout)
        check_eps(self.norm_eps)
        check_sizes(
            self, ("n_kv_heads", "d_head", "d_ff", "window", "n_experts", "experts_per_token", "query_pre_attn_scalar")
        )
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
        for name in ("rope_base", "local_rope_base"):
            base = getattr(self, name)
            if base is not None and not 1 < base < math.inf:
                raise ValueError(f"{name} must be finite and above 1; got {base}")
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
        if self.full_layers and (self.window is None or self.family not in LAYERED):
            raise ValueError(f"full_layers need a window in {', '.join(LAYERED)}; got {self.family!r}, {self.window}")
        self._check_gemma()
        if not set(self.full_layers) <= set(range(self.n_layers)):
            raise ValueError(f"full_layers must be 0 to {self.n_layers - 1}; got {self.full_layers}")
        if (self.n_experts is not None) != (self.family == "mixtral"):
            raise ValueError(f"mixtral, and no other family, has n_experts; got {self.family!r}, {self.n_experts}")
        if self.n_experts is not None and not 1 <= self.experts_per_token <= self.n_experts:
            raise ValueError(
                f"experts_per_token must be 1 to n_experts; got {self.experts_per_token} of {self.n_experts}"
            )

    def _check_gemma(self) -> None:
        if self.final_softcap is not None and not 0 < self.final_softcap < math.inf:
            raise ValueError(f"final_softcap must be finite and above 0; got {self.final_softcap}")
        own = {name: getattr(self, name) for name in ("local_rope_base", "final_softcap")}
        if self.query_pre_attn_scalar != self.d_head:
            own["query_pre_attn_scalar"] = self.query_pre_attn_scalar
        for name, value in own.items():
            if value is not None and self.family != "gemma3_text":
                raise ValueError(f"{name} is a choice in the family gemma3_text alone; got {value} in {self.family!r}")


class ModernBlock(nn.Module):
    """A pre-LN block as GPT-2's: normalise, attend, add; normalise, feed forward, add.

    Gemma 3 normalises what a sublayer says once more before it is added.
    """

    def __init__(self, config: ModernConfig) -> None:
        """Make the two sublayers and their norms."""
        super().__init__()
        gemma = config.family == "gemma3_text"
        self.attention_norm = _norm(config)
        self.attention = GroupedQueryAttention(
            config.d_model,
            config.n_heads,
            config.n_kv_heads,
            config.d_head,
            bias=config.family == "qwen2" or config.qkv_bias,
            norm=partial(_norm, config) if gemma or config.family == "qwen3" else None,
            dropout=config.dropout,
            scale=config.query_pre_attn_scalar**-0.5,
        )
        self.attention_post_norm = _norm(config) if gemma else nn.Identity()
        self.feed_forward_norm = _norm(config)
        self.feed_forward_post_norm = _norm(config) if gemma else nn.Identity()
        self.feed_forward: nn.Module
        if config.n_experts is None:
            self.feed_forward = (GeGLUTanh if gemma else SwiGLU)(config.d_model, config.d_ff)
        else:
            experts = config.n_experts, config.experts_per_token
            self.feed_forward = MixtureOfExperts(config.d_model, config.d_ff, *experts)

    def forward(
        self, x: Tensor, rotation: tuple[Tensor, Tensor], mask: Tensor | None = None, cache: KVCache | None = None
    ) -> Tensor:
        """(batch, length, d_model) -> the same; the arguments are those of :class:`GroupedQueryAttention`."""
        x = x + self.attention_post_norm(self.attention(self.attention_norm(x), rotation, mask, cache))
        x = x + self.feed_forward_post_norm(self.feed_forward(self.feed_forward_norm(x)))
        return x


class ModernDecoder(Pretrained):
    """A decoder-only language model, exact enough to load Llama, Qwen2, Qwen3, Mistral, Mixtral, StableLM and Gemma 3.

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
        self.embedding_scale = config.d_model**0.5 if config.family == "gemma3_text" else 1.0
        self.token_embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.blocks = nn.ModuleList(ModernBlock(config) for _ in range(config.n_layers))
        self.final_norm = _norm(config)
        self.unembedding = nn.Linear(config.d_model, config.vocab_size, bias=False)
        if config.tied:
            self.unembedding.weight = self.token_embedding.weight
        self.initialize(self)

    def initialize(self, model: nn.Module) -> None:
        """Draw the initial weights of this model, or of one that it is a part of, anew: as after a part was exchanged.

        They are N(0, 0.02), and smaller where a matrix writes into the residual stream.
        """
        for name, parameter in model.named_parameters():
            adds = name.endswith(("output.weight", "contract.weight"))
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.02 / ((2 * self.config.n_layers) ** 0.5 if adds else 1))
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
        return self.output(self.states(ids, attention_mask, cache))

    def output(self, states: Tensor, norm: nn.Module | None = None) -> Tensor:
        """Return the logits (batch, length, vocab_size) of states, after the final norm or the one that is given."""
        logits: Tensor = self.unembedding((norm or self.final_norm)(states))
        cap = self.config.final_softcap
        if cap is None:
            return logits
        bounded: Tensor = cap * (logits / cap).tanh()
        return bounded

    def states(
        self, ids: Tensor, attention_mask: Tensor | None = None, cache: Sequence[KVCache] | None = None
    ) -> Tensor:
        """Return the residual stream after the last block, (batch, length, d_model); the rest is :meth:`forward`'s."""
        config, past = self.config, cache[0].length if cache else 0
        check_ids(ids, config.vocab_size, config.context_length, past)
        check_mask(attention_mask, ids.size(0), past + ids.size(1))
        far, near = self.rotations(real_positions(ids, attention_mask, past))
        real = key_mask(attention_mask)  # (batch, 1, 1, key)
        close = real  # (batch or 1, 1, query or 1, key), for the layers with a window
        if config.window is not None:
            close = combine_masks(window_mask(ids.size(1), past + ids.size(1), config.window, ids.device), real)
        x: Tensor = self.token_embedding(ids) * self.embedding_scale
        for layer, block in enumerate(self.blocks):
            local = config.window is not None and layer not in config.full_layers
            x = block(x, near if local else far, close if local else real, cache[layer] if cache else None)
        return x

    def rotations(self, positions: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Return the rotations of positions (batch, length) in layers without and with a window.

        They differ in Gemma 3 alone; see :func:`companion.nn.positions.rotary`.
        """
        config, scaling = self.config, self.config.rope_scaling
        frequencies = rotary_frequencies(config.d_rotary, config.rope_base, scaling, positions.device)
        far = rotary(positions, frequencies, 1.0 if scaling is None else scaling.amplitude)
        if config.family != "gemma3_text":
            return far, far
        base = config.rope_base if config.local_rope_base is None else config.local_rope_base
        return far, rotary(positions, rotary_frequencies(config.d_rotary, base, device=positions.device))

    def new_cache(self) -> list[KVCache]:
        """Return an empty cache for each layer, to be passed to :meth:`forward` again and again."""
        return [KVCache(self.config.context_length) for _ in self.blocks]

    def decode_step(self, cache: Sequence[KVCache]) -> ModernDecodeStep | None:
        """Return what continues the one text of ``cache`` faster, or None where only :meth:`forward` can."""
        return ModernDecodeStep(self, cache) if is_plain(self, {ModernDecoder, ModernBlock}) else None


def _norm(config: ModernConfig, d: int | None = None) -> nn.Module:
    """The family's norm of the residual stream, or of vectors of another width."""
    kinds = {"stablelm": nn.LayerNorm, "gemma3_text": UnitRMSNorm}
    kind = kinds.get(config.family, RMSNorm)
    norm: nn.Module = kind(config.d_model if d is None else d, eps=config.norm_eps)
    return norm
