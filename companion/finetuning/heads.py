"""Task heads on a pre-trained BERT: sequence classification, token classification, extractive question answering.

Head and body are trained together on labels; the losses are in :mod:`companion.losses.classification`. Chapter:
``book/algorithms/finetuning.ipynb``. Source: Devlin et al. 2019, "BERT", sections 3.2 and 4.
"""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from companion import checkpoints
from companion.checkpoints.bert_heads import HeadFamily, check_labels, read_labels, read_pooling
from companion.models.bert import Bert, BertConfig
from companion.nn.watching import is_watched

POOLINGS = ("pooled", "cls")


class SequenceClassifier(nn.Module):
    """Sequence classifier, one label per text: ``softmax(W c + b)``, c the vector of the text (section 4.1).

    With "pooled", ``c = tanh(W_p h_[CLS] + b_p)``, as in BERT's release: the pooler trained on the sentence task, or a
    new one in families without (DistilBERT's has a ReLU). With "cls", ``c = h_[CLS]`` itself, as is usual where no
    pooler was trained.

    >>> import torch
    >>> bert = Bert(BertConfig(vocab_size=9, context_length=4, n_layers=1, n_heads=1, d_model=4))
    >>> model = SequenceClassifier(bert, ["negative", "positive"])
    >>> model(torch.tensor([[1, 2, 3]])).shape  # one text, two labels
    torch.Size([1, 2])
    """

    def __init__(self, bert: Bert, labels: Sequence[str], pooling: str = "pooled") -> None:
        """Put a new head on a body, which is not copied: both share its parameters.

        Args:
            bert: the body.
            labels: names of the labels; logit i is that of ``labels[i]``.
            pooling: "pooled" or "cls".

        Raises:
            ValueError: on fewer than two labels, a duplicate name, or an unknown pooling.
        """
        super().__init__()
        if pooling not in POOLINGS:
            raise ValueError(f"pooling must be one of {', '.join(POOLINGS)}; got {pooling!r}")
        self.config, self.labels, self.pooling = bert.config, check_labels(labels), pooling
        width = bert.config.d_model
        self.bert, self.has_segments = bert, bert.config.n_segments > 1
        pooled, in_body = pooling == "pooled", bert.config.sentence_head
        if pooled and in_body and bert.pooler is None:
            bert.pooler = _linear(width, width)  # the body comes from a file without one
        self.dense = _linear(width, width) if pooled and not in_body else None
        self.dropout = nn.Dropout(bert.config.dropout)
        self.classifier = _linear(width, len(self.labels))

    def forward(
        self, ids: Tensor, token_type_ids: Tensor | None = None, attention_mask: Tensor | None = None
    ) -> Tensor:
        """Logits of each text's label.

        Arguments and errors are those of :meth:`companion.models.bert.Bert.forward`; padding must be at the end.

        Returns:
            logits (batch, labels).
        """
        if attention_mask is not None and not bool(attention_mask[:, 0].all()):
            raise ValueError("the first token stands for the text, so padding must stand at the end of a row")
        # whoever watches the body sees all positions
        hidden = self.bert(ids, token_type_ids, attention_mask, first_only=not is_watched(self.bert))
        if self.pooling == "cls":
            text = hidden[:, 0]
        elif self.dense is None:
            text = self.bert.pooled(hidden)
        else:
            text = self.dense(hidden[:, 0])
            text = text.relu() if self.config.family == "distilbert" else text.tanh()
        logits: Tensor = self.classifier(self.dropout(text))  # (batch, labels)
        return logits

    def with_body(self, bert: Bert) -> "SequenceClassifier":
        """Sequence classifier with the same labels and pooling, and a new head, on another body."""
        return SequenceClassifier(bert, self.labels, self.pooling)

    @classmethod
    def from_pretrained(cls, folder_or_hub_id: str | Path) -> "SequenceClassifier":
        """Load a ``…ForSequenceClassification`` of the four families, with the names of its labels.

        Raises:
            companion.checkpoints.CheckpointError: see :func:`companion.checkpoints.load_model`; also for a file with
                another head.
        """
        folder = checkpoints.locate(folder_or_hub_id)
        labels, pooling = read_labels(folder), read_pooling(folder)
        family = HeadFamily("token", first_token=True) if pooling == "cls" else HeadFamily("sequence")
        body = _without_pooler if pooling == "cls" else Bert
        return checkpoints.load_model(lambda config: cls(body(config), labels, pooling), BertConfig, family, folder)

    def save_pretrained(self, folder: str | Path, shard_bytes: int | None = None) -> None:
        """Write a checkpoint that ``transformers`` loads, with the names of the labels.

        It has no class for [CLS] without a pooler, but its ``…ForTokenClassification`` computes the same at the first
        token, and so a "cls" classifier is written as one.
        """
        cls = self.pooling == "cls"
        family = HeadFamily("token" if cls else "sequence", self.labels, first_token=cls)
        checkpoints.save(self, family, folder, shard_bytes=shard_bytes)


class TokenClassifier(nn.Module):
    """Token classifier, one label per token: ``softmax(W h_t + b)`` (Devlin et al. 2019, section 5.3)."""

    def __init__(self, bert: Bert, labels: Sequence[str]) -> None:
        """Put a new head on a body, which is not copied; see :class:`SequenceClassifier` for arguments and errors."""
        super().__init__()
        self.config, self.labels = bert.config, check_labels(labels)
        self.bert, self.has_segments = bert, bert.config.n_segments > 1
        self.dropout = nn.Dropout(bert.config.dropout)
        self.classifier = _linear(bert.config.d_model, len(self.labels))

    def forward(
        self, ids: Tensor, token_type_ids: Tensor | None = None, attention_mask: Tensor | None = None
    ) -> Tensor:
        """Logits of each token's label, (batch, length, labels); arguments as :class:`Bert`'s."""
        logits: Tensor = self.classifier(self.dropout(self.bert(ids, token_type_ids, attention_mask)))
        return logits

    def with_body(self, bert: Bert) -> "TokenClassifier":
        """Token classifier with the same labels, and a new head, on another body."""
        return TokenClassifier(bert, self.labels)

    @classmethod
    def from_pretrained(cls, folder_or_hub_id: str | Path) -> "TokenClassifier":
        """Load a ``…ForTokenClassification``; errors as :meth:`SequenceClassifier.from_pretrained`."""
        folder = checkpoints.locate(folder_or_hub_id)
        labels = read_labels(folder)
        family = HeadFamily("token")
        return checkpoints.load_model(lambda config: cls(_without_pooler(config), labels), BertConfig, family, folder)

    def save_pretrained(self, folder: str | Path, shard_bytes: int | None = None) -> None:
        """Write a checkpoint that ``transformers`` loads, with the names of the labels."""
        checkpoints.save(self, HeadFamily("token", self.labels), folder, shard_bytes=shard_bytes)


class ExtractiveQA(nn.Module):
    """Extractive question answering: two logits per token, for the answer's start and for its end (section 4.2)."""

    def __init__(self, bert: Bert) -> None:
        """Put a new head on a body, which is not copied."""
        super().__init__()
        self.config = bert.config
        self.bert, self.has_segments = bert, bert.config.n_segments > 1
        self.qa_outputs = _linear(bert.config.d_model, 2)

    def forward(
        self, ids: Tensor, token_type_ids: Tensor | None = None, attention_mask: Tensor | None = None
    ) -> Tensor:
        """Logits of each token as start and as end of the answer, (batch, length, 2); arguments as :class:`Bert`'s."""
        logits: Tensor = self.qa_outputs(self.bert(ids, token_type_ids, attention_mask))
        return logits

    @classmethod
    def from_pretrained(cls, folder_or_hub_id: str | Path) -> "ExtractiveQA":
        """Load a ``…ForQuestionAnswering``; errors as :meth:`SequenceClassifier.from_pretrained`."""
        family = HeadFamily("span")
        return checkpoints.load_model(lambda config: cls(_without_pooler(config)), BertConfig, family, folder_or_hub_id)

    def save_pretrained(self, folder: str | Path, shard_bytes: int | None = None) -> None:
        """Write a checkpoint that ``transformers`` loads."""
        checkpoints.save(self, HeadFamily("span"), folder, shard_bytes=shard_bytes)


def _without_pooler(config: BertConfig) -> Bert:
    """Body without a pooler, for a file that has none."""
    bert = Bert(config)
    bert.pooler = None
    return bert


def _linear(width: int, outputs: int) -> nn.Linear:
    """Linear layer with BERT's initialization."""
    layer = nn.Linear(width, outputs)
    nn.init.normal_(layer.weight, std=0.02)
    nn.init.zeros_(layer.bias)
    return layer
