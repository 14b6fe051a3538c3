"""XLNet, a permutation language model with two streams: a query stream knows a target's position, not its token.

Chapter: ``book/algorithms/xlnet.ipynb``. Sources: Yang et al. 2019, "XLNet: Generalized Autoregressive Pretraining for
Language Understanding", section 2; relative positions after Dai et al. 2019, "Transformer-XL", section 3.3.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from companion.checkpoints import xlnet
from companion.checkpoints.pretrained import Pretrained
from companion.nn.checks import check_dropout, check_eps, check_heads, check_ids, check_mask, check_sizes
from companion.nn.feed_forward import ACTIVATIONS, FeedForward
from companion.nn.field_types import check_field_types
from companion.nn.two_stream_attention import Relations, TwoStreamAttention, relate


@dataclass(frozen=True)
class XLNetConfig:
    """The sizes of an XLNet. There is no context length: positions are relative.

    Attributes:
        vocab_size: number of tokens in the vocabulary.
        n_layers: number of blocks.
        n_heads: attention heads per block; each has d_model / n_heads dimensions.
        d_model: width of both streams, even.
        d_ff: width inside the feed-forward network; 4 d_model when not given.
        dropout: probability of dropping an activation in training.
        activation: "gelu", "relu" or "gelu_new".
        norm_eps: number added to the variance in LayerNorm.
        tied: whether the output matrix is the token embedding; the output bias is learned in any case.
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
        check_field_types(self)
        check_sizes(self, ("vocab_size", "n_layers", "n_heads", "d_model", "d_ff"))
        check_dropout(self.dropout)
        check_eps(self.norm_eps)
        check_heads(self.d_model, self.n_heads)
        if self.d_model % 2:
            raise ValueError(f"d_model must be even, for sines and cosines; got {self.d_model}")
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}; got {self.activation!r}")


class Block(nn.Module):
    """A post-LN block of both streams: attend, add, normalise; feed forward, add, normalise."""

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
        x = self.feed_forward_norm(x + self.dropout(self.feed_forward(x)))
        return x


class XLNet(Pretrained):
    """A permutation language model, exact enough to load any XLNet checkpoint; no memory of earlier segments.

    Example:
        >>> model = XLNet(XLNetConfig(vocab_size=10, n_layers=1, n_heads=2, d_model=12))
        >>> ids, order = torch.tensor([[1, 2, 3]]), torch.tensor([[2, 0, 1]])
        >>> model(ids, order=order, targets=torch.tensor([[0, 2]])).shape  # the logits of two targets
        torch.Size([1, 2, 10])
    """

    config_class = XLNetConfig
    checkpoint_family = xlnet

    def __init__(self, config: XLNetConfig) -> None:
        """Make a model with XLNet's initial weights, N(0, 0.02)."""
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.mask_embedding = nn.Parameter(torch.empty(1, 1, config.d_model))  # the query stream's input at each target
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
        """Return the logits of the token at each target, or at each position when there are no targets.

        Args:
            ids: (batch, length) token ids, in the order of the text whatever ``order`` is.
            attention_mask: boolean (batch, length), True = a real token, False = padding that no token attends to.
            token_type_ids: integers (batch, length), the segment of each token; all of one segment when not given.
            order: integers (batch, length), the rank of each position in the factorisation order; every position
                attends to every other when not given. See :func:`companion.nn.masks.order_mask`.
            targets: (batch, k) positions to predict; they attend to lower ranks only, and never to themselves.

        Returns:
            logits of the query stream (batch, k, vocab_size), or without targets of the content stream
            (batch, length, vocab_size), in which each position attends to its own token too.

        Raises:
            ValueError: on ids of the wrong rank or outside the vocabulary, an empty text, a mask, segments, ranks or
                targets of another shape, targets outside the text, or targets without an order.
            TypeError: on a mask that is not boolean, or segments, ranks or targets that are not integers.
        """
        arguments = {"token_type_ids": token_type_ids, "order": order, "targets": targets}
        logits: Tensor = self.unembedding(self.dropout(self.encode(ids, attention_mask, **arguments)))
        return logits

    def encode(
        self,
        ids: Tensor,
        attention_mask: Tensor | None = None,
        *,
        token_type_ids: Tensor | None = None,
        order: Tensor | None = None,
        targets: Tensor | None = None,
    ) -> Tensor:
        """Return the last hidden states, (batch, k, d_model) of the targets or (batch, length, d_model) of the text."""
        check_ids(ids, self.config.vocab_size)
        batch, length = ids.shape
        check_mask(attention_mask, batch, length)
        _check_integers(token_type_ids, batch, length, "token_type_ids")
        _check_integers(order, batch, length, "order")
        _check_integers(targets, batch, None, "targets")
        x: Tensor = self.dropout(self.token_embedding(ids))
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
    """The causal language model that is in every XLNet: its factorisation order is that of the text.

    Every position but the first is a target. So the losses and metrics of causal models apply to it:
    :func:`companion.losses.causal_loss`, the measures of :mod:`companion.metrics.language_model`.
    """

    def __init__(self, model: XLNet) -> None:
        """Wrap ``model``, whose weights are used as they are."""
        super().__init__()
        self.model = model
        self.config = model.config

    def forward(self, ids: Tensor) -> Tensor:
        """Return the logits of the next token, at each position.

        Args:
            ids: (batch, length), the context.

        Returns:
            logits (batch, length, vocab_size).

        Raises:
            ValueError: on ids that :meth:`XLNet.forward` refuses.
        """
        extended = torch.nn.functional.pad(ids, (0, 1))  # one more position to predict; its token is never attended to
        order = torch.arange(extended.size(-1), device=ids.device).expand_as(extended)
        logits: Tensor = self.model(extended, order=order, targets=order[:, 1:])
        return logits


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
