"""Public datasets with a task: their splits, the head that is trained on them, and its evaluation.

Chapter: ``book/algorithms/finetuning.ipynb``. Sources: Socher et al. 2013 (SST-2's sentences) and Wang et al. 2019
(GLUE, which made a task of them); Tjong Kim Sang & De Meulder 2003 (CoNLL-2003).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Encoding, Tokenizer
from torch import Tensor

from companion.data import hub
from companion.data.labelled import Labelled, Tagged
from companion.finetuning.heads import SequenceClassifier, TokenClassifier
from companion.finetuning.predictions import predict, predicted_tags
from companion.losses.classification import classification_loss, tagging_loss
from companion.metrics import classification
from companion.metrics.classification import Report
from companion.metrics.entities import entity_report

HELD_BACK = 20  # where a dataset has no validation split, each 20th training text is kept for it

Head = SequenceClassifier | TokenClassifier


@dataclass(frozen=True)
class Task:
    """A public dataset, and what is trained on it.

    Attributes:
        head: class of the task head.
        loss: loss of a model with this head on a batch.
        read: function that reads a split, ``hub.labelled_texts`` or ``hub.tagged_sentences``.
        score: name of the held-out score.
        data: id of the dataset on the hub.
        revision: branch there that can be read without running code.
        model: id of the checkpoint that is fine-tuned.
        validation: name of the split for early stopping; None = a part of the training texts.
        test: name of the split that is scored, once, at the end.
    """

    head: type[Head]
    loss: Callable[[Any, Any], Tensor]
    read: Callable[..., Any]
    score: str
    data: str
    revision: str | None
    model: str
    validation: str | None
    test: str


PUBLIC_TASKS = {
    "sst2": Task(
        head=SequenceClassifier,
        loss=classification_loss,
        read=hub.labelled_texts,
        score="accuracy",
        data="stanfordnlp/sst2",
        revision=None,
        model="google-bert/bert-base-uncased",
        validation=None,
        test="validation",  # the texts of its split "test" have no labels
    ),
    "conll2003": Task(
        head=TokenClassifier,
        loss=tagging_loss,
        read=hub.tagged_sentences,
        score="entity F1",
        data="eriktks/conll2003",
        revision="refs/convert/parquet",  # the dataset itself is a script
        model="google-bert/bert-base-cased",
        validation="validation",
        test="test",
    ),
}


@dataclass(frozen=True)
class Split:
    """One split of a dataset, encoded for a model.

    Attributes:
        rows: all texts as one batch.
        encodings: encodings of the texts.
        labels: label of each text, or tags of its words, by name.
        names: names of all labels.
    """

    rows: Labelled | Tagged
    encodings: list[Encoding]
    labels: list[Any]
    names: tuple[str, ...]

    def report(self, logits: Tensor) -> Report:
        """Scores of a model's logits for the rows; a word beyond the model's context counts as tagged "O"."""
        if isinstance(self.rows, Labelled):
            return classification.report(logits.argmax(-1), self.rows.labels, self.names)
        tags = predicted_tags(logits, self.encodings, self.names)
        whole = [own + ["O"] * (len(true) - len(own)) for own, true in zip(tags, self.labels, strict=True)]
        return entity_report(whole, self.labels)


@dataclass(frozen=True)
class HeldOutResult:
    """Result of a trained model on held-out texts.

    Attributes:
        model: the model.
        report: its scores; ``report.micro.f1`` is the accuracy, or the F1 of all entities together.
        parameters: number of its parameters.
        texts_per_second: throughput, in wall time, in batches of 64.
    """

    model: Head
    report: Report
    parameters: int
    texts_per_second: float


def evaluate(model: Head, split: Split) -> HeldOutResult:
    """Result of a model on a split, on the model's device: scores and throughput."""
    predict(model.eval(), type(split.rows)(*(column[:64] for column in split.rows)))  # warms the device up
    started = time.perf_counter()
    logits = predict(model, split.rows)
    texts_per_second = len(split.encodings) / (time.perf_counter() - started)
    return HeldOutResult(model, split.report(logits), sum(p.numel() for p in model.parameters()), texts_per_second)


def read_splits(
    task: Task,
    tokenizer: Tokenizer,
    context_length: int,
    data: str | Path | None = None,
    revision: str | None = None,
    limit: int | None = None,
) -> tuple[Split, Split, Split]:
    """Training, validation and test split of a task's dataset.

    Args:
        task: one of :data:`PUBLIC_TASKS`.
        tokenizer: tokenizer of the checkpoint.
        context_length: tokens kept of each text, see :func:`companion.data.hub.encode`.
        data: a folder in the hub's layout, or an id on the hub; the task's when not given.
        revision: branch of ``data`` on the hub; the task's when ``data`` is not given either.
        limit: number of texts kept of each split, for a trial; all when not given.

    Raises:
        ValueError: on a limit below 1, or too few texts; see also :mod:`companion.data.hub`.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1, or not given; got {limit}")
    if data is None:
        data, revision = task.data, revision or task.revision
    whole = [task.read(data, name, revision=revision) for name in ("train", task.validation, task.test) if name]
    texts = [one._replace(texts=one.texts[:limit], labels=one.labels[:limit]) for one in whole]
    if task.validation is None:
        first = texts[0]
        if len(first.texts) < 2:
            raise ValueError(f"dataset {str(data)!r} must have at least 2 texts to train on; got {len(first.texts)}")
        other = [number for number in range(len(first.texts)) if number % HELD_BACK]
        texts[0] = first._replace(texts=[first.texts[i] for i in other], labels=[first.labels[i] for i in other])
        texts.insert(1, first._replace(texts=first.texts[::HELD_BACK], labels=first.labels[::HELD_BACK]))
    splits = []
    for one in texts:
        encodings = hub.encode(tokenizer, one.texts, context_length)
        splits.append(Split(one.rows(encodings), encodings, one.labels, one.names))
    training, validation, test = splits
    return training, validation, test
