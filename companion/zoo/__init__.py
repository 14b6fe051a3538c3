"""Small trained models that ship with the package, so that every chapter has one and none needs a network.

``python -m companion.zoo train <name>`` makes each anew; its folder's README.md is its model card.
"""

from importlib import resources
from pathlib import Path

from tokenizers import Tokenizer

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

    The model's ``zoo_name`` tells a widget in a built page which file to run there.

    Raises:
        ValueError: when the package ships no model of that name.
    """
    path = folder(name)
    model = GPT.from_pretrained(path)
    model.zoo_name = name
    return model, load_tokenizer(path)


def _root() -> Path:
    return Path(str(resources.files("companion.zoo")))
