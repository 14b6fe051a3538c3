"""Text classification with a pre-trained GPT: a linear head on the hidden state of the text's last token.

Only the last token attends to all others; in BERT every token does, and [CLS] is taken. Chapter:
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
    """Sequence classifier on a GPT: ``softmax(W h_n)``, h_n the hidden state of the last token (section 3.2, eq. 3)."""

    has_segments = False

    def __init__(self, gpt: GPT, labels: Sequence[str]) -> None:
        """Put a new head on a body, which is not copied: both share its parameters.

        Args:
            gpt: the body; its language-model head is not used.
            labels: names of the labels; logit i is that of ``labels[i]``.

        Raises:
            ValueError: on fewer than two labels, or a duplicate name.
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
        """Logits of each text's label.

        Args:
            ids: token ids (batch, length).
            token_type_ids: must be None; the argument exists so that all classifiers are called alike.
            attention_mask: boolean (batch, length), True = a real token; padding may be on either side.

        Returns:
            logits (batch, labels).

        Raises:
            ValueError: on segments, a text without a real token, and as :meth:`companion.models.gpt.GPT.forward`.
        """
        if token_type_ids is not None:
            raise ValueError("a GPT has no segments; leave token_type_ids out")
        hidden = self.gpt.hidden(ids, attention_mask)  # (batch, length, d_model)
        if attention_mask is None:
            last = torch.full_like(ids[:, 0], ids.size(1) - 1)
        elif bool(attention_mask.any(1).all()):
            last = (attention_mask * torch.arange(ids.size(1), device=ids.device)).argmax(1)  # (batch,)
        else:
            raise ValueError("each text must have a real token, whose vector stands for it")
        logits: Tensor = self.classifier(self.dropout(hidden[torch.arange(len(ids), device=ids.device), last]))
        return logits

    @classmethod
    def from_pretrained(cls, folder_or_hub_id: str | Path) -> "GPTClassifier":
        """Load a ``GPT2ForSequenceClassification``, with the names of its labels.

        Raises:
            companion.checkpoints.CheckpointError: see :func:`companion.checkpoints.load_model`; also for a file with
                another head.
        """
        folder = checkpoints.locate(folder_or_hub_id)
        labels = read_labels(folder, ["gpt2"])
        return checkpoints.load_model(lambda config: cls(GPT(config), labels), GPTConfig, ClassifierFamily(), folder)

    def save_pretrained(self, folder: str | Path, shard_bytes: int | None = None) -> None:
        """Write a checkpoint that ``transformers`` loads, with the names of the labels.

        ``transformers`` finds the last token by the padding id, 0 here, which must therefore not occur in a text.
        """
        checkpoints.save(self, ClassifierFamily(self.labels), folder, shard_bytes=shard_bytes)
