"""Models of ``transformers`` read into this package's, with their weights and so with their numbers.

A model is written as a checkpoint into a temporary folder and loaded from it, by the code that loads published ones.
``transformers`` itself is not needed. Chapter: ``book/practice/huggingface.ipynb``.
"""

import contextlib
import io
import tempfile
from importlib import import_module
from typing import Any

from torch import nn

from companion.checkpoints.errors import CheckpointError
from companion.models import modern_decoder

# model_type -> the module and the class that load it, whatever the model is for
WHOLE = {
    "gpt2": ("gpt", "GPT"),
    "modernbert": ("modern_bert", "ModernBertForMaskedLM"),
    "t5": ("t5", "T5"),
    "xlnet": ("xlnet", "XLNet"),
    **dict.fromkeys(modern_decoder.FAMILIES, ("modern_decoder", "ModernDecoder")),
}
BERTS = ("bert", "roberta", "albert", "distilbert", "electra")
TIED = ("gpt2", "xlnet")  # their scores of tokens need no weights beside the body's
FILLS_IN = ("ForMaskedLM", "ForPreTraining")  # ends of the names of the BERTs that predict tokens


def is_of_transformers(model: object) -> bool:
    """Whether a model is one of ``transformers``."""
    return any(kind.__module__.startswith("transformers.") for kind in type(model).__mro__)


def from_transformers(model: Any) -> nn.Module:
    """Return a copy of a model of ``transformers`` as a model of this package, on the same device, in evaluation mode.

    Of a BERT, a GPT-2 or an XLNet with a head for a task it is the body, which computes the attention.

    Example:
        >>> import torch
        >>> from transformers import GPT2Config, GPT2LMHeadModel
        >>> theirs = GPT2LMHeadModel(GPT2Config(vocab_size=9, n_positions=8, n_embd=12, n_layer=2, n_head=3)).eval()
        >>> ours, ids = from_transformers(theirs), torch.tensor([[1, 2, 3]])
        >>> bool((ours(ids) - theirs(ids).logits).abs().max() < 1e-5)
        True

    Raises:
        companion.checkpoints.CheckpointError: on a family that this package does not have, or a variant of one.
    """
    family, name = model.config.model_type, type(model).__name__
    if family in WHOLE:
        place = WHOLE[family]
        kept = model.base_model if family in TIED and not name.endswith("LMHeadModel") else model
    elif family in BERTS:
        place, kept = _bert(model, family)
    else:
        known = ", ".join(sorted([*WHOLE, *BERTS]))
        raise CheckpointError(f"{name} is of the family {family!r}; this package reads {known}")
    module, wanted = place
    loads = getattr(import_module(f"companion.models.{module}"), wanted)
    # transformers shows a bar on the standard error while it writes
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        kept.save_pretrained(folder)
        try:
            copy: nn.Module = loads.from_pretrained(folder)
        except CheckpointError as problem:  # it names the folder, which nobody knows
            raise CheckpointError(f"as a {wanted}, {str(problem).replace(folder, name)}") from None
    return copy.to(device=model.device, dtype=model.dtype)


def _bert(model: Any, family: str) -> tuple[tuple[str, str], Any]:
    name = type(model).__name__
    if family == "electra" and name.endswith("ForPreTraining"):
        return ("electra", "ElectraDiscriminator"), model
    if name.endswith(FILLS_IN):
        return ("bert", "BertForPreTraining"), model
    return ("bert", "Bert"), model.base_model
