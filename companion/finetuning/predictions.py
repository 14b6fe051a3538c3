"""Predictions of a model with a task head: its logits for many texts, and the labels, tags and spans that they mean.

Chapter: ``book/algorithms/finetuning.ipynb``. Source: Devlin et al. 2019, "BERT", sections 4 and 5.3.
"""

from collections.abc import Sequence
from typing import Any

import torch
from tokenizers import Encoding
from torch import Tensor

from companion.data.checks import check_list
from companion.data.labelled import Rows, context_words, first_pieces
from companion.losses.classification import head_logits


@torch.no_grad()
def predict(model: Any, rows: Rows, batch_size: int = 64) -> Tensor:
    """Logits of a model for all rows, on the CPU and in their order, computed in batches.

    >>> from companion.data.labelled import Labelled
    >>> from companion.finetuning.heads import SequenceClassifier
    >>> from companion.models.bert import Bert, BertConfig
    >>> bert = Bert(BertConfig(vocab_size=9, context_length=4, n_layers=1, n_heads=1, d_model=4))
    >>> ids = torch.ones(5, 3, dtype=torch.long)
    >>> rows = Labelled(ids, torch.zeros_like(ids), ids > 0, torch.zeros(5, dtype=torch.long))
    >>> predict(SequenceClassifier(bert, ["no", "yes"]).eval(), rows, batch_size=2).shape
    torch.Size([5, 2])

    Args:
        model: a model with a task head, in evaluation mode (its mode is not changed).
        rows: a batch of :mod:`companion.data.labelled`.
        batch_size: rows computed at once.
    """
    device = next(model.parameters()).device
    parts = []
    for start in range(0, len(rows.inputs), batch_size):
        part = type(rows)(*(column[start : start + batch_size].to(device) for column in rows))
        parts.append(head_logits(model, part).float().cpu())
    return torch.cat(parts)


def predicted_labels(logits: Tensor, labels: Sequence[str]) -> list[str]:
    """Name of the most probable label of each text; logits (texts, labels).

    >>> predicted_labels(torch.tensor([[0.1, 0.9]]), ["no", "yes"])
    ['yes']

    Raises:
        ValueError: when there is not one name per column, or ``labels`` is a string.
        FloatingPointError: when a row's largest logit is not finite.
    """
    _check(logits, labels)
    return [labels[number] for number in logits.argmax(-1).tolist()]


def predicted_tags(logits: Tensor, encodings: Sequence[Encoding], labels: Sequence[str]) -> list[list[str]]:
    """Name of the most probable tag of each *word*, read at its first subword token.

    >>> from companion.data.tokenization import train_wordpiece
    >>> tokenizer = train_wordpiece(["Anna left"], 40, lowercase=False)
    >>> encoding = tokenizer.encode("Anna left")
    >>> logits = torch.zeros(1, len(encoding.ids), 2)
    >>> logits[0, encoding.word_ids.index(0), 1] = 9.0
    >>> predicted_tags(logits, [encoding], ["O", "B-PER"])
    [['B-PER', 'O']]

    Args:
        logits: (texts, length, labels).
        encodings: encodings of the texts.
        labels: names of the tags.

    Raises:
        ValueError, FloatingPointError: as :func:`predicted_labels`.
    """
    _check(logits, labels)
    rows = zip(logits.argmax(-1).tolist(), encodings, strict=True)
    return [[labels[numbers[position]] for position in first_pieces(encoding)] for numbers, encoding in rows]


def predicted_spans(logits: Tensor, encodings: Sequence[Encoding]) -> list[tuple[int, int]]:
    """Answer spans: the words [begin, end) of each context with the highest sum of start and end logit.

    ``argmax_{i <= j} S_i + E_j`` over the context's tokens (section 4.2).

    >>> from companion.data.tokenization import train_wordpiece
    >>> encoding = train_wordpiece(["Anna left"], 40, lowercase=False).encode("Anna left")
    >>> logits = torch.zeros(1, len(encoding.ids), 2)
    >>> logits[0, encoding.word_ids.index(1)] = 9.0  # both start and end at the second word
    >>> predicted_spans(logits, [encoding])
    [(1, 2)]

    Args:
        logits: (texts, length, 2).
        encodings: encodings of the texts; the context is the last part of each.

    Raises:
        ValueError: when a context has no word.
        FloatingPointError: when the largest logit of a start or end is not finite.
    """
    for row, largest in enumerate(logits.amax(1)):
        _check_finite(largest, row)
    spans = []
    for row, (scores, encoding) in enumerate(zip(logits, encodings, strict=True)):
        words = context_words(encoding)
        if not words:
            raise ValueError(f"each context must have a word to answer with; that of text {row} has none")
        positions = sorted(words)
        start, end = scores[positions].unbind(-1)  # (context,) each
        backwards = torch.ones(len(positions), len(positions), dtype=torch.bool).tril(-1)
        both = (start[:, None] + end[None, :]).masked_fill(backwards, -torch.inf)  # (first, last)
        first, last = divmod(int(both.argmax()), len(positions))
        spans.append((words[positions[first]], words[positions[last]] + 1))
    return spans


def _check(logits: Tensor, labels: Sequence[str]) -> None:
    check_list("labels", labels)
    if logits.size(-1) != len(labels):
        raise ValueError(f"there must be one label for each of the {logits.size(-1)} logits; got {len(labels)}")
    for row, largest in enumerate(logits.amax(-1)):
        _check_finite(largest, row)


def _check_finite(largest: Tensor, row: int) -> None:
    if not bool(largest.isfinite().all()):
        raise FloatingPointError(f"logits must be finite; those of text {row} are not")
