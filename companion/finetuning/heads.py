"""A pre-trained BERT learns a task: a new head reads its vectors, and both are trained on labels.

Three heads cover most tasks: a label for a text, a label for each token, and a span of the text as an answer. Their
losses are in :mod:`companion.losses.classification`. Chapter: ``book/algorithms/finetuning.ipynb``. Source: Devlin et al.
2019, "BERT", sections 3.2 and 4.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Encoding
from torch import Tensor, nn

from companion import checkpoints
from companion.checkpoints.bert_heads import HeadFamily, check_labels, read_labels, read_pooling
from companion.data.labelled import Rows, context_words, first_pieces
from companion.losses.classification import read
from companion.models.bert import Bert, BertConfig

POOLINGS = ("pooled", "cls")


class SequenceClassifier(nn.Module):
    """One label for a whole text: ``softmax(W c + b)``, c the vector that stands for the text (section 4.1).

    "pooled" reads ``c = tanh(W_p h_[CLS] + b_p)``, as BERT's release does: through the pooler that the sentence task
    trained, or a new one in families without (DistilBERT's bends with ReLU). "cls" reads ``c = h_[CLS]`` itself, as one
    does where no pooler was trained.
    """

    def __init__(self, bert: Bert, labels: Sequence[str], pooling: str = "pooled") -> None:
        """Put a new head on a body, which is not copied: training the one trains the other.

        Args:
            bert: the body.
            labels: their names; the score of ``labels[i]`` is number i.
            pooling: "pooled" or "cls".

        Raises:
            ValueError: on fewer than two labels, a name that comes twice, or an unknown pooling.
        """
        super().__init__()
        if pooling not in POOLINGS:
            raise ValueError(f"pooling must be one of {', '.join(POOLINGS)}; got {pooling!r}")
        self.config, self.labels, self.pooling = bert.config, check_labels(labels), pooling
        width = bert.config.d_model
        self.bert = bert
        pooled, in_body = pooling == "pooled", bert.config.sentence_head
        if pooled and in_body and bert.pooler is None:
            bert.pooler = _new(width, width)  # the body comes from a file without
        self.dense = _new(width, width) if pooled and not in_body else None
        self.dropout = nn.Dropout(bert.config.dropout)
        self.classifier = _new(width, len(self.labels))

    def forward(
        self, ids: Tensor, token_type_ids: Tensor | None = None, attention_mask: Tensor | None = None
    ) -> Tensor:
        """Score the labels of each text.

        Arguments and errors are those of :meth:`companion.models.bert.Bert.forward`; padding must stand at the end.

        Returns:
            logits (batch, labels).
        """
        if attention_mask is not None and not bool(attention_mask[:, 0].all()):
            raise ValueError("the first token stands for the text, so padding must stand at the end of a row")
        hidden = self.bert(ids, token_type_ids, attention_mask)  # (batch, length, d_model)
        if self.pooling == "cls":
            text = hidden[:, 0]
        elif self.dense is None:
            text = self.bert.pooled(hidden)
        else:
            text = self.dense(hidden[:, 0])
            text = text.relu() if self.config.family == "distilbert" else text.tanh()
        return self.classifier(self.dropout(text))  # (batch, labels)

    @classmethod
    def from_pretrained(cls, folder_or_hub_id: str | Path) -> "SequenceClassifier":
        """Load a ``…ForSequenceClassification`` of the four families, with the names of its labels.

        Raises:
            companion.checkpoints.CheckpointError: see :func:`companion.checkpoints.load_model`; also for another head's file.
        """
        folder = checkpoints.locate(folder_or_hub_id)
        labels, pooling = read_labels(folder), read_pooling(folder)
        family = HeadFamily("token", first_token=True) if pooling == "cls" else HeadFamily("sequence")
        body = _without_pooler if pooling == "cls" else Bert
        return checkpoints.load_model(lambda config: cls(body(config), labels, pooling), BertConfig, family, folder)

    def save_pretrained(self, folder: str | Path, shard_bytes: int | None = None) -> None:
        """Write a checkpoint that ``transformers`` loads, with the names of the labels.

        It has no class that reads [CLS] without a pooler, but its ``…ForTokenClassification`` computes the same at the
        first token, and so a "cls" classifier is written as one.
        """
        cls = self.pooling == "cls"
        family = HeadFamily("token" if cls else "sequence", self.labels, first_token=cls)
        checkpoints.save(self, family, folder, shard_bytes=shard_bytes)


class TokenClassifier(nn.Module):
    """A label for each token: ``softmax(W h_t + b)`` (Devlin et al. 2019, section 5.3)."""

    def __init__(self, bert: Bert, labels: Sequence[str]) -> None:
        """Put a new head on a body, which is not copied; see :class:`SequenceClassifier` for arguments and errors."""
        super().__init__()
        self.config, self.labels = bert.config, check_labels(labels)
        self.bert = bert
        self.dropout = nn.Dropout(bert.config.dropout)
        self.classifier = _new(bert.config.d_model, len(self.labels))

    def forward(
        self, ids: Tensor, token_type_ids: Tensor | None = None, attention_mask: Tensor | None = None
    ) -> Tensor:
        """Score the labels of each token: logits (batch, length, labels); arguments as :class:`Bert`'s."""
        return self.classifier(self.dropout(self.bert(ids, token_type_ids, attention_mask)))

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
    """An answer as a span of the text: two scores a token, for starting and for ending the answer (section 4.2)."""

    def __init__(self, bert: Bert) -> None:
        """Put a new head on a body, which is not copied."""
        super().__init__()
        self.config = bert.config
        self.bert = bert
        self.qa_outputs = _new(bert.config.d_model, 2)

    def forward(
        self, ids: Tensor, token_type_ids: Tensor | None = None, attention_mask: Tensor | None = None
    ) -> Tensor:
        """Score each token as the first and as the last of the answer: (batch, length, 2); arguments as Bert's."""
        return self.qa_outputs(self.bert(ids, token_type_ids, attention_mask))

    @classmethod
    def from_pretrained(cls, folder_or_hub_id: str | Path) -> "ExtractiveQA":
        """Load a ``…ForQuestionAnswering``; errors as :meth:`SequenceClassifier.from_pretrained`."""
        family = HeadFamily("span")
        return checkpoints.load_model(lambda config: cls(_without_pooler(config)), BertConfig, family, folder_or_hub_id)

    def save_pretrained(self, folder: str | Path, shard_bytes: int | None = None) -> None:
        """Write a checkpoint that ``transformers`` loads."""
        checkpoints.save(self, HeadFamily("span"), folder, shard_bytes=shard_bytes)


@torch.no_grad()
def predict(model: Any, rows: Rows, batch_size: int = 64) -> Tensor:
    """Return what a model says of all rows, on the CPU and in their order.

    Args:
        model: one of the three above; its mode is left alone, pass one in evaluation mode.
        rows: of :mod:`companion.data.labelled`.
        batch_size: rows computed at once.
    """
    device = next(model.parameters()).device
    parts = []
    for start in range(0, len(rows.inputs), batch_size):
        part = type(rows)(*(column[start : start + batch_size].to(device) for column in rows))
        parts.append(read(model, part).float().cpu())
    return torch.cat(parts)


def predicted_labels(logits: Tensor, labels: Sequence[str]) -> list[str]:
    """Name the likeliest label of each text; logits (texts, labels)."""
    return [labels[number] for number in logits.argmax(-1).tolist()]


def predicted_tags(logits: Tensor, encodings: Sequence[Encoding], labels: Sequence[str]) -> list[list[str]]:
    """Name the likeliest label of each *word*, read at its first piece.

    Args:
        logits: (texts, length, labels).
        encodings: of the texts.
        labels: their names.
    """
    rows = zip(logits.argmax(-1).tolist(), encodings, strict=True)
    return [[labels[numbers[place]] for place in first_pieces(encoding)] for numbers, encoding in rows]


def predicted_spans(logits: Tensor, encodings: Sequence[Encoding]) -> list[tuple[int, int]]:
    """Find the words [begin, end) of each context whose start and end score highest together.

    ``argmax_{i <= j} S_i + E_j`` over the context's tokens (section 4.2).

    Args:
        logits: (texts, length, 2).
        encodings: of the texts; the context is the last part of each.
    """
    spans = []
    for scores, encoding in zip(logits, encodings, strict=True):
        words = context_words(encoding)
        places = sorted(words)
        start, end = scores[places].unbind(-1)  # (context,) each
        backwards = torch.ones(len(places), len(places), dtype=torch.bool).tril(-1)
        both = (start[:, None] + end[None, :]).masked_fill(backwards, -torch.inf)  # (first, last)
        first, last = divmod(int(both.argmax()), len(places))
        spans.append((words[places[first]], words[places[last]] + 1))
    return spans


def _without_pooler(config: BertConfig) -> Bert:
    """A body for a file that has no pooler, so that no random one comes with it."""
    bert = Bert(config)
    bert.pooler = None
    return bert


def _new(width: int, outputs: int) -> nn.Linear:
    """A layer with BERT's initial weights."""
    layer = nn.Linear(width, outputs)
    nn.init.normal_(layer.weight, std=0.02)
    nn.init.zeros_(layer.bias)
    return layer
