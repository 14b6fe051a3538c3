"""One way to teach a shipped GPT a task: from scratch, pre-trained, on frozen features, or with LoRA.

The chapter is `book/concepts/transfer.ipynb`. A GPT labels a text at its last token. What it is taught
with is up to the caller, and nothing here sees a test.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from companion.data.batch import IGNORED
from companion.data.labelled import Labelled, Tagged, minibatches
from companion.finetuning.gpt_classifier import GPTClassifier
from companion.finetuning.heads import SequenceClassifier, TokenClassifier
from companion.finetuning.lora import add_lora
from companion.finetuning.predictions import predict
from companion.losses.classification import classification_loss
from companion.losses.cross_entropy import cross_entropy
from companion.metrics.classification import accuracy
from companion.metrics.entities import entity_report
from companion.models.gpt import GPT
from companion.nn.initialization import sinusoidal_initialization
from companion.training import Optimization, Runtime, fit

METHODS = ("scratch", "pre-trained", "frozen", "LoRA")
Model = SequenceClassifier | TokenClassifier | GPTClassifier


@dataclass(frozen=True)
class Setting:
    """How a model is trained on a task.

    Attributes:
        learning_rate: at the peak; it rises over a twentieth of the steps and falls to 0 in a straight line.
        steps: of the optimizer.
        optimizer: see :class:`companion.training.settings.Optimization`.
        weight_decay: of matrices.
        batch_size: texts a step, at most; frozen features are all read at every step.
        rank: of the adapters of LoRA, beside the queries and the values.
    """

    learning_rate: float
    steps: int
    optimizer: str = "adamw"
    weight_decay: float = 0.01
    batch_size: int = 16
    rank: int = 8


def body_of(folder: Path, *, fresh: bool) -> GPT:
    """Return the GPT of the checkpoint in ``folder``, or one of its sizes that begins where its pre-training began."""
    trained = GPT.from_pretrained(folder)
    if not fresh:
        return trained
    body = GPT(trained.config)
    sinusoidal_initialization(body)
    return body


def learned(
    method: str, folder: Path, rows: Labelled, names: Sequence[str], setting: Setting, seed: int
) -> tuple[GPTClassifier, float]:
    """Teach a model a task and return it with the processor seconds that it took.

    Args:
        method: one of ``METHODS``.
        folder: of the pre-trained checkpoint.
        rows: the labelled texts.
        names: of the labels.
        setting: how to train.
        seed: of the new weights and the order of the texts.

    Raises:
        ValueError: on an unknown method.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}; got {method!r}")
    torch.manual_seed(seed)
    model = GPTClassifier(body_of(folder, fresh=method == "scratch"), names)
    trained: nn.Module = model
    batches: Any = minibatches(rows, min(setting.batch_size, len(rows.inputs)), seed)
    loss: Any = classification_loss
    started = time.process_time()
    if method == "frozen":
        trained, loss = model.classifier, head_loss
        batches = [features(model, rows)]  # once and for all: the body never changes
    if method == "LoRA":
        add_lora(model, "query|value", rank=setting.rank, alpha=2.0 * setting.rank, also="classifier")
    fit(
        trained,
        batches,
        steps=setting.steps,
        loss=loss,
        learning_rate=setting.learning_rate,
        optimization=Optimization(setting.optimizer, weight_decay=setting.weight_decay, schedule="linear"),
        runtime=Runtime(device="cpu", seed=seed),
        progress=False,
    )
    return model.eval(), time.process_time() - started


def head_loss(head: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Return the mean negative log-likelihood of the labels, from the vectors (n, d_model) that the body gave."""
    vectors, labels = batch
    return cross_entropy(head(vectors), labels)


def features(model: GPTClassifier, rows: Labelled) -> tuple[Tensor, Tensor]:
    """Return the vectors that the head of a model reads, (n, d_model), and the labels (n,)."""
    head = model.classifier
    model.classifier = nn.Identity()  # type: ignore[assignment]
    vectors = predict(model.eval(), rows)
    model.classifier = head
    return vectors, rows.labels


def score(model: Model, rows: Labelled | Tagged) -> float:
    """Return the accuracy on labelled texts, or the micro F1 of the entities on tagged ones."""
    guesses = predict(model, rows).argmax(-1)
    if isinstance(rows, Labelled):
        return accuracy(guesses, rows.labels)
    said, true = (tags_of(numbers, rows, model.labels) for numbers in (guesses, rows.labels))
    return entity_report(said, true).micro.f1


def tags_of(numbers: Tensor, rows: Tagged, names: Sequence[str]) -> list[list[str]]:
    """Name the tags of each text's words; numbers (texts, length)."""
    asked = rows.labels != IGNORED
    return [[names[i] for i in row[own].tolist()] for row, own in zip(numbers, asked, strict=True)]
