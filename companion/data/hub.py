"""Labelled datasets of the Hugging Face hub, or of folders in its layout: texts or words with their labels.

Three steps lead to a batch: :func:`labelled_texts` or :func:`tagged_sentences` reads a split, :func:`encode` cuts it
into tokens, and ``.rows`` makes a batch of :mod:`companion.data.labelled`.
Chapters: ``book/algorithms/finetuning.ipynb``, ``book/algorithms/distillation.ipynb``.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tokenizers import Encoding, Tokenizer

from companion.data.checks import check_list, check_string
from companion.data.hub_tables import load_rows, read_column
from companion.data.labelled import Labelled, Tagged, first_pieces, labelled, tagged
from companion.data.tokenization import encode_as_text
from companion.nn.checks import check_integer

STAND_IN = "?"  # in place of a word of which a tokenizer leaves nothing, such as a control character


class Texts(NamedTuple):
    """Texts with one label each.

    Attributes:
        texts: texts as they are written.
        labels: name of each text's label.
        names: names of all labels, in the order of their indices.
    """

    texts: list[str]
    labels: list[str]
    names: tuple[str, ...]

    def rows(self, encodings: Sequence[Encoding]) -> Labelled:
        """The texts as a batch, from their :func:`encode`; errors as :func:`companion.data.labelled.labelled`."""
        return labelled(encodings, self.labels, self.names)


class Sentences(NamedTuple):
    """Sentences as words with one tag each.

    Attributes:
        texts: words of each sentence.
        labels: name of each word's tag.
        names: names of all tags, in the order of their indices.
    """

    texts: list[list[str]]
    labels: list[list[str]]
    names: tuple[str, ...]

    def rows(self, encodings: Sequence[Encoding]) -> Tagged:
        """The sentences as a batch, without the tags of truncated words.

        Errors as :func:`companion.data.labelled.tagged`.
        """
        pairs = zip(self.labels, encodings, strict=True)
        return tagged(encodings, [tags[: len(first_pieces(encoding))] for tags, encoding in pairs], self.names)


def labelled_texts(
    name_or_folder: str | Path,
    split: str = "train",
    *,
    text: str = "sentence",
    label: str = "label",
    config: str | None = None,
    revision: str | None = None,
) -> Texts:
    """Texts with one label each; a row without text is left out.

    Args:
        name_or_folder: see :func:`companion.data.hub_tables.load_rows`.
        split: the same.
        text: name of the column with the text; the defaults are SST-2's.
        label: name of the column with the label's index, of the kind ``ClassLabel``, which knows the names.
        config: see :func:`companion.data.hub_tables.load_rows`.
        revision: the same.

    Raises:
        ValueError: when a column is missing or of another kind, a text has no label (the hub writes -1), or no row is
            left; see also :func:`companion.data.hub_tables.load_rows`.
    """
    rows, what = load_rows(name_or_folder, split, config, revision), f"dataset {str(name_or_folder)!r}"
    texts, numbers = read_column(rows, text, what), read_column(rows, label, what, "ClassLabel")
    names = tuple(rows.features[label].names)
    pairs = enumerate(zip(texts, numbers, strict=True))
    kept = [(row, own, number) for row, (own, number) in pairs if own and not own.isspace()]
    _check_some(kept, f"{what}: split {split!r}")
    labels = [_named(number, names, f"{what}: row {row} of split {split!r}") for row, _, number in kept]
    return Texts([own for _, own, _ in kept], labels, names)


def tagged_sentences(
    name_or_folder: str | Path,
    split: str = "train",
    *,
    words: str = "tokens",
    tags: str = "ner_tags",
    config: str | None = None,
    revision: str | None = None,
) -> Sentences:
    """Sentences as words with one tag each; a row without words is left out.

    Args:
        name_or_folder: see :func:`companion.data.hub_tables.load_rows`.
        split: the same.
        words: name of the column with lists of words; the defaults are CoNLL-2003's.
        tags: name of the column with lists of the tags' indices, of the kind ``ClassLabel``.
        config: see :func:`companion.data.hub_tables.load_rows`.
        revision: the same.

    Raises:
        ValueError: as :func:`labelled_texts`; also when a sentence has another number of tags than of words.
    """
    rows, what = load_rows(name_or_folder, split, config, revision), f"dataset {str(name_or_folder)!r}"
    sentences = read_column(rows, words, what, "lists of words")
    numbers, names = read_column(rows, tags, what, "lists of ClassLabel"), tuple(rows.features[tags].feature.names)
    labels = []
    for row, (own, marks) in enumerate(zip(sentences, numbers, strict=True)):
        where = f"{what}: row {row} of split {split!r}"
        if len(own) != len(marks):
            raise ValueError(f"{where} has {len(own)} {words} and {len(marks)} {tags}; each word must have one tag")
        labels.append([_named(number, names, where) for number in marks])
    kept = [number for number, own in enumerate(sentences) if own]
    _check_some(kept, f"{what}: split {split!r}")
    return Sentences([sentences[i] for i in kept], [labels[i] for i in kept], names)


def encode(tokenizer: Tokenizer, texts: Sequence[str] | Sequence[Sequence[str]], context_length: int) -> list[Encoding]:
    """Encodings of texts, or of lists of words, truncated to a model's context.

    [CLS] and [SEP] stay: of a text that is too long the first ``context_length - 2`` tokens are kept. A word of a list
    of which the tokenizer leaves nothing is read as "?", so that its tag has a position. A text that spells a special
    token, "[SEP]" for example, is read as that text.

    >>> from companion.data.tokenization import train_wordpiece
    >>> encode(train_wordpiece(["so good"], 14), ["so so good"], context_length=4)[0].tokens
    ['[CLS]', 's', '##o', '[SEP]']

    Args:
        tokenizer: the checkpoint's own; its settings of truncation and padding are replaced.
        texts: strings, or lists of words.
        context_length: largest number of tokens that the model reads.

    Raises:
        TypeError: on a text or a word that is no string.
        ValueError: when there is no text, a text holds half of a character, or ``context_length`` has no room beside
            the special tokens.
    """
    check_integer("context_length", context_length)
    if context_length <= tokenizer.num_special_tokens_to_add(False):
        raise ValueError(f"context_length must leave room for a piece of text; got {context_length}")
    check_list("texts", texts)
    texts = list(texts)
    if not texts:
        raise ValueError("there must be a text to encode; got none")
    tokenizer.no_padding()
    tokenizer.no_truncation()
    if not all(isinstance(words, list | tuple) for words in texts):
        tokenizer.enable_truncation(context_length)
        return encode_as_text(tokenizer, texts)
    for words in texts:
        for word in words:
            check_string(word)
    distinct = sorted({word for words in texts for word in words})
    alone = encode_as_text(tokenizer, [[word] for word in distinct], is_pretokenized=True, add_special_tokens=False)
    lost = {word for word, encoding in zip(distinct, alone, strict=True) if not encoding.ids}
    tokenizer.enable_truncation(context_length)
    kept = [[STAND_IN if word in lost else word for word in words] for words in texts]
    return encode_as_text(tokenizer, kept, is_pretokenized=True)


def _named(number: int | None, names: Sequence[str], where: str) -> str:
    if number is None or not 0 <= number < len(names):
        raise ValueError(f"{where} has the label {number}; a label is 0 to {len(names) - 1}, and -1 means: not given")
    return names[number]


def _check_some(kept: Sequence[Any], split: str) -> None:
    if not kept:
        raise ValueError(f"{split} has no text in any row")
