"""Tables of the Hugging Face hub, or of folders in its layout: one split, and its columns, by the ``datasets`` library.

Chapters: ``book/concepts/language_model.ipynb``, ``book/algorithms/finetuning.ipynb``.
"""

import hashlib
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

MOST_FILES = 20_000  # of a dataset in a folder; a folder with more is a whole disk, perhaps
INSTALL = "pip install 'datasets>=4'"
KINDS = {"text": "string", "lists of words": "lists of string"}  # -> the library's names


class Table(Protocol):
    """A split as the ``datasets`` library loads it: what is read of a ``datasets.Dataset``.

    Attributes:
        column_names: names of the columns.
        features: column -> its kind, an object of the library.
    """

    column_names: list[str]
    features: Mapping[str, Any]

    def __getitem__(self, column: str) -> Iterable[Any]:
        """Values of a column."""


def load_rows(
    name_or_folder: str | Path, split: str = "train", config: str | None = None, revision: str | None = None
) -> Table:
    """One split, loaded by the ``datasets`` library, which reads data and, from version 4 on, never runs code.

    Args:
        name_or_folder: "owner/name" on the hub, or a folder with data files and, if it has several configurations or
            labels with names, a ``README.md`` that says so.
        split: name of the split, "train" or "validation" for example; "train[:1000]" takes its first 1000 rows.
        config: name of the configuration; the dataset's own default when not given.
        revision: branch or commit on the hub. "refs/convert/parquet" is the hub's own copy as Parquet of a dataset
            that comes as a script.

    Raises:
        ModuleNotFoundError: when the ``datasets`` library is missing or too old.
        FileNotFoundError: when there is no such dataset, or the hub cannot be reached.
        ValueError: on an empty name, a folder of too many files or with a bracket in its path, an unknown configuration
            or split, one without rows, or a dataset that is a script.
    """
    if not str(name_or_folder).strip():
        raise ValueError("a dataset must have a name, owner/name, or be a folder; got an empty one")
    library = _library()
    what = f"dataset {str(name_or_folder)!r}"
    cache = _own_cache(Path(name_or_folder), library) if Path(name_or_folder).is_dir() else None
    try:
        with _quiet(library):
            table: Table = library.load_dataset(
                str(name_or_folder), config, split=split, revision=revision, cache_dir=cache
            )
            return table
    except (StopIteration, ValueError, RuntimeError, OSError, library.exceptions.DatasetsError) as error:
        cause = error.__cause__ or error
        if isinstance(cause, StopIteration | library.arrow_writer.SchemaInferenceError):  # said of a file without rows
            raise ValueError(f"{what}: split {split!r} has no rows") from error
        kind = FileNotFoundError if isinstance(error, OSError) else ValueError
        raise kind(f"{what} cannot be loaded: {cause}") from error


def read_column(rows: Table, column: str, what: str, wanted: str = "text") -> list[Any]:
    """The values of a column, of the kind that is wanted.

    Args:
        rows: see :func:`load_rows`.
        column: name of the column.
        what: beginning of an error, such as "dataset 'owner/name'".
        wanted: kind of its values: "text", "lists of words", "ClassLabel" (numbers that know their names), or "lists of
            ClassLabel".

    Raises:
        ValueError: when there is no such column, or it holds another kind.
    """
    if column not in rows.column_names:
        raise ValueError(f"{what} has no column {column!r}; choose from {', '.join(rows.column_names)}")
    kind = _kind(rows.features[column])
    if kind != KINDS.get(wanted, wanted):
        cure = "; name its labels under dataset_info in README.md" if wanted.endswith("ClassLabel") else ""
        raise ValueError(f"{what}: column {column!r} holds {kind}, not {wanted}{cure}")
    return list(rows[column])


def _kind(feature: Any) -> str:
    """Kind of a column, in words."""
    name = type(feature).__name__
    if name in ("List", "LargeList"):
        return f"lists of {_kind(feature.feature)}"
    return feature.dtype.removeprefix("large_") if name == "Value" else name


def _library() -> ModuleType:
    try:
        datasets = import_module("datasets")
    except ImportError as error:
        raise ModuleNotFoundError(f"datasets of the hub need the `datasets` library: {INSTALL}") from error
    if int(datasets.__version__.split(".")[0]) < 4:
        raise ModuleNotFoundError(f"`datasets` {datasets.__version__} may run a dataset's own code: {INSTALL}")
    return datasets


def _own_cache(folder: Path, library: ModuleType) -> str:
    """Cache folder for a data folder in its present state.

    Where a ``README.md`` names configurations, the library's own cache is the same for all folders of one name,
    whatever their files hold, and so it would return the rows of another.
    """
    if "[" in str(folder) or "\n" in str(folder) or os.path.expandvars(folder) != str(folder):
        raise ValueError(
            f"{str(folder)!r} has a [, a line break or the name of a variable ($HOME) in its path, which the library "
            f"takes for a pattern; move it"
        )
    found = list(itertools.islice((path for path in folder.resolve().rglob("*") if path.is_file()), MOST_FILES + 1))
    if len(found) > MOST_FILES:
        raise ValueError(f"{str(folder)!r} holds more than {MOST_FILES} files; give the folder of one dataset")
    files = sorted(found)
    state = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return str(Path(library.config.HF_DATASETS_CACHE) / hashlib.sha256(repr(state).encode()).hexdigest()[:16])


@contextmanager
def _quiet(library: ModuleType) -> Iterator[None]:
    """Context without progress bars, which restores the setting afterwards."""
    shown = library.are_progress_bars_disabled() is False
    library.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            library.enable_progress_bars()
