"""Small trained models that ship with the package, so that every chapter has one and none needs a network.

``python -m companion.zoo train <name>`` makes each anew; its folder's README.md is its model card.
"""

from importlib import resources
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import nn

from companion.gpt import GPT
from companion.tokenization import load_tokenizer


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


def load(name: str) -> tuple[GPT, Tokenizer]:
    """Return a shipped model in evaluation mode, on the CPU, and its tokenizer.

    Raises:
        ValueError: when the package ships no model of that name.
    """
    path = folder(name)
    return GPT.from_pretrained(path), load_tokenizer(path)


def name_of(model: nn.Module) -> str | None:
    """Return the name of the shipped model whose weights ``model`` has, to the bit; None for any other model.

    A page may run the shipped file in the place of such a model, and of no other.
    """
    parameters = dict(model.named_parameters())
    for name in names():
        shipped = dict(GPT.from_pretrained(folder(name)).named_parameters())
        if parameters.keys() == shipped.keys() and all(
            torch.equal(parameter.detach().cpu().float(), shipped[key]) for key, parameter in parameters.items()
        ):
            return name
    return None


def _root() -> Path:
    return Path(str(resources.files("companion.zoo")))
