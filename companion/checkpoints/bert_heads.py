"""Checkpoints of BERT and its family with a task head: the names in ``transformers``, and the labels.

Chapter: ``book/algorithms/finetuning.ipynb``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from companion.checkpoints import CheckpointError, read_config
from companion.checkpoints.bert import BODY, BUFFERS, LEGACY, BertFields
from companion.checkpoints.bert_names import NAMES
from companion.checkpoints.field_types import MOST_LABELS, OBJECT, WORD, WORDS, check_fields, integer, one_of, or_null
from companion.checkpoints.layout import Layout, Rule

CLASSES = {"bert": "Bert", "roberta": "Roberta", "albert": "Albert", "distilbert": "DistilBert"}
HEAD_CLASSES = {
    "sequence": "ForSequenceClassification",
    "token": "ForTokenClassification",
    "span": "ForQuestionAnswering",
}
DENSE = {"roberta": "classifier.dense", "distilbert": "pre_classifier"}  # families whose head has its own pooler
POOLING = "pooling"  # a field of our own in config.json, which transformers ignores
KINDS = {
    "architectures": or_null(WORDS),
    POOLING: one_of(("pooled", "cls")),
    "problem_type": or_null(WORD),
    "num_labels": integer(1, MOST_LABELS),
    "id2label": or_null(OBJECT),
}


@dataclass(frozen=True)
class HeadFamily:
    """The checkpoint format of four families with one of three task heads.

    Attributes:
        task: "sequence", "token" or "span".
        labels: names of the labels to write; a span head has none.
        first_token: whether a token head classifies the whole text, at its first token.
    """

    task: str
    labels: tuple[str, ...] = ()
    first_token: bool = False

    def layout(self, config: BertFields) -> Layout:
        """Return the tensors of a checkpoint; see :class:`companion.checkpoints.Family`."""
        pooled = self.task == "sequence"
        body = [rule for rule in BODY.layout(config).rules if pooled or not rule.theirs.startswith("pooler.")]
        rules = [replace(rule, ours=tuple(f"bert.{name}" for name in rule.ours)) for rule in body]
        for theirs, ours in self._head(config.family).items():
            rules += [Rule(f"{theirs}.{kind}", (f"{ours}.{kind}",)) for kind in ("weight", "bias")]
        heads = ("classifier.", "pre_classifier.", "qa_outputs.")
        ignored = BUFFERS if pooled and config.sentence_head else rf"{BUFFERS}|^(\w+\.)?pooler\."
        return Layout(rules, f"{config.family}.", heads, ignored, renamed=LEGACY)

    def read_fields(self, folder: Path) -> dict[str, Any]:
        """Return the fields of a :class:`companion.models.bert.BertConfig` from a ``config.json``.

        Raises:
            CheckpointError: when it is of another head, or asks for a variant that this package does not have.
        """
        config = read_head(folder, *NAMES)
        wanted = self._architecture(config["model_type"])
        found = config.get("architectures") or [wanted]
        if wanted not in found or (config.get(POOLING) == "cls") != self.first_token:
            kind = ", ".join(found) + (" that answers at its first token" if config.get(POOLING) == "cls" else "")
            raise CheckpointError(f"{folder} holds a {kind}; this class loads a {wanted}")
        return BODY.read_fields(folder)

    def config_json(self, config: BertFields) -> dict[str, Any]:
        """Return the content of ``config.json`` for a configuration and the labels."""
        content = BODY.config_json(config) | {"architectures": [self._architecture(config.family)]}
        if self.labels:
            content |= written_labels(self.labels)
        if self.first_token:
            content[POOLING] = "cls"
        own = {"albert": ("classifier_dropout_prob",), "distilbert": ("seq_classif_dropout", "qa_dropout")}
        return content | dict.fromkeys(own.get(config.family, ()), config.dropout)

    def _architecture(self, family: str) -> str:
        return CLASSES[family] + HEAD_CLASSES[self.task]

    def _head(self, family: str) -> dict[str, str]:
        if self.task == "span":
            return {"qa_outputs": "qa_outputs"}
        if self.task == "sequence" and family == "roberta":
            return {DENSE[family]: "dense", "classifier.out_proj": "classifier"}
        if self.task == "sequence" and family == "distilbert":
            return {DENSE[family]: "dense", "classifier": "classifier"}
        return {"classifier": "classifier"}


def read_head(folder: Path, *families: str) -> dict[str, Any]:
    """Return ``config.json`` as :func:`companion.checkpoints.read_config` does, the fields of a head checked.

    Raises:
        CheckpointError: also when such a field holds what it must not.
    """
    config = read_config(folder, *families)
    check_fields(config, KINDS, folder / "config.json")
    return config


def read_pooling(folder: Path) -> str:
    """Return the input of a classifier of whole texts: "pooled", or "cls" for the first token's vector."""
    pooling: str = read_head(folder, *NAMES).get(POOLING, "pooled")
    return pooling


def read_labels(folder: Path, families: Sequence[str] = tuple(NAMES)) -> tuple[str, ...]:
    """Return the names of the labels in ``config.json``, in the order of their ids.

    Args:
        folder: folder of the checkpoint.
        families: allowed values of ``model_type``.

    Raises:
        CheckpointError: when the ids are not 0, 1, 2 …, the labels fewer than two or not distinct, or the head is one
            for regression or for several labels per text.
    """
    config = read_head(folder, *families)
    problem = config.get("problem_type")
    if problem not in (None, "single_label_classification"):
        raise CheckpointError(f"{folder}/config.json is of the problem_type {problem}; here each text has one label")
    count = config.get("num_labels", 2)  # the default of transformers
    named = config.get("id2label") or {str(number): f"LABEL_{number}" for number in range(count)}
    try:
        labels = tuple(named[str(number)] for number in range(len(named)))
        return check_labels(labels)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{folder}/config.json has unusable labels in id2label: {error}") from error


def written_labels(labels: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the fields of ``config.json`` that name the labels."""
    numbered = {str(number): label for number, label in enumerate(labels)}
    return {"id2label": numbered, "label2id": {label: int(number) for number, label in numbered.items()}}


def check_labels(labels: Sequence[str]) -> tuple[str, ...]:
    """Return the names of labels, checked to be two or more, and distinct.

    Raises:
        ValueError: when they are not.
    """
    if isinstance(labels, str) or len(labels) < 2 or not all(isinstance(label, str) for label in labels):
        raise ValueError(f"labels must be at least 2 names; got {labels!r}")
    if len(set(labels)) < len(labels):
        twice = next(label for i, label in enumerate(labels) if label in labels[:i])
        raise ValueError(f"each label must be named once; {twice!r} comes twice")
    return tuple(labels)
