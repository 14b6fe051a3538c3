"""Datasets of the Hugging Face hub, or of folders in its layout: rows, and texts or words with their labels.

Two steps lead to a batch: :func:`labelled_texts` or :func:`tagged_sentences` reads a split, :func:`encode` cuts it into
the pieces of a checkpoint's own tokenizer, and ``.rows`` lays them out as :mod:`companion.data.labelled` does.
Chapters: ``book/algorithms/finetuning.ipynb``, ``book/concepts/language_model.ipynb``.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from tokenizers import Encoding, Tokenizer

from companion.data.labelled import Labelled, Tagged, first_pieces, labelled, tagged

INSTALL = "pip install 'large-language-models-live[hub]', or pip install 'datasets>=4'"
KINDS = {"text": "string", "lists of words": "lists of string"}  # what the library calls them
STAND_IN = "?"  # for a word of which a tokenizer leaves nothing, such as a control character


class Texts(NamedTuple):
    """Texts with a label each.

    Attributes:
        texts: as they are written.
        labels: the name of each text's label.
        names: of all labels, in the order of their numbers.
    """

    texts: list[str]
    labels: list[str]
    names: tuple[str, ...]

    def rows(self, encodings: Sequence[Encoding]) -> Labelled:
        """Lay the texts out, as :func:`encode` cut them; errors as :func:`companion.data.labelled.labelled`."""
        return labelled(encodings, self.labels, self.names)


class Sentences(NamedTuple):
    """Texts that come as words, with a tag each.

    Attributes:
        texts: the words of each.
        labels: the name of each word's tag.
        names: of all tags, in the order of their numbers.
    """

    texts: list[list[str]]
    labels: list[list[str]]
    names: tuple[str, ...]

    def rows(self, encodings: Sequence[Encoding]) -> Tagged:
        """Lay the texts out, without the tags of words cut off; errors as :func:`companion.data.labelled.tagged`."""
        pairs = zip(self.labels, encodings, strict=True)
        return tagged(encodings, [tags[: len(first_pieces(encoding))] for tags, encoding in pairs], self.names)


def load_rows(
    name_or_folder: str | Path, split: str = "train", config: str | None = None, revision: str | None = None
) -> Any:
    """Load one split with the ``datasets`` library, which reads data and, from version 4 on, never runs code.

    Args:
        name_or_folder: "owner/name" on the hub, or a folder with data files and, if it has several configurations or
            labels with names, a ``README.md`` that says so.
        split: which part, "train" or "validation" for example; "train[:1000]" takes its first 1000 rows.
        config: which configuration; the dataset's own default when not given.
        revision: a branch or commit on the hub. "refs/convert/parquet" is the hub's own copy as Parquet of a dataset
            that comes as a script.

    Raises:
        ModuleNotFoundError: when the ``datasets`` library is missing or too old.
        FileNotFoundError: when there is no such dataset, or the hub cannot be reached.
        ValueError: on an unknown configuration or split, one without rows, or a dataset that is a script.
    """
    library = _library()
    what = f"dataset {str(name_or_folder)!r}"
    cache = _own_cache(Path(name_or_folder), library) if Path(name_or_folder).is_dir() else None
    try:
        with _quiet(library):
            return library.load_dataset(str(name_or_folder), config, split=split, revision=revision, cache_dir=cache)
    except (StopIteration, ValueError, RuntimeError, OSError, library.exceptions.DatasetsError) as error:
        cause = error.__cause__ or error
        if isinstance(cause, StopIteration | library.arrow_writer.SchemaInferenceError):  # said of a file without rows
            raise ValueError(f"{what}: split {split!r} has no rows") from error
        kind = FileNotFoundError if isinstance(error, OSError) else ValueError
        raise kind(f"{what} cannot be loaded: {cause}") from error


def read_column(rows: Any, column: str, what: str, wanted: str = "text") -> list[Any]:
    """Return a column of rows that were loaded.

    Args:
        rows: see :func:`load_rows`.
        column: its name.
        what: how errors begin, such as "dataset 'owner/name'".
        wanted: what it must hold: "text", "lists of words", "ClassLabel" (numbers that know their names), or "lists of
            ClassLabel".

    Raises:
        ValueError: when there is none of that name, or it holds something else.
    """
    if column not in rows.column_names:
        raise ValueError(f"{what} has no column {column!r}; choose from {', '.join(rows.column_names)}")
    kind = _kind(rows.features[column])
    if kind != KINDS.get(wanted, wanted):
        cure = "; name its labels under dataset_info in README.md" if wanted.endswith("ClassLabel") else ""
        raise ValueError(f"{what}: column {column!r} holds {kind}, not {wanted}{cure}")
    return list(rows[column])


def labelled_texts(
    name_or_folder: str | Path, split: str = "train", *, text: str = "sentence", label: str = "label", **where: Any
) -> Texts:
    """Read texts with a label each; a row without text is left out.

    Args:
        name_or_folder: see :func:`load_rows`.
        split: the same.
        text: the column that holds the text; those given are SST-2's.
        label: the column that holds the label's number, of the kind ``ClassLabel``, which knows the names.
        where: config and revision, as in :func:`load_rows`.

    Raises:
        ValueError: when a column is missing or of another kind, a text has no label (the hub writes -1), or no row is
            left; see also :func:`load_rows`.
    """
    rows, what = load_rows(name_or_folder, split, **where), f"dataset {str(name_or_folder)!r}"
    texts, numbers = read_column(rows, text, what), read_column(rows, label, what, "ClassLabel")
    names = tuple(rows.features[label].names)
    pairs = enumerate(zip(texts, numbers, strict=True))
    kept = [(row, own, number) for row, (own, number) in pairs if own and not own.isspace()]
    _check_some(kept, f"{what}: split {split!r}")
    labels = [_named(number, names, f"{what}: row {row} of split {split!r}") for row, _, number in kept]
    return Texts([own for _, own, _ in kept], labels, names)


def tagged_sentences(
    name_or_folder: str | Path, split: str = "train", *, words: str = "tokens", tags: str = "ner_tags", **where: Any
) -> Sentences:
    """Read sentences that come as words with a tag each; one without words is left out.

    Args:
        name_or_folder: see :func:`load_rows`.
        split: the same.
        words: the column with lists of words; those given are CoNLL-2003's.
        tags: the column with lists of tags' numbers, of the kind ``ClassLabel``.
        where: config and revision, as in :func:`load_rows`.

    Raises:
        ValueError: as :func:`labelled_texts`; also when a sentence has another number of tags than of words.
    """
    rows, what = load_rows(name_or_folder, split, **where), f"dataset {str(name_or_folder)!r}"
    sentences = read_column(rows, words, what, "lists of words")
    numbers, names = read_column(rows, tags, what, "lists of ClassLabel"), tuple(rows.features[tags].feature.names)
    labels = []
    for row, (own, marks) in enumerate(zip(sentences, numbers, strict=True)):
        place = f"{what}: row {row} of split {split!r}"
        if len(own) != len(marks):
            raise ValueError(f"{place} has {len(own)} {words} and {len(marks)} {tags}; each word must have one tag")
        labels.append([_named(number, names, place) for number in marks])
    kept = [number for number, own in enumerate(sentences) if own]
    _check_some(kept, f"{what}: split {split!r}")
    return Sentences([sentences[i] for i in kept], [labels[i] for i in kept], names)


def encode(tokenizer: Tokenizer, texts: Sequence[str] | Sequence[Sequence[str]], context_length: int) -> list[Encoding]:
    """Cut texts, or lists of words, into pieces; what does not fit a model's context is cut off at the end.

    [CLS] and [SEP] stay: of a text that is too long the first ``context_length - 2`` pieces are kept. A word of a list
    of which the tokenizer leaves nothing is read as "?", so that its tag has a place.

    Args:
        tokenizer: the checkpoint's own; its settings for cutting and padding are not used, and replaced.
        texts: strings, or lists of words.
        context_length: tokens that the model reads at most.

    Raises:
        ValueError: when there is no room for a piece of text.
    """
    if context_length <= tokenizer.num_special_tokens_to_add(False):
        raise ValueError(f"context_length must leave room for a piece of text; got {context_length}")
    tokenizer.no_padding()
    tokenizer.no_truncation()
    if isinstance(texts[0], str):
        tokenizer.enable_truncation(context_length)
        return tokenizer.encode_batch(texts)
    distinct = sorted({word for words in texts for word in words})
    alone = tokenizer.encode_batch([[word] for word in distinct], is_pretokenized=True, add_special_tokens=False)
    lost = {word for word, encoding in zip(distinct, alone, strict=True) if not encoding.ids}
    tokenizer.enable_truncation(context_length)
    seen = [[STAND_IN if word in lost else word for word in words] for words in texts]
    return tokenizer.encode_batch(seen, is_pretokenized=True)


def _kind(feature: Any) -> str:
    """What a column holds, in words."""
    name = type(feature).__name__
    if name in ("List", "LargeList"):
        return f"lists of {_kind(feature.feature)}"
    return feature.dtype.removeprefix("large_") if name == "Value" else name


def _named(number: int | None, names: Sequence[str], place: str) -> str:
    if number is None or not 0 <= number < len(names):
        raise ValueError(f"{place} has the label {number}; a label is 0 to {len(names) - 1}, and -1 means: not given")
    return names[number]


def _check_some(kept: Sequence[Any], split: str) -> None:
    if not kept:
        raise ValueError(f"{split} has no text in any row")


def _library() -> ModuleType:
    try:
        import datasets
    except ImportError as error:
        raise ModuleNotFoundError(f"datasets of the hub need the `datasets` library: {INSTALL}") from error
    if int(datasets.__version__.split(".")[0]) < 4:
        raise ModuleNotFoundError(f"`datasets` {datasets.__version__} may run a dataset's own code: {INSTALL}")
    return datasets


def _own_cache(folder: Path, library: ModuleType) -> str:
    """A cache for a folder as it is now.

    Where a ``README.md`` names configurations, the library's own one is the same for all folders of one name, whatever
    their files hold, and so it would give back the rows of another.
    """
    files = sorted(path for path in folder.resolve().rglob("*") if path.is_file())
    state = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return str(Path(library.config.HF_DATASETS_CACHE) / hashlib.sha256(repr(state).encode()).hexdigest()[:16])


@contextmanager
def _quiet(library: ModuleType) -> Iterator[None]:
    """No progress bars while it loads, and afterwards as before."""
    shown = library.are_progress_bars_disabled() is False
    library.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            library.enable_progress_bars()
