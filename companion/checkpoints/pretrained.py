"""The base class of models that load and save Hugging Face checkpoints.

Chapter: ``book/algorithms/bert_family.ipynb``.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import nn

from companion.checkpoints import Family, load_model, save


class Pretrained(nn.Module):
    """A model that loads and saves checkpoints in Hugging Face's layout.

    Attributes:
        config_class: constructor, fields -> configuration.
        checkpoint_family: format of its checkpoints, such as :mod:`companion.checkpoints.gpt2`.
    """

    config_class: ClassVar[Callable[..., Any]]
    checkpoint_family: Family

    @classmethod
    def from_pretrained(cls, folder_or_hub_id: str | Path) -> Self:
        """Return a model with the weights of a checkpoint, in evaluation mode.

        Tensors that a file may lack, such as the pooler of a masked language model, keep their initial values.

        Args:
            folder_or_hub_id: a folder in Hugging Face's layout, or a model id on the hub.

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
            folder: folder to write to, made when missing.
            dtype: dtype of the weights in the file; the model's own when not given.
            shard_bytes: size of the largest file; see :func:`companion.checkpoints.save`.
        """
        save(self, self.checkpoint_family, folder, dtype, shard_bytes)
