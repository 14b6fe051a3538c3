"""Checkpoints of a GPT-2 with a classification head: the names in ``transformers``.

Chapter: ``book/algorithms/finetuning.ipynb``.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from companion.checkpoints import CheckpointError, gpt2
from companion.checkpoints.bert_heads import read_head, written_labels
from companion.checkpoints.gpt2 import GPTFields
from companion.checkpoints.layout import Layout, Rule

ARCHITECTURE = "GPT2ForSequenceClassification"


@dataclass(frozen=True)
class ClassifierFamily:
    """The checkpoint format of GPT-2 as a classifier.

    Attributes:
        labels: names of the labels to write.
    """

    labels: tuple[str, ...] = ()

    def layout(self, config: GPTFields) -> Layout:
        """Return the tensors of a checkpoint; the output matrix of the language model is not among them."""
        body = gpt2.body_rules(config.n_layers)
        rules = [replace(rule, ours=tuple(f"gpt.{name}" for name in rule.ours)) for rule in body]
        rules.append(Rule("score.weight", ("classifier.weight",)))
        ignored = rf"{gpt2.CAUSAL_MASKS}|{gpt2.OUTPUT_MATRIX}|^gpt\.unembedding\."
        return Layout(rules, gpt2.PREFIX, ("score.",), ignored)

    def read_fields(self, folder: Path) -> dict[str, Any]:
        """Return the fields of a :class:`companion.models.gpt.GPTConfig` from a ``config.json``.

        Raises:
            CheckpointError: when it is of another head, or asks for a variant that this package does not have.
        """
        found = read_head(folder, "gpt2").get("architectures") or [ARCHITECTURE]
        if ARCHITECTURE not in found:
            raise CheckpointError(f"{folder} holds a {', '.join(found)}; this class loads a {ARCHITECTURE}")
        return gpt2.read_fields(folder)

    def config_json(self, config: GPTFields) -> dict[str, Any]:
        """Return the content of ``config.json`` for a configuration and the labels; the padding token is 0."""
        own = {"architectures": [ARCHITECTURE], "pad_token_id": 0}
        return gpt2.config_json(config) | written_labels(self.labels) | own
