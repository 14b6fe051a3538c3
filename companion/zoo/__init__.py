"""Trained models: small ones that ship with the package, and published ones that are fetched.

Those that ship need no network. ``python -m companion.zoo train <name>`` makes each anew; its folder's README.md is its
model card. Those of ``FETCHED`` are downloaded once, by :mod:`companion.data.fetched`. Chapter:
``book/algorithms/gpt.ipynb``.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from torch import nn

from companion.checkpoints import read_config
from companion.checkpoints.gguf import gguf_tokenizer
from companion.checkpoints.gguf_file import GGUF
from companion.checkpoints.pretrained import Pretrained
from companion.data import fetched
from companion.data.chat import render_chat
from companion.data.tokenization import load_tokenizer
from companion.models.bert import Bert, BertForPreTraining
from companion.models.gpt import GPT
from companion.models.modern_decoder import ModernDecoder
from companion.nn.watching import is_watched

KINDS: dict[str, type[Pretrained]] = {"gpt2": GPT, "bert": BertForPreTraining}
GGUF_NAME = "model.gguf"
_LOADED: dict[str, tuple[dict[str, object], bytes]] = {}  # name -> shapes and digest, of what was loaded so far


def _shipped(path: Path) -> tuple[Any, Tokenizer]:
    kind = KINDS[read_config(path, *KINDS)["model_type"]]
    return kind.from_pretrained(path).eval(), load_tokenizer(path)


def _encoder(path: Path) -> tuple[Any, Tokenizer]:
    return Bert.from_pretrained(path), load_tokenizer(path)


def _decoder(path: Path) -> tuple[Any, Tokenizer]:
    file = GGUF(path / GGUF_NAME)
    return ModernDecoder.from_gguf(file), gguf_tokenizer(file)


FETCHED: Mapping[str, Callable[[Path], tuple[Any, Tokenizer]]] = {"minilm-l6": _encoder, "smollm2-135m": _decoder}


def folder(name: str) -> Path:
    """Return the folder of a model's files; a published model is fetched when it is not in the cache.

    They are config.json, model.safetensors, tokenizer.json and, where the model ships, README.md; or model.gguf.

    Raises:
        ValueError: when there is no model of that name.
        companion.data.fetched.NotFetchedError: when a published model cannot be fetched.
    """
    if name in FETCHED:
        return fetched.folder(name)
    if name not in names():
        raise ValueError(f"the zoo has no model {name!r}; it has {', '.join([*names(), *FETCHED])}")
    return _root() / name


def names() -> list[str]:
    """Return the names of the models that ship with the package."""
    return sorted(path.parent.name for path in _root().glob("*/model.safetensors"))


def load(name: str) -> tuple[Any, Tokenizer]:
    """Return a model in evaluation mode, on the CPU, and its tokenizer.

    A model that ships is a :class:`companion.models.gpt.GPT`, or a :class:`companion.models.bert.BertForPreTraining`,
    as its config.json says. "minilm-l6", all-MiniLM-L6-v2, is a :class:`companion.models.bert.Bert`, to be put into a
    :class:`companion.models.sentence_encoder.SentenceEncoder`; "smollm2-135m", SmolLM2-135M-Instruct, is a
    :class:`companion.models.modern_decoder.ModernDecoder`. Both are fetched when they are not in the cache.

    Raises:
        ValueError: when there is no model of that name.
        companion.data.fetched.NotFetchedError: when a published model cannot be fetched.
    """
    path = folder(name)
    model, tokenizer = FETCHED.get(name, _shipped)(path)
    _LOADED[name] = _shapes(model), _digest(model)
    return model, tokenizer


def chat_text(name: str, messages: Sequence[Mapping[str, str]], *, answer: bool = True) -> str:
    """Return a chat as the text that a published chat model continues.

    Args:
        name: of the model.
        messages: see :func:`companion.data.chat.render_chat`.
        answer: whether the text ends where the model's answer begins.

    Raises:
        ValueError: when the model is no chat model, there is no model of that name, or its template refuses the
            messages.
        companion.data.fetched.NotFetchedError: when it cannot be fetched.
    """
    path = folder(name) / GGUF_NAME
    if not path.is_file():
        raise ValueError(f"{name} is no chat model: it has no {GGUF_NAME}")
    return render_chat(_chat_template(path, path.stat().st_mtime_ns), messages, answer=answer)


@lru_cache(maxsize=4)
def _chat_template(path: Path, written: int) -> str:
    """The chat template of a file, read once for each time that the file was written: its header holds all tokens."""
    return GGUF(path).chat_template


def name_of(model: nn.Module) -> str | None:
    """Return the name of the model of the zoo whose weights ``model`` has, to the bit; None for any other model.

    It must have been loaded. A page may run the zoo's file in the place of such a model, and of no other: training
    it, changing one weight or a setting of a part, or looking into it takes the name away.
    """
    if is_watched(model):  # such as inside `ablate`: it computes something else
        return None
    shapes = _shapes(model)
    alike = [name for name, (theirs, _) in _LOADED.items() if theirs == shapes]  # a large model is never hashed
    digest = _digest(model) if alike else b""
    return next((name for name in alike if _LOADED[name][1] == digest), None)


def _shapes(model: nn.Module) -> dict[str, object]:
    """Shapes of all parameters, and the kind and the settings of all parts, but for the name of the whole."""
    parts = {f"{name}()": (type(part), part.extra_repr()) for name, part in model.named_modules() if name}
    return parts | {name: parameter.shape for name, parameter in model.named_parameters()}


def _digest(model: nn.Module) -> bytes:
    """Return a hash over the 32-bit values of all parameters."""
    digest = hashlib.sha256()
    for parameter in model.parameters():
        digest.update(parameter.detach().cpu().float().contiguous().numpy().data)
    return digest.digest()


def _root() -> Path:
    return Path(str(resources.files("companion.zoo")))
