"""What every model that reads and writes Hugging Face checkpoints has in common.

Chapter: ``book/algorithms/bert_family.ipynb``.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import nn

from companion.checkpoints import Family, load_model, save


class Pretrained(nn.Module):
    """A model with checkpoints in Hugging Face's layout, in and out.

    Attributes:
        config_class: fields -> configuration.
        checkpoint_family: what knows the names, such as :mod:`companion.checkpoints.gpt2`.
    """

    config_class: ClassVar[Callable[..., Any]]
    checkpoint_family: Family

    @classmethod
    def from_pretrained(cls, folder_or_hub_id: str | Path) -> Self:
        """Load a checkpoint of the model's families: a folder in Hugging Face's layout, or a model id on the hub.

        What the family lets a file lack, such as the pooler of a masked language model, stays as it was made.

        Raises:
            companion.checkpoints.CheckpointError: when there is none, it is another family's, a tensor is missing,
                unexpected or of another size, or the weights are not safetensors.
        """
        return load_model(cls, cls.config_class, cls.checkpoint_family, folder_or_hub_id)

    def save_pretrained(
        self, folder: str | Path, dtype: torch.dtype | None = None, shard_bytes: int | None = None
    ) -> None:
        """Write ``config.json`` and ``model.safetensors`` so that ``transformers`` loads them as the model's family.

        Args:
            folder: made when missing.
            dtype: of the weights in the file; the model's own when not given.
            shard_bytes: the largest file; see :func:`companion.checkpoints.save`.
        """
        save(self, self.checkpoint_family, folder, dtype, shard_bytes)
