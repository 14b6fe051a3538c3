"""BERT, a bidirectional encoder trained as a masked language model, and four variants of it.

================  ===========  ===============  ============================  ============  ==============
What differs      BERT         RoBERTa          ALBERT                        DistilBERT    ELECTRA
================  ===========  ===============  ============================  ============  ==============
first position    0            pad_id + 1       0                             0             0
segments          2            1, so no use     2                             none          2
token embedding   d_model      d_model          d_embedding, then widened     d_model       as ALBERT's
blocks            n_layers     n_layers         one group, used n_layers      n_layers      n_layers
                                                times, or a few groups
sentence head     follows?     none             in order?                     none          none
================  ===========  ===============  ============================  ============  ==============

ELECTRA's second head, for replaced tokens, is in :mod:`companion.models.electra`. Chapters:
``book/algorithms/bert.ipynb``, ``book/algorithms/bert_family.ipynb``, ``book/algorithms/encoders.ipynb``. Sources:
Devlin et al. 2019, section 3; Liu et al. 2019 (RoBERTa); Lan et al. 2020 (ALBERT), section 3.1; Sanh et al. 2019
(DistilBERT), section 3; Clark et al. 2020 (ELECTRA), section 3.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from companion.checkpoints import bert as names
from companion.checkpoints.pretrained import Pretrained
from companion.models.transformer import EncoderBlock, Stack
from companion.nn.checks import (
    LARGEST_SIZE,
    check_dropout,
    check_eps,
    check_heads,
    check_ids,
    check_integer,
    check_mask,
    check_segments,
    check_sizes,
)
from companion.nn.feed_forward import ACTIVATIONS
from companion.nn.field_types import check_field_types
from companion.nn.initialization import normal_initialization
from companion.nn.masks import key_mask
from companion.nn.positions import real_positions

FAMILIES = ("bert", "roberta", "albert", "distilbert", "electra")
NARROW = ("albert", "electra")  # families whose embeddings may be narrower than d_model


@dataclass(frozen=True)
class BertConfig:
    """The sizes of a BERT; BERT-base is 12 layers, 12 heads, d_model 768.

    Attributes:
        vocab_size: number of tokens in the vocabulary.
        context_length: number of positions, the length of the longest text.
        n_layers: number of layers that a text runs through, each a block, or in ALBERT a group of blocks.
        n_heads: attention heads per block.
        d_model: width of the residual stream.
        d_ff: width inside the feed-forward network; 4 d_model when not given.
        d_embedding: width of the embeddings; d_model when not given, and in all families but ALBERT and ELECTRA.
        n_groups: number of groups of blocks that ALBERT's layers share, as many consecutive layers each; 1 in the
            published models.
        blocks_per_group: number of blocks in each of ALBERT's groups, one after the other; 1 in the published models.
        n_segments: number of segment embeddings; DistilBERT has 0.
        dropout: probability of dropping an activation in training.
        activation: "gelu", or another of ``ACTIVATIONS``.
        norm_eps: number added to the variance in LayerNorm.
        tied: whether the output matrix is the token embedding.
        pad_id: id of the padding token; RoBERTa's first position is ``pad_id`` + 1.
        family: "bert", "roberta", "albert", "distilbert" or "electra".
    """

    vocab_size: int
    context_length: int
    n_layers: int
    n_heads: int
    d_model: int
    d_ff: int | None = None
    d_embedding: int | None = None
    n_segments: int = 2
    dropout: float = 0.0
    activation: str = "gelu"
    norm_eps: float = 1e-12
    tied: bool = True
    pad_id: int = 0
    family: str = "bert"
    n_groups: int = 1
    blocks_per_group: int = 1

    @classmethod
    def roberta(cls, **sizes: Any) -> "BertConfig":
        """Return the configuration of a RoBERTa: no sentence head, one segment, positions from ``pad_id`` + 1."""
        return cls(**{"n_segments": 1, "pad_id": 1, "norm_eps": 1e-5, **sizes}, family="roberta")

    @classmethod
    def albert(cls, **sizes: Any) -> "BertConfig":
        """Return the configuration of an ALBERT: narrow embeddings, blocks that layers share, sentence-order head."""
        return cls(**{"activation": "gelu_new", **sizes}, family="albert")

    @classmethod
    def distilbert(cls, **sizes: Any) -> "BertConfig":
        """Return the configuration of a DistilBERT: neither segments nor a sentence head."""
        return cls(**sizes, n_segments=0, family="distilbert")

    @classmethod
    def electra(cls, **sizes: Any) -> "BertConfig":
        """Return the configuration of an ELECTRA, of its generator or its discriminator: no sentence head."""
        return cls(**sizes, family="electra")

    def __post_init__(self) -> None:
        """Raise ValueError on a size out of range, or a part that the family does not have."""
        check_field_types(self)
        check_sizes(self, ("vocab_size", "context_length", "n_layers", "n_heads", "d_model", "d_ff", "d_embedding"))
        check_sizes(self, ("n_groups", "blocks_per_group"))
        check_integer("n_segments", self.n_segments, least=0, most=LARGEST_SIZE)
        check_dropout(self.dropout)
        check_eps(self.norm_eps)
        check_heads(self.d_model, self.n_heads)
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}; got {self.activation!r}")
        if self.family not in FAMILIES:
            raise ValueError(f"family must be one of {', '.join(FAMILIES)}; got {self.family!r}")
        if self.family not in NARROW and self.d_embedding not in (None, self.d_model):
            raise ValueError(
                f"only ALBERT and ELECTRA have a d_embedding beside d_model; got {self.d_embedding} in {self.family!r}"
            )
        groups = self.n_groups, self.blocks_per_group
        if groups != (1, 1) and self.family != "albert":
            raise ValueError(f"n_groups and blocks_per_group are ALBERT's; got {groups} in {self.family!r}")
        if not 1 <= self.n_groups <= self.n_layers:
            raise ValueError(f"n_groups must be 1 to n_layers; got {self.n_groups} of {self.n_layers}")
        if (self.n_segments < 1) != (self.family == "distilbert"):
            raise ValueError(f"n_segments must be 0 in DistilBERT and at least 1 elsewhere; got {self.n_segments}")
        if not 0 <= self.pad_id < self.vocab_size:
            raise ValueError(f"pad_id must be in the vocabulary, 0 to {self.vocab_size - 1}; got {self.pad_id}")

    @property
    def first_position(self) -> int:
        """The index of the first position; the embeddings before it are never used."""
        return self.pad_id + 1 if self.family == "roberta" else 0

    @property
    def widens(self) -> bool:
        """Whether embeddings pass a linear map to d_model: always in ALBERT, and in ELECTRA where they are narrower."""
        return self.family == "albert" or self.d_embedding not in (None, self.d_model)

    @property
    def layer_groups(self) -> tuple[int, ...]:
        """The group of each layer; rounded as ``transformers`` does."""
        return tuple(int(layer / (self.n_layers / self.n_groups)) for layer in range(self.n_layers))

    @property
    def sentence_head(self) -> bool:
        """Whether the model has a sentence head for pairs of sentences, and so a pooler."""
        return self.family in ("bert", "albert")


class Bert(Pretrained):
    """The BERT encoder: embeddings, and a stack of post-LN blocks in which every token attends to every other.

    Example:
        >>> bert = Bert(BertConfig(vocab_size=10, context_length=8, n_layers=2, n_heads=2, d_model=12))
        >>> bert(torch.tensor([[1, 2, 3]])).shape
        torch.Size([1, 3, 12])
    """

    config_class = BertConfig
    checkpoint_family = names.BODY

    def __init__(self, config: BertConfig) -> None:
        """Make a model with BERT's initial weights, N(0, 0.02)."""
        super().__init__()
        self.config = config
        d_embedding = config.d_embedding or config.d_model
        self.token_embedding = nn.Embedding(config.vocab_size, d_embedding)
        self.position_embedding = nn.Embedding(config.first_position + config.context_length, d_embedding)
        self.segment_embedding = nn.Embedding(config.n_segments, d_embedding) if config.n_segments else None
        self.embedding_norm = nn.LayerNorm(d_embedding, eps=config.norm_eps)
        self.dropout = nn.Dropout(config.dropout)
        self.widen = nn.Linear(d_embedding, config.d_model) if config.widens else nn.Identity()
        d_ff = config.d_ff or 4 * config.d_model
        sizes = (config.d_model, config.n_heads, d_ff, config.activation, config.norm_eps, config.dropout)
        if config.family == "albert":
            groups = [[EncoderBlock(*sizes) for _ in range(config.blocks_per_group)] for _ in range(config.n_groups)]
            self.encoder = Stack([block for group in config.layer_groups for block in groups[group]])  # again and again
        else:
            self.encoder = Stack([EncoderBlock(*sizes) for _ in range(config.n_layers)])
        self.pooler = nn.Linear(config.d_model, config.d_model) if config.sentence_head else None
        self.apply(normal_initialization)

    def forward(
        self,
        ids: Tensor,
        token_type_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        *,
        first_only: bool = False,
    ) -> Tensor:
        """Return the contextual vector of each token.

        Args:
            ids: (batch, length) token ids.
            token_type_ids: (batch, length), the segment of each token; all 0 when not given.
            attention_mask: boolean (batch, length), True = a real token, False = padding that no token attends to;
                positions are counted over the real tokens, so padding may stand before a text or after it.
            first_only: return the vector of the first token alone, and let the last block compute no other.

        Returns:
            (batch, length, d_model), or (batch, 1, d_model).

        Raises:
            ValueError: on ids or segments of the wrong shape or out of range, an empty text, or one longer than
                the context, segments for a model that has none, or a mask of another shape than the text's.
            TypeError: on a mask that is not boolean.
        """
        check_ids(ids, self.config.vocab_size, self.config.context_length)
        check_mask(attention_mask, *ids.shape)
        check_segments(token_type_ids, ids, self.config.n_segments)
        positions = real_positions(ids, attention_mask) + self.config.first_position
        x = self.token_embedding(ids) + self.position_embedding(positions)  # (batch, length, d_embedding)
        if self.segment_embedding is not None:
            x = x + self.segment_embedding(torch.zeros_like(ids) if token_type_ids is None else token_type_ids)
        x = self.widen(self.dropout(self.embedding_norm(x)))  # (batch, length, d_model)
        if not first_only:
            hidden: Tensor = self.encoder(x, key_mask(attention_mask))
            return hidden
        *blocks, last = self.encoder.blocks
        for block in blocks:
            x = block(x, key_mask(attention_mask))
        first: Tensor = last(x, key_mask(attention_mask), first_only=True)
        return first

    def pooled(self, hidden: Tensor) -> Tensor:
        """Return the pooled vector of each text: ``tanh(W h_[CLS] + b)``, h_[CLS] being the first token's.

        Families without a sentence head have no pooler; theirs is the first token's vector itself.

        Args:
            hidden: (batch, length, d_model), returned by :meth:`forward`; padding, if any, at the end.

        Returns:
            (batch, d_model).
        """
        return hidden[:, 0] if self.pooler is None else self.pooler(hidden[:, 0]).tanh()


class BertForPreTraining(Pretrained):
    """BERT with its two pretraining heads: masked language model, and next sentence (ALBERT: sentence order)."""

    config_class = BertConfig
    checkpoint_family = names.FULL

    def __init__(self, config: BertConfig) -> None:
        """Make the body and its heads."""
        super().__init__()
        self.config = config
        self.bert = Bert(config)
        d_embedding = config.d_embedding or config.d_model
        self.transform = nn.Linear(config.d_model, d_embedding)
        # RoBERTa's and ELECTRA's heads have the exact GELU, whatever the blocks have
        self.activation = ACTIVATIONS["gelu" if config.family in ("roberta", "electra") else config.activation]
        self.transform_norm = nn.LayerNorm(d_embedding, eps=config.norm_eps)
        self.decoder = nn.Linear(d_embedding, config.vocab_size)
        self.sentence_head = nn.Linear(config.d_model, 2) if config.sentence_head else None
        self.apply(normal_initialization)
        if config.tied:
            self.decoder.weight = self.bert.token_embedding.weight

    def forward(
        self, ids: Tensor, token_type_ids: Tensor | None = None, attention_mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Return the logits of every token at each position, and those of the pair of segments.

        Arguments and errors are those of :meth:`Bert.forward`.

        Returns:
            logits (batch, length, vocab_size); and logits (batch, 2) of 0 "B follows A" or "in order" and 1 "B comes
            from elsewhere" or "swapped", None in families without a sentence head.
        """
        hidden = self.bert(ids, token_type_ids, attention_mask)
        logits = self.decoder(self.transform_norm(self.activation(self.transform(hidden))))
        sentence = None if self.sentence_head is None else self.sentence_head(self.bert.pooled(hidden))
        return logits, sentence


def segments_of(ids: Tensor, sep_id: int) -> Tensor:
    """Return the segment of each token: 0 up to and with the first ``[SEP]``, 1 after it.

    Args:
        ids: (batch, length).
        sep_id: id of ``[SEP]``.

    Returns:
        (batch, length).

    Example:
        >>> segments_of(torch.tensor([[1, 5, 2, 6, 2]]), sep_id=2).tolist()
        [[0, 0, 0, 1, 1]]
    """
    ends = (ids == sep_id).long()
    return (ends.cumsum(1) - ends).clamp(max=1)
