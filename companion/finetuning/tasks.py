"""Public datasets with a task: where they are, what is trained on them, and how it is scored.

Chapter: ``book/algorithms/finetuning.ipynb``. Sources: Socher et al. 2013 (SST-2's sentences) and Wang et al. 2019
(GLUE, which made a task of them); Tjong Kim Sang & De Meulder 2003 (CoNLL-2003).
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Encoding, Tokenizer
from torch import Tensor

from companion.data import hub
from companion.data.labelled import Labelled, Tagged
from companion.finetuning.heads import SequenceClassifier, TokenClassifier, predict, predicted_tags
from companion.metrics import classification
from companion.metrics.classification import Report
from companion.metrics.entities import entity_report

TUNING = 20  # where a dataset has no split for stopping early, each 20th training text is kept for it

Head = SequenceClassifier | TokenClassifier


@dataclass(frozen=True)
class Task:
    """A public dataset, and what is trained on it.

    Attributes:
        head: what reads the body's vectors.
        score: what the held-out number is.
        data: its id on the hub.
        revision: the branch there that can be read without running code.
        model: the checkpoint that is fine-tuned.
        tuning: the split that decides when to stop; None = a part of the training texts.
        held_out: the split that is scored, once, at the end.
    """

    head: type[Head]
    score: str
    data: str
    revision: str | None
    model: str
    tuning: str | None
    held_out: str


PUBLIC_TASKS = {
    "sst2": Task(  # its test texts have no labels
        SequenceClassifier, "accuracy", "stanfordnlp/sst2", None, "google-bert/bert-base-uncased", None, "validation"
    ),
    "conll2003": Task(  # the dataset itself is a script; the hub's copy as Parquet is not
        TokenClassifier,
        "entity F1",
        "eriktks/conll2003",
        "refs/convert/parquet",
        "google-bert/bert-base-cased",
        "validation",
        "test",
    ),
}


@dataclass(frozen=True)
class Part:
    """Some texts of a dataset, ready for a model."""

    rows: Labelled | Tagged
    encodings: list[Encoding]
    labels: list[Any]
    names: tuple[str, ...]

    def report(self, logits: Tensor) -> Report:
        """Score what a model says of the rows; a word that did not fit into its context counts as outside, "O"."""
        if isinstance(self.rows, Labelled):
            return classification.report(logits.argmax(-1), self.rows.labels, self.names)
        tags = predicted_tags(logits, self.encodings, self.names)
        whole = [own + ["O"] * (len(true) - len(own)) for own, true in zip(tags, self.labels, strict=True)]
        return entity_report(whole, self.labels)


@dataclass(frozen=True)
class Held:
    """What a trained model is worth on the held-out texts.

    Attributes:
        model: the model.
        report: its scores; ``report.micro.f1`` is the accuracy, or the F1 of all entities together.
        parameters: how many numbers it has.
        per_second: texts that it labels in a second of wall time, in batches of 64.
    """

    model: Head
    report: Report
    parameters: int
    per_second: float


def measure(model: Head, part: Part) -> Held:
    """Let a model label a part of the texts, on its own device, and score and time it."""
    predict(model.eval(), type(part.rows)(*(column[:64] for column in part.rows)))  # on a GPU the first is slow
    started = time.perf_counter()
    logits = predict(model, part.rows)
    per_second = len(part.encodings) / (time.perf_counter() - started)
    return Held(model, part.report(logits), sum(p.numel() for p in model.parameters()), per_second)


def read_parts(
    task: Task,
    tokenizer: Tokenizer,
    context_length: int,
    data: str | Path | None = None,
    revision: str | None = None,
    limit: int | None = None,
) -> tuple[Part, Part, Part]:
    """Read the texts to train on, those that decide when to stop, and the held-out ones.

    Args:
        task: which columns and splits.
        tokenizer: the checkpoint's.
        context_length: see :func:`companion.data.hub.encode`.
        data: a folder in the hub's layout, or an id on the hub; the task's when not given.
        revision: of ``data`` on the hub; the task's when ``data`` is not given either.
        limit: texts of each split that are kept, for a trial; all when not given.

    Raises:
        ValueError: on a limit below 1, or too few texts; see also :mod:`companion.data.hub`.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1, or not given; got {limit}")
    if data is None:
        data, revision = task.data, revision or task.revision
    read = hub.labelled_texts if task.head is SequenceClassifier else hub.tagged_sentences
    whole: list[Any] = [
        read(data, split, revision=revision) for split in ("train", task.tuning, task.held_out) if split
    ]
    texts = [part._replace(texts=part.texts[:limit], labels=part.labels[:limit]) for part in whole]
    if task.tuning is None:
        first = texts[0]
        if len(first.texts) < 2:
            raise ValueError(f"dataset {str(data)!r} must have at least 2 texts to train on; got {len(first.texts)}")
        other = [number for number in range(len(first.texts)) if number % TUNING]
        texts[0] = first._replace(texts=[first.texts[i] for i in other], labels=[first.labels[i] for i in other])
        texts.insert(1, first._replace(texts=first.texts[::TUNING], labels=first.labels[::TUNING]))
    parts = []
    for one in texts:
        encodings = hub.encode(tokenizer, one.texts, context_length)
        parts.append(Part(one.rows(encodings), encodings, one.labels, one.names))
    return parts[0], parts[1], parts[2]
