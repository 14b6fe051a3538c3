"""The objectives of fine-tuning: what a text, each of its words, or the place of an answer is labelled with.

Chapter: ``book/algorithms/finetuning.ipynb``. Source: Devlin et al. 2019, "BERT", section 4.
"""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from companion.data.batch import IGNORED
from companion.data.labelled import Labelled, Rows, SpanQuestions, Tagged
from companion.losses.cross_entropy import cross_entropy


def read(model: Any, batch: Rows) -> Tensor:
    """Return what a head says of a batch's texts; families without a second segment are given none."""
    types = batch.token_type_ids if getattr(model.config, "n_segments", 1) > 1 else None
    return model(batch.inputs, types, batch.attention_mask)


def classification_loss(model: nn.Module, batch: Labelled) -> Tensor:
    """Return the mean negative log-likelihood of each text's label, in nats.

    Args:
        model: (ids, token_type_ids, attention_mask) -> logits (batch, labels).
        batch: texts with a label each.

    Raises:
        ValueError: when a label is out of range.
    """
    logits = read(model, batch)
    _check_range(batch.labels, logits.size(-1))
    return cross_entropy(logits, batch.labels)


def tagging_loss(model: nn.Module, batch: Tagged) -> Tensor:
    """Return the mean negative log-likelihood of each word's label, in nats.

    Args:
        model: (ids, token_type_ids, attention_mask) -> logits (batch, length, labels).
        batch: texts with a label for each word.

    Raises:
        ValueError: when a label is out of range, or no word has one.
    """
    logits = read(model, batch)
    _check_range(batch.labels[batch.labels != IGNORED], logits.size(-1))
    return cross_entropy(logits, batch.labels)


def span_loss(model: nn.Module, batch: SpanQuestions) -> Tensor:
    """Return the mean negative log-likelihood of the answer's first and of its last token, in nats.

    ``L = -1/2 (log p_start(s) + log p_end(e))``, each a softmax over the text's real tokens (section 4.2).

    Args:
        model: (ids, token_type_ids, attention_mask) -> logits (batch, length, 2).
        batch: texts with an answer each.

    Raises:
        ValueError: when a start or an end is not in the text.
    """
    logits = read(model, batch).float().masked_fill(~batch.attention_mask[..., None], -float("inf"))
    for places in (batch.starts, batch.ends):
        _check_range(places, logits.size(1))
        if not bool(batch.attention_mask.gather(1, places[:, None]).all()):
            raise ValueError(f"an answer starts and ends at real tokens; got {places.tolist()}, one of them on padding")
    start, end = logits.unbind(-1)  # (batch, length) each
    return (F.cross_entropy(start, batch.starts) + F.cross_entropy(end, batch.ends)) / 2


def _check_range(labels: Tensor, count: int) -> None:
    low, high = (int(labels.min()), int(labels.max())) if labels.numel() else (0, 0)
    if low < 0 or high >= count:
        raise ValueError(f"labels must be 0 to {count - 1}; got {low if low < 0 else high}")
