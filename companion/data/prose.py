"""Real English prose that every machine has: Python's own documentation, and a primer written for the book.

Chapter: ``book/algorithms/gpt.ipynb``. Python's texts differ a little from version to version.
"""

import ast
import hashlib
import inspect
import sysconfig
from collections import deque
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

from companion.data.batching import check_batch_size
from companion.data.checks import check_characters, check_list
from companion.data.tokenization import END_OF_TEXT, encode_as_text
from companion.nn.checks import check_integer

SOURCES = ("primer", "topics", "docstrings")
SHORTEST_DOCSTRING = 80  # characters; shorter ones are labels, not prose


def documents(sources: Sequence[str] = SOURCES) -> list[str]:
    """The documents of the named sources, in a fixed order, none twice.

    >>> len(documents(["primer"])) > 100
    True

    Args:
        sources: any of "primer" (short scenes and explanations written for this book), "topics" (the reference
            chapters behind Python's ``help()``), "docstrings" (of the standard library).

    Raises:
        ValueError: on an unknown source.
    """
    readers = {"primer": _primer, "topics": _topics, "docstrings": _docstrings}
    check_list("sources", sources)
    for source in sources:
        if source not in readers:
            raise ValueError(f"unknown source {source!r}; choose from {', '.join(readers)}")
    return list(dict.fromkeys(text for source in sources for text in readers[source]()))


def split(texts: Sequence[str], held_out: float = 0.05) -> tuple[list[str], list[str]]:
    """Training and validation documents, split by a hash of each text.

    >>> split(["a", "b", "c", "d"], held_out=0.5)
    (['a'], ['b', 'c', 'd'])

    Args:
        texts: documents.
        held_out: fraction of the documents to hold out, in (0, 1).

    Returns:
        training and validation documents; the same document always falls on the same side.

    Raises:
        ValueError: when the fraction is outside (0, 1), ``texts`` is a string, or one holds half of a character.
    """
    check_list("texts", texts)
    if not 0 < held_out < 1:
        raise ValueError(f"held_out must be between 0 and 1, both excluded; got {held_out}")
    training: list[str] = []
    validation: list[str] = []
    for text in texts:
        (validation if hashed(text) < held_out else training).append(text)
    return training, validation


def hashed(text: str) -> float:
    """A number in [0, 1) that depends on the text alone, evenly spread over texts.

    >>> round(hashed("a"), 3)
    0.791

    Raises:
        ValueError: when it holds half of a character.
    """
    check_characters(text)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") / 2**32


def token_stream(tokenizer: Tokenizer, texts: Sequence[str]) -> Tensor:
    """Ids of all documents in one stream, ``<|endoftext|>`` before each: (tokens,).

    >>> from companion.data.tokenization import train_byte_bpe
    >>> token_stream(train_byte_bpe(["ab"], 257), ["ab", "c"]).tolist()
    [0, 65, 66, 0, 67]

    A document that writes this very text is not divided by it.

    Raises:
        ValueError: when the tokenizer has no ``<|endoftext|>``, or a text holds half of a character.
    """
    end = tokenizer.token_to_id(END_OF_TEXT)
    if end is None:
        raise ValueError(f"documents are divided by {END_OF_TEXT}, which this tokenizer does not have")
    encoded = encode_as_text(tokenizer, texts, add_special_tokens=False)
    return torch.tensor([i for text in encoded for i in (end, *text.ids)])


def openings(tokenizer: Tokenizer, documents: Sequence[str], texts: int, length: int) -> Tensor:
    """First tokens of the first documents that have so many: (texts, length).

    >>> from companion.data.tokenization import train_byte_bpe
    >>> openings(train_byte_bpe(["ab"], 257), ["a", "cab", "ab"], texts=2, length=2).tolist()
    [[67, 65], [65, 66]]

    Raises:
        ValueError: when fewer documents are as long, or one holds half of a character.
    """
    encoded = (text.ids for text in encode_as_text(tokenizer, documents, add_special_tokens=False))
    long = [ids[:length] for ids in encoded if len(ids) >= length]
    if len(long) < texts:
        raise ValueError(f"texts must be at most {len(long)}, as many as have {length} tokens; got {texts}")
    return torch.tensor(long[:texts])


def random_windows(stream: Tensor, batch_size: int, length: int, seed: int = 0) -> Iterator[Tensor]:
    """Batches of windows at random positions of a token stream, without end.

    >>> next(random_windows(torch.arange(5), batch_size=2, length=4)).tolist()  # one position fits
    [[0, 1, 2, 3, 4], [0, 1, 2, 3, 4]]

    Args:
        stream: token ids (tokens,).
        batch_size: windows per batch.
        length: tokens that the model reads; each window has one more, the last target.
        seed: seed of the positions.

    Yields:
        (batch_size, length + 1).

    Raises:
        ValueError: when the stream is shorter than one window or no stream, or the batch size or the length is below 1.
    """
    check_batch_size(batch_size)
    check_integer("length", length)
    if stream.dim() != 1:
        raise ValueError(f"stream must be (tokens,); got shape {tuple(stream.shape)}")
    positions = stream.numel() - length
    if positions < 1:
        raise ValueError(f"a window needs {length + 1} tokens; the stream has {stream.numel()}")
    windows = stream.unfold(0, length + 1, 1)  # (positions, length + 1), a view
    generator = torch.Generator().manual_seed(seed)
    while True:
        yield windows[torch.randint(positions, (batch_size,), generator=generator)]


def _primer() -> Iterator[str]:
    folder = resources.files("companion.data") / "primer"
    for file in sorted(folder.iterdir(), key=lambda f: f.name):
        yield from (text.strip() for text in file.read_text(encoding="utf8").split("\n\n") if text.strip())


def _topics() -> Iterator[str]:
    from pydoc_data.topics import topics

    yield from (topics[name].strip() for name in sorted(topics))


def _docstrings() -> Iterator[str]:
    library = Path(sysconfig.get_path("stdlib"))
    skipped = {"site-packages", "test", "tests", "idlelib", "lib2to3", "pydoc_data", "__pycache__"}
    found = (path for top in library.iterdir() if top.name not in skipped for path in (top, *top.rglob("*.py")))
    for path in sorted(path for path in found if path.suffix == ".py" and path.is_file()):
        if skipped & set(path.relative_to(library).parts):
            continue
        try:
            tree = ast.parse(path.read_text(encoding="utf8"))
        except (SyntaxError, UnicodeDecodeError):  # a few files of the library are kept in old encodings
            continue
        for node in _statements(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = inspect.cleandoc(ast.get_docstring(node, clean=False) or "")
                if len(text) >= SHORTEST_DOCSTRING:
                    yield text


def _statements(tree: ast.Module) -> Iterator[ast.AST]:
    """A module and its statements, in the order of ``ast.walk``, without the expressions, which are most of a tree."""
    todo: deque[ast.AST] = deque([tree])
    while todo:
        node = todo.popleft()
        yield node
        for part in ("body", "handlers", "orelse", "finalbody", "cases"):
            todo.extend(getattr(node, part, ()))
