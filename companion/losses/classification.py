"""Losses of fine-tuning: text classification, token classification (tagging), and extractive question answering.

Chapter: ``book/algorithms/finetuning.ipynb``. Source: Devlin et al. 2019, "BERT", section 4.
"""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from companion.data.batch import IGNORED
from companion.data.labelled import Labelled, Rows, SpanQuestions, Tagged
from companion.losses.cross_entropy import cross_entropy


def head_logits(model: Any, batch: Rows) -> Tensor:
    """Logits of a model with a task head for a batch of texts.

    Args:
        model: a model of :mod:`companion.finetuning`; segments are passed only to one that ``has_segments``.
        batch: texts with labels, tags or answers, which are not read.
    """
    types = batch.token_type_ids if model.has_segments else None
    logits: Tensor = model(batch.inputs, types, batch.attention_mask)
    return logits


def classification_loss(model: nn.Module, batch: Labelled) -> Tensor:
    """Cross-entropy of each text's label, in nats.

    >>> import torch
    >>> from companion.finetuning.heads import SequenceClassifier
    >>> from companion.models.bert import Bert, BertConfig
    >>> bert = Bert(BertConfig(vocab_size=9, context_length=4, n_layers=1, n_heads=1, d_model=4))
    >>> model = SequenceClassifier(bert, ["no", "yes"])
    >>> _ = torch.nn.init.zeros_(model.classifier.weight)  # so that both labels are equally likely
    >>> ids = torch.tensor([[1, 2, 3]])
    >>> batch = Labelled(ids, torch.zeros_like(ids), ids > 0, torch.tensor([1]))
    >>> round(classification_loss(model, batch).item(), 4)  # log 2
    0.6931

    Args:
        model: (ids, token_type_ids, attention_mask) -> logits (batch, labels).
        batch: texts with a label each.

    Raises:
        ValueError: when a label is out of range.
    """
    logits = head_logits(model, batch)
    _check_range(batch.labels, logits.size(-1))
    return cross_entropy(logits, batch.labels)


def tagging_loss(model: nn.Module, batch: Tagged) -> Tensor:
    """Cross-entropy of each word's tag, in nats, at the word's first token.

    >>> import torch
    >>> from companion.finetuning.heads import TokenClassifier
    >>> from companion.models.bert import Bert, BertConfig
    >>> bert = Bert(BertConfig(vocab_size=9, context_length=4, n_layers=1, n_heads=1, d_model=4))
    >>> model = TokenClassifier(bert, ["O", "B-PER", "I-PER"])
    >>> _ = torch.nn.init.zeros_(model.classifier.weight)  # so that all tags are equally likely
    >>> ids = torch.tensor([[1, 2, 3]])
    >>> batch = Tagged(ids, torch.zeros_like(ids), ids > 0, torch.tensor([[IGNORED, 1, IGNORED]]))
    >>> round(tagging_loss(model, batch).item(), 4)  # log 3
    1.0986

    Args:
        model: (ids, token_type_ids, attention_mask) -> logits (batch, length, labels).
        batch: texts with a tag for each word.

    Raises:
        ValueError: when a tag is out of range, or no word has one.
    """
    logits = head_logits(model, batch)
    _check_range(batch.labels[batch.labels != IGNORED], logits.size(-1))
    return cross_entropy(logits, batch.labels)


def span_loss(model: nn.Module, batch: SpanQuestions) -> Tensor:
    """Extractive question-answering loss, in nats: mean of the cross-entropies of the answer's start and end position.

    ``L = -1/2 (log p_start(s) + log p_end(e))``, each a softmax over the text's real tokens (section 4.2).

    >>> import torch
    >>> from companion.finetuning.heads import ExtractiveQA
    >>> from companion.models.bert import Bert, BertConfig
    >>> model = ExtractiveQA(Bert(BertConfig(vocab_size=9, context_length=4, n_layers=1, n_heads=1, d_model=4)))
    >>> _ = torch.nn.init.zeros_(model.qa_outputs.weight)  # so that all positions are equally likely
    >>> ids = torch.tensor([[1, 2, 3, 0]])  # the last one is padding
    >>> batch = SpanQuestions(ids, torch.zeros_like(ids), ids > 0, torch.tensor([1]), torch.tensor([2]))
    >>> round(span_loss(model, batch).item(), 4)  # log 3
    1.0986

    Args:
        model: (ids, token_type_ids, attention_mask) -> logits (batch, length, 2).
        batch: texts with an answer each.

    Raises:
        ValueError: when a start or an end is not in the text.
    """
    logits = head_logits(model, batch).float().masked_fill(~batch.attention_mask[..., None], -float("inf"))
    for positions in (batch.starts, batch.ends):
        _check_range(positions, logits.size(1))
        if not bool(batch.attention_mask.gather(1, positions[:, None]).all()):
            raise ValueError(f"an answer starts and ends at real tokens; got {positions.tolist()}, one on padding")
    start, end = logits.unbind(-1)  # (batch, length) each
    return (F.cross_entropy(start, batch.starts) + F.cross_entropy(end, batch.ends)) / 2


def _check_range(labels: Tensor, count: int) -> None:
    low, high = (int(labels.min()), int(labels.max())) if labels.numel() else (0, 0)
    if low < 0 or high >= count:
        raise ValueError(f"labels must be 0 to {count - 1}; got {low if low < 0 else high}")
