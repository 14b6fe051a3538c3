"""Documents of any source: the prose that Python carries, files of your own, a dataset of the Hugging Face hub.

Chapter: ``book/concepts/language_model.ipynb``. :mod:`companion.data.prose` splits documents, encodes them and cuts
them into windows.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from companion.data import prose
from companion.data.hub_tables import load_rows, read_column

HUB = "hub:"
TOOLS = ("__pycache__", "__MACOSX", "node_modules", "site-packages")  # folders that tools keep for themselves
TOOLS_ENDINGS = ("~", ".egg-info", ".dist-info")  # an editor's old copies, and what pip writes


def read_documents(source: str | Path, **options: Any) -> list[str]:
    """The documents of a source.

    >>> len(read_documents("pydoc", sources=["primer"])) > 100
    True

    Args:
        source: "pydoc" for :func:`companion.data.prose.documents`; "hub:" and the name of a dataset, or a folder in the
            hub's layout, for :func:`hub_dataset`; else a file or folder, for :func:`text_files`.
        options: arguments of that function.

    Raises:
        FileNotFoundError: when the source does not exist.
        ValueError: when the source exists and holds no readable text.
    """
    if source == "pydoc":
        return prose.documents(**options)
    if isinstance(source, str) and source.startswith(HUB):
        return hub_dataset(source.removeprefix(HUB), **options)
    if not Path(source).exists():
        raise FileNotFoundError(
            f"source must be 'pydoc', 'hub:' and a dataset, or a file or folder; got {str(source)!r}"
        )
    return text_files(source, **options)


def text_files(path: str | Path, pattern: str = "**/*.txt", separator: str | None = None) -> list[str]:
    """The documents of a UTF-8 text file, or of all those of a folder in the order of their names.

    Documents of white space alone are left out, and so are hidden files and folders, whose name begins with a dot, and
    what tools keep for themselves: environments of Python, packages, an editor's old copies. Line ends become ``\\n``.

    Args:
        path: a file, or a folder.
        pattern: glob pattern of the folder's files; ``**`` is any depth.
        separator: string between two documents of a file, an empty line (``"\\n\\n"``) for example; without it, a file
            is one document.

    Raises:
        FileNotFoundError: when there is no such file or folder, or no file in it that fits the pattern.
        ValueError: when a file is not text in UTF-8, when none holds any text, or on an empty separator.
    """
    path = Path(path)
    if separator == "":
        raise ValueError("separator must not be empty; None takes each file as one document")
    if not path.exists():
        raise FileNotFoundError(f"there is no file or folder {str(path)!r}")
    files = [path] if path.is_file() else sorted(_visible(path, pattern))
    if not files:
        kinds = sorted({file.suffix or file.name for file in _visible(path, "**/*")})
        there = f"its files end in {', '.join(kinds[:8])}" if kinds else "it holds no files"
        raise FileNotFoundError(f"no file in {str(path)!r} fits the pattern {pattern!r}; {there}")
    texts = (part for file in files for part in _parts(_read(file), separator))
    return _not_empty(texts, f"{str(path)!r} holds {len(files)} empty file{'s' * (len(files) > 1)}")


def hub_dataset(
    name_or_folder: str | Path, config: str | None = None, split: str = "train", column: str = "text"
) -> list[str]:
    """The texts of one column of a dataset on the hub, or in a folder of the hub's layout, by ``datasets``.

    Data are read (parquet, jsonl, csv, and txt with one document per line), code is never run: from version 4 on, the
    library refuses datasets that come as scripts, and older versions are refused here.

    Args:
        name_or_folder: "owner/name" on the hub, or a folder with data files and, if it has several configurations, a
            ``README.md`` that names them.
        config: name of the configuration; the dataset's own default when not given.
        split: name of the split, "train" or "validation" for example; "train[:1000]" takes its first 1000 rows.
        column: name of the text column. Rows without text are left out.

    Raises:
        ModuleNotFoundError: when the ``datasets`` library is missing or too old.
        FileNotFoundError: when there is no such dataset, or the hub cannot be reached.
        ValueError: on an unknown configuration, split or column, a column that is not text, or a split without text.
    """
    rows, what = load_rows(name_or_folder, split, config), f"dataset {str(name_or_folder)!r}"
    texts = read_column(rows, column, what)
    return _not_empty(texts, f"{what}: column {column!r} of split {split!r} has no text in any row")


def _visible(folder: Path, pattern: str) -> Iterator[Path]:
    """Files of a folder that fit the pattern, without what tools keep for themselves, as ``.ipynb_checkpoints``."""
    for file in folder.glob(pattern):
        inside = file.relative_to(folder)
        kept = any(part.startswith(".") or part in TOOLS or part.endswith(TOOLS_ENDINGS) for part in inside.parts)
        environment = any((folder / above / "pyvenv.cfg").is_file() for above in inside.parents[:-1])
        if file.is_file() and not kept and not environment:
            yield file


def _read(file: Path) -> str:
    raw = file.read_bytes()
    if b"\0" in raw:
        raise ValueError(f"{str(file)!r} is not text: it has a zero byte at {raw.index(0)}")
    try:
        return raw.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{str(file)!r} is not UTF-8: byte {raw[error.start]:#04x} at {error.start}; convert it first, "
            f"with iconv -f latin1 -t utf8 for example"
        ) from error


def _parts(text: str, separator: str | None) -> list[str]:
    return [text] if separator is None else [part.strip("\n") for part in text.split(separator)]


def _not_empty(texts: Iterable[str | None], message: str) -> list[str]:
    kept = [text for text in texts if text and not text.isspace()]
    if not kept:
        raise ValueError(message)
    return kept
