"""Small trained models that ship with the package, so that every chapter has one and none needs a network.

``python -m companion.zoo train <name>`` makes each anew; its folder's README.md is its model card. Chapter:
``book/algorithms/gpt.ipynb``.
"""

import hashlib
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import nn

from companion.checkpoints import read_config
from companion.checkpoints.pretrained import Pretrained
from companion.data.tokenization import load_tokenizer
from companion.models.bert import BertForPreTraining
from companion.models.gpt import GPT

KINDS: dict[str, type[Pretrained]] = {"gpt2": GPT, "bert": BertForPreTraining}
_LOADED: dict[str, tuple[dict[str, torch.Size], bytes]] = {}  # name -> shapes and digest, of what was loaded so far


def folder(name: str) -> Path:
    """Return the folder of a shipped model: config.json, model.safetensors, tokenizer.json, README.md.

    Raises:
        ValueError: when the package ships no model of that name.
    """
    if name not in names():
        raise ValueError(f"the zoo has no model {name!r}; it has {', '.join(names())}")
    return _root() / name


def names() -> list[str]:
    """Return the names of the models that ship with the package."""
    return sorted(path.parent.name for path in _root().glob("*/model.safetensors"))


def load(name: str) -> tuple[Any, Tokenizer]:
    """Return a shipped model in evaluation mode, on the CPU, and its tokenizer.

    The model is a :class:`companion.models.gpt.GPT`, or a :class:`companion.models.bert.BertForPreTraining`, as its
    config.json says.

    Raises:
        ValueError: when the package ships no model of that name.
    """
    path = folder(name)
    kind = KINDS[read_config(path, *KINDS)["model_type"]]
    model = kind.from_pretrained(path).eval()
    _LOADED[name] = _shapes(model), _digest(model)
    return model, load_tokenizer(path)


def name_of(model: nn.Module) -> str | None:
    """Return the name of the loaded model whose weights ``model`` has, to the bit; None for any other model.

    A page may run the shipped file in the place of such a model, and of no other: training it, or changing one weight,
    takes the name away.
    """
    shapes = _shapes(model)
    alike = [name for name, (theirs, _) in _LOADED.items() if theirs == shapes]  # a large model is never hashed
    digest = _digest(model) if alike else b""
    return next((name for name in alike if _LOADED[name][1] == digest), None)


def _shapes(model: nn.Module) -> dict[str, torch.Size]:
    return {name: parameter.shape for name, parameter in model.named_parameters()}


def _digest(model: nn.Module) -> bytes:
    """Return a hash over the 32-bit values of all parameters."""
    digest = hashlib.sha256()
    for parameter in model.parameters():
        digest.update(parameter.detach().cpu().float().contiguous().numpy().data)
    return digest.digest()


def _root() -> Path:
    return Path(str(resources.files("companion.zoo")))
