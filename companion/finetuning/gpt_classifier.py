"""A pre-trained GPT learns to label texts: the vector of a text's last token stands for the whole.

The last token is the one that has read all others; in BERT any has, and [CLS] is taken. Chapter:
``book/algorithms/finetuning.ipynb``. Source: Radford et al. 2018, "Improving Language Understanding by Generative
Pre-Training", section 3.2.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from companion import checkpoints
from companion.checkpoints.bert_heads import check_labels, read_labels
from companion.checkpoints.gpt2_heads import ClassifierFamily
from companion.models.gpt import GPT, GPTConfig


class GPTClassifier(nn.Module):
    """One label for a whole text: ``softmax(W h_n)``, h_n the vector of its last token (section 3.2, eq. 3)."""

    def __init__(self, gpt: GPT, labels: Sequence[str]) -> None:
        """Put a new head on a body, which is not copied: training the one trains the other.

        Args:
            gpt: the body; its scores of the next token are not used.
            labels: their names; the score of ``labels[i]`` is number i.

        Raises:
            ValueError: on fewer than two labels, or a name that comes twice.
        """
        super().__init__()
        self.config, self.labels = gpt.config, check_labels(labels)
        self.gpt = gpt
        self.dropout = nn.Dropout(gpt.config.dropout)
        self.classifier = nn.Linear(gpt.config.d_model, len(self.labels), bias=False)
        nn.init.normal_(self.classifier.weight, std=0.02)

    def forward(
        self, ids: Tensor, token_type_ids: Tensor | None = None, attention_mask: Tensor | None = None
    ) -> Tensor:
        """Score the labels of each text.

        Args:
            ids: (batch, length).
            token_type_ids: none; the argument is there so that all classifiers are called alike.
            attention_mask: boolean (batch, length), True = a real token; padding may stand on either side.

        Returns:
            logits (batch, labels).

        Raises:
            ValueError: on segments, a text without a real token, and what :meth:`companion.models.gpt.GPT.forward` raises.
        """
        if token_type_ids is not None:
            raise ValueError("a GPT has no segments; leave token_type_ids out")
        hidden = self.gpt.hidden(ids, attention_mask)  # (batch, length, d_model)
        if attention_mask is None:
            return self.classifier(self.dropout(hidden[:, -1]))
        if not bool(attention_mask.any(1).all()):
            raise ValueError("each text must have a real token, whose vector stands for it")
        last = (attention_mask * torch.arange(ids.size(1), device=ids.device)).argmax(1)  # (batch,)
        return self.classifier(self.dropout(hidden[torch.arange(len(ids), device=ids.device), last]))

    @classmethod
    def from_pretrained(cls, folder_or_hub_id: str | Path) -> "GPTClassifier":
        """Load a ``GPT2ForSequenceClassification``, with the names of its labels.

        Raises:
            companion.checkpoints.CheckpointError: see :func:`companion.checkpoints.load_model`; also for another head's file.
        """
        folder = checkpoints.locate(folder_or_hub_id)
        labels = read_labels(folder, ["gpt2"])
        return checkpoints.load_model(lambda config: cls(GPT(config), labels), GPTConfig, ClassifierFamily(), folder)

    def save_pretrained(self, folder: str | Path, shard_bytes: int | None = None) -> None:
        """Write a checkpoint that ``transformers`` loads, with the names of the labels.

        ``transformers`` finds the last token by the id of the padding, 0 here, and so must not meet it in a text.
        """
        checkpoints.save(self, ClassifierFamily(self.labels), folder, shard_bytes=shard_bytes)
