"""XLNet: a language model that reads in any order, with two streams so that it may know where and not what.

Chapter: ``book/algorithms/xlnet.ipynb``. Sources: Yang et al. 2019, "XLNet: Generalized Autoregressive Pretraining for
Language Understanding", section 2; relative positions after Dai et al. 2019, "Transformer-XL", section 3.3.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from companion.checkpoints import xlnet
from companion.checkpoints.pretrained import Pretrained
from companion.nn.checks import check_dropout, check_heads, check_ids, check_mask, check_sizes
from companion.nn.feed_forward import ACTIVATIONS, FeedForward
from companion.nn.two_stream_attention import Relations, TwoStreamAttention, relate


@dataclass(frozen=True)
class XLNetConfig:
    """The sizes of an XLNet. There is no longest text: positions are known only by their distance.

    Attributes:
        vocab_size: tokens in the vocabulary.
        n_layers: blocks.
        n_heads: attention heads a block; each has d_model / n_heads dimensions.
        d_model: width of both streams, even.
        d_ff: width inside the feed-forward network; 4 d_model when not given.
        dropout: probability of dropping an activation in training.
        activation: "gelu", "relu" or "gelu_new".
        norm_eps: added to the variance in LayerNorm.
        tied: read the logits off the token embedding itself, with a bias beside it.
    """

    vocab_size: int
    n_layers: int
    n_heads: int
    d_model: int
    d_ff: int | None = None
    dropout: float = 0.0
    activation: str = "gelu"
    norm_eps: float = 1e-12
    tied: bool = True

    def __post_init__(self) -> None:
        """Raise ValueError on a size below 1, an odd width, heads that do not divide it, or an unknown activation."""
        check_sizes(self, ("vocab_size", "n_layers", "n_heads", "d_model"))
        check_dropout(self.dropout)
        check_heads(self.d_model, self.n_heads)
        if self.d_model % 2:
            raise ValueError(f"d_model must be even, for sines and cosines; got {self.d_model}")
        if self.d_ff is not None and self.d_ff < 1:
            raise ValueError(f"d_ff must be at least 1, or None for 4 d_model; got {self.d_ff}")
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}; got {self.activation!r}")


class Block(nn.Module):
    """Attend, add, normalise; feed forward, add, normalise: a post-LN block that both streams go through."""

    def __init__(self, config: XLNetConfig) -> None:
        """Make the two sublayers and their norms."""
        super().__init__()
        self.attention = TwoStreamAttention(config.d_model, config.n_heads, dropout=config.dropout)
        self.attention_norm = nn.LayerNorm(config.d_model, eps=config.norm_eps)
        self.feed_forward = FeedForward(config.d_model, config.d_ff or 4 * config.d_model, config.activation)
        self.feed_forward_norm = nn.LayerNorm(config.d_model, eps=config.norm_eps)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, relations: Relations) -> Tensor:
        """(batch, length + targets, d_model) -> the same."""
        x = self.attention_norm(x + self.dropout(self.attention(x, relations)))
        return self.feed_forward_norm(x + self.dropout(self.feed_forward(x)))


class XLNet(Pretrained):
    """A permutation language model, exact enough to load any XLNet checkpoint; it reads one segment, without memory."""

    config_class = XLNetConfig
    checkpoint_family = xlnet

    def __init__(self, config: XLNetConfig) -> None:
        """Make a model with XLNet's initial weights, N(0, 0.02)."""
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.mask_embedding = nn.Parameter(torch.empty(1, 1, config.d_model))  # what each target begins as
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.dropout = nn.Dropout(config.dropout)
        self.unembedding = nn.Linear(config.d_model, config.vocab_size)
        if config.tied:
            self.unembedding.weight = self.token_embedding.weight
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1 or name.endswith("_bias"):
                nn.init.normal_(parameter, std=0.02)
            elif name.endswith(".bias"):
                nn.init.zeros_(parameter)

    def forward(
        self,
        ids: Tensor,
        attention_mask: Tensor | None = None,
        *,
        token_type_ids: Tensor | None = None,
        order: Tensor | None = None,
        targets: Tensor | None = None,
    ) -> Tensor:
        """Score every token of the vocabulary at each target, which sees what comes before it in the order, or all.

        Args:
            ids: (batch, length) token numbers, in the order of the text whatever ``order`` is.
            attention_mask: boolean (batch, length), True = a real token, False = padding that nobody else reads.
            token_type_ids: integers (batch, length), the segment of each token; all of one segment when not given.
            order: integers (batch, length), the rank of each position in the factorisation order; every position
                may see every other when not given. See :func:`companion.nn.masks.order_mask`.
            targets: (batch, k) positions to predict; they see lower ranks only, and never themselves.

        Returns:
            logits of the query stream (batch, k, vocab_size), or without targets of the content stream
            (batch, length, vocab_size), in which each position has read its own token.

        Raises:
            ValueError: on ids of the wrong rank or outside the vocabulary, an empty text, a mask, segments, ranks or
                targets of another shape, targets outside the text, or targets without an order.
            TypeError: on a mask that is not boolean, or segments, ranks or targets that are not integers.
        """
        arguments = {"token_type_ids": token_type_ids, "order": order, "targets": targets}
        return self.unembedding(self.dropout(self.encode(ids, attention_mask, **arguments)))

    def encode(
        self,
        ids: Tensor,
        attention_mask: Tensor | None = None,
        *,
        token_type_ids: Tensor | None = None,
        order: Tensor | None = None,
        targets: Tensor | None = None,
    ) -> Tensor:
        """Return what :meth:`forward` reads its logits off: (batch, k, d_model), or (batch, length, d_model)."""
        check_ids(ids, self.config.vocab_size)
        batch, length = ids.shape
        check_mask(attention_mask, batch, length)
        _check_integers(token_type_ids, batch, length, "token_type_ids")
        _check_integers(order, batch, length, "order")
        _check_integers(targets, batch, None, "targets")
        x = self.dropout(self.token_embedding(ids))
        if targets is not None:
            _check_targets(targets, order, length)
            query = self.mask_embedding.expand(batch, targets.size(1), -1)
            x = torch.cat([x, self.dropout(query)], dim=1)  # (batch, length + targets, d_model)
        relations = relate(x, attention_mask, token_type_ids, order, targets)
        relations = relations._replace(sinusoids=self.dropout(relations.sinusoids))
        for block in self.blocks:
            x = block(x, relations)
        return x if targets is None else x[:, length:]


class LeftToRight(nn.Module):
    """An XLNet that is asked from left to right: the causal language model that is in every XLNet.

    The order is that of the text, and every position but the first is a target. So whatever takes a causal model takes
    it: :func:`companion.losses.causal_loss`, the measures of :mod:`companion.metrics.language_model`.
    """

    def __init__(self, model: XLNet) -> None:
        """Share the weights of ``model``."""
        super().__init__()
        self.model = model
        self.config = model.config

    def forward(self, ids: Tensor) -> Tensor:
        """Score every token of the vocabulary as the next one, at each position.

        Args:
            ids: (batch, length), what is known.

        Returns:
            logits (batch, length, vocab_size).

        Raises:
            ValueError: see :meth:`XLNet.forward`.
        """
        next_one = torch.nn.functional.pad(ids, (0, 1))  # a place to ask about; what stands there is not read
        order = torch.arange(next_one.size(-1), device=ids.device).expand_as(next_one)
        return self.model(next_one, order=order, targets=order[:, 1:])


def _check_integers(numbers: Tensor | None, batch: int, length: int | None, name: str) -> None:
    """Check integers (batch, length), of any length at least 1 when None is given."""
    if numbers is None:
        return
    if numbers.is_floating_point() or numbers.is_complex() or numbers.dtype == torch.bool:
        raise TypeError(f"{name} must be integers; got {numbers.dtype}")
    fits = numbers.dim() == 2 and numbers.size(0) == batch and numbers.size(1) > 0
    if not fits or length not in (None, numbers.size(1)):
        wanted = f"({batch}, {'at least 1' if length is None else length})"
        raise ValueError(f"{name} must be of shape {wanted}; got {tuple(numbers.shape)}")


def _check_targets(targets: Tensor, order: Tensor | None, length: int) -> None:
    if order is None:
        raise ValueError("targets need an order: without one, each of them would see itself")
    low, high = int(targets.min()), int(targets.max())
    if low < 0 or high >= length:
        raise ValueError(f"targets must be positions, 0 to {length - 1}; got {low if low < 0 else high}")
