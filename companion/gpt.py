"""GPT-2: a stack of causal attention blocks that predicts the next token.

Chapter: ``book/algorithms/gpt.ipynb``. Source: Radford et al. 2019, "Language Models are Unsupervised Multitask
Learners", section 2.3 (pre-LN blocks, learned positions, tied embedding), after Radford et al. 2018.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from companion import checkpoints
from companion.attention import KVCache, MultiHeadAttention
from companion.checkpoints import gpt2


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
        for name in ("vocab_size", "context_length", "n_layers", "n_heads", "d_model"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)}")
        if self.d_ff is not None and self.d_ff < 1:
            raise ValueError(f"d_ff must be at least 1, or None for 4 d_model; got {self.d_ff}")
        if self.d_model % self.n_heads:
            raise ValueError(f"d_model must be a multiple of n_heads; got {self.d_model} and {self.n_heads}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in [0, 1); got {self.dropout}")
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}; got {self.activation!r}")


ACTIVATIONS = {
    "gelu_new": lambda x: F.gelu(x, approximate="tanh"),
    "gelu_pytorch_tanh": lambda x: F.gelu(x, approximate="tanh"),  # the same function by its later name
    "gelu": F.gelu,
    "relu": F.relu,
}


class FeedForward(nn.Module):
    """Widen each position, bend it, narrow it again: ``activation(x W_1 + b_1) W_2 + b_2``."""

    def __init__(self, config: GPTConfig) -> None:
        """Make the two projections, d_model -> d_ff -> d_model."""
        super().__init__()
        d_ff = config.d_ff or 4 * config.d_model
        self.expand = nn.Linear(config.d_model, d_ff)
        self.contract = nn.Linear(d_ff, config.d_model)
        self.activation = ACTIVATIONS[config.activation]

    def forward(self, x: Tensor) -> Tensor:
        """(…, d_model) -> (…, d_model), each position for itself."""
        return self.contract(self.activation(self.expand(x)))


class Block(nn.Module):
    """Normalise, attend, add; normalise, feed forward, add: the pre-LN block of GPT-2."""

    def __init__(self, config: GPTConfig) -> None:
        """Make the two sublayers and their norms."""
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.d_model, eps=config.norm_eps)
        self.attention = MultiHeadAttention(config.d_model, config.n_heads, dropout=config.dropout)
        self.feed_forward_norm = nn.LayerNorm(config.d_model, eps=config.norm_eps)
        self.feed_forward = FeedForward(config)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None, cache: KVCache | None = None) -> Tensor:
        """(batch, length, d_model) -> the same."""
        attended = self.attention(self.attention_norm(x), mask=mask, causal=True, cache=cache)
        x = x + self.dropout(attended)
        return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))


class GPT(nn.Module):
    """A decoder-only language model, exact enough to load any GPT-2 checkpoint."""

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
            attention_mask: boolean (batch, length), True = a real token, False = padding that nobody reads.
            cache: one :class:`KVCache` a layer (see :meth:`new_cache`); ``ids`` continue what it holds.

        Returns:
            logits (batch, length, vocab_size).

        Raises:
            ValueError: on ids of the wrong rank or outside the vocabulary, an empty text, or one longer than
                the context, or a mask of another shape than the text's.
            TypeError: on a mask that is not boolean.
        """
        past = cache[0].length if cache else 0
        self._check(ids, attention_mask, past)
        positions = torch.arange(past, past + ids.size(1), device=ids.device)
        x = self.dropout(self.token_embedding(ids) + self.position_embedding(positions))
        mask = None if attention_mask is None else attention_mask[:, None, None, :]  # (batch, 1, 1, key)
        for layer, block in enumerate(self.blocks):
            x = block(x, mask=mask, cache=cache[layer] if cache else None)
        return self.unembedding(self.final_norm(x))

    def new_cache(self) -> list[KVCache]:
        """Make an empty cache for each layer, to be passed to :meth:`forward` again and again."""
        return [KVCache(self.config.context_length) for _ in self.blocks]

    def _check(self, ids: Tensor, attention_mask: Tensor | None, past: int) -> None:
        if ids.dim() != 2 or ids.size(1) == 0 or ids.size(0) == 0:
            raise ValueError(f"ids must be (batch, length), neither of them 0; got shape {tuple(ids.shape)}")
        if past + ids.size(1) > self.config.context_length:
            raise ValueError(f"{past + ids.size(1)} tokens do not fit into the context of {self.config.context_length}")
        if not torch.compiler.is_compiling():  # an exporter traces shapes, not values
            low, high = int(ids.min()), int(ids.max())
            if low < 0 or high >= self.config.vocab_size:
                bad = low if low < 0 else high
                raise ValueError(f"token id {bad} is outside the vocabulary, 0 to {self.config.vocab_size - 1}")
        if attention_mask is not None and attention_mask.dtype != torch.bool:
            raise TypeError(f"attention_mask must be boolean, True = a real token; got {attention_mask.dtype}")
        if attention_mask is not None and attention_mask.shape != (ids.size(0), past + ids.size(1)):
            raise ValueError(
                f"attention_mask must be (batch, length) = {(ids.size(0), past + ids.size(1))}; "
                f"got {tuple(attention_mask.shape)}"
            )

    @classmethod
    def from_pretrained(cls, folder_or_hub_id: str | Path) -> "GPT":
        """Load a GPT-2 checkpoint: a folder in Hugging Face's layout, or a model id on the hub.

        Raises:
            companion.checkpoints.CheckpointError: when there is none, it is another family's, a tensor is missing,
                unexpected or of another size, or the weights are not safetensors.
        """
        folder = checkpoints.locate(folder_or_hub_id)
        fields = gpt2.read_fields(folder)
        try:
            config = GPTConfig(**fields)
        except (TypeError, ValueError) as error:
            raise checkpoints.CheckpointError(f"{folder}/config.json does not describe a GPT: {error}") from error
        model = cls(config)
        checkpoints.load_weights(model, folder, gpt2.layout(config.n_layers, config.tied))
        return model.eval()

    def save_pretrained(self, folder: str | Path, dtype: torch.dtype | None = None) -> None:
        """Write ``config.json`` and ``model.safetensors`` so that ``transformers`` loads them as GPT-2.

        Args:
            folder: made when missing.
            dtype: of the weights in the file; the model's own when not given.
        """
        config = gpt2.config_json(asdict(self.config))
        layout = gpt2.layout(self.config.n_layers, self.config.tied)
        checkpoints.save_weights(self, folder, config, layout, dtype)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
