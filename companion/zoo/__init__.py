"""Small trained models that ship with the package, so that every chapter has one and none needs a network.

``python -m companion.zoo train <name>`` makes each anew; its folder's README.md is its model card. Chapter:
``book/algorithms/gpt.ipynb``.
"""

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

    The model is a :class:`companion.models.gpt.GPT`, or a :class:`companion.models.bert.BertForPreTraining`: its config.json says so.

    Raises:
        ValueError: when the package ships no model of that name.
    """
    path = folder(name)
    kind = KINDS[read_config(path, *KINDS)["model_type"]]
    return kind.from_pretrained(path).eval(), load_tokenizer(path)


def name_of(model: nn.Module) -> str | None:
    """Return the name of the shipped model whose weights ``model`` has, to the bit; None for any other model.

    A page may run the shipped file in the place of such a model, and of no other.
    """
    parameters = dict(model.named_parameters())
    for name in names():
        shipped = dict(load(name)[0].named_parameters())
        if parameters.keys() == shipped.keys() and all(
            parameter.shape == shipped[key].shape and torch.equal(parameter.detach().cpu().float(), shipped[key])
            for key, parameter in parameters.items()
        ):
            return name
    return None


def _root() -> Path:
    return Path(str(resources.files("companion.zoo")))
