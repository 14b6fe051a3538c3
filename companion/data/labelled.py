"""Texts with their labels as batches: a label a text, a tag a word, or an answer that is a span of the text.

Texts come as the ``Encoding`` of a tokenizer, which knows the word that each piece belongs to; labels come by name.
Chapter: ``book/algorithms/finetuning.ipynb``.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeVar

import torch
from tokenizers import Encoding
from torch import Tensor

from companion.data.batch import IGNORED, padded
from companion.data.batching import length_buckets


class Labelled(NamedTuple):
    """Texts with a label each.

    Attributes:
        inputs: (batch, length), padded with 0 at the end.
        token_type_ids: (batch, length), the part of the text that a token belongs to, 0 or 1.
        attention_mask: boolean (batch, length), True = a real token.
        labels: (batch,), numbers of labels.
    """

    inputs: Tensor
    token_type_ids: Tensor
    attention_mask: Tensor
    labels: Tensor


class Tagged(NamedTuple):
    """Texts with a label for each word; all but the last as in :class:`Labelled`.

    Attributes:
        labels: (batch, length), the word's at its first piece, ``IGNORED`` elsewhere.
    """

    inputs: Tensor
    token_type_ids: Tensor
    attention_mask: Tensor
    labels: Tensor


class SpanQuestions(NamedTuple):
    """Texts that hold an answer; the first three as in :class:`Labelled`.

    Attributes:
        starts: (batch,), the place of the answer's first token.
        ends: (batch,), the place of its last token.
    """

    inputs: Tensor
    token_type_ids: Tensor
    attention_mask: Tensor
    starts: Tensor
    ends: Tensor


Rows = Labelled | Tagged | SpanQuestions
SomeRows = TypeVar("SomeRows", Labelled, Tagged, SpanQuestions)


def labelled(encodings: Sequence[Encoding], labels: Sequence[str], names: Sequence[str]) -> Labelled:
    """Make a batch of texts with a label each.

    Args:
        encodings: of the texts.
        labels: the name of each text's label.
        names: of all labels, in the order of their numbers.

    Raises:
        ValueError: when there is no text, or one without a word, another number of labels than of texts, or a label
            that has no number.
    """
    texts = _texts(encodings, len(labels), "labels")
    return Labelled(*texts, torch.tensor([_number(label, names) for label in labels]))


def tagged(encodings: Sequence[Encoding], tags: Sequence[Sequence[str]], names: Sequence[str]) -> Tagged:
    """Make a batch of texts with a tag for each word: its first piece carries it, its other pieces are not asked.

    Args:
        encodings: of the texts; where one has two parts, the words of the first are tagged.
        tags: the names of each text's tags, one a word.
        names: of all tags, in the order of their numbers.

    Raises:
        ValueError: as :func:`labelled`, or when a text has another number of tags than of words.
    """
    inputs, types, mask = _texts(encodings, len(tags), "lists of tags")
    labels = torch.full_like(inputs, IGNORED)
    for row, (encoding, own) in enumerate(zip(encodings, tags, strict=True)):
        places = first_pieces(encoding)
        if len(places) != len(own):
            raise ValueError(f"each word must have one tag; text {row} has {len(places)} words and {len(own)} tags")
        labels[row, places] = torch.tensor([_number(tag, names) for tag in own])
    return Tagged(inputs, types, mask, labels)


def span_questions(encodings: Sequence[Encoding], spans: Sequence[tuple[int, int]]) -> SpanQuestions:
    """Make a batch of questions whose answers stand in the text.

    Args:
        encodings: of pairs (question, context), or of contexts alone: the context is the last part.
        spans: the words [begin, end) of each context that are its answer, counted from 0.

    Raises:
        ValueError: as :func:`labelled`, or on a span that is empty or not in its context.
    """
    inputs, types, mask = _texts(encodings, len(spans), "spans")
    starts, ends = [], []
    for row, (encoding, (begin, end)) in enumerate(zip(encodings, spans, strict=True)):
        words = context_words(encoding)
        count = max(words.values(), default=-1) + 1
        first = [place for place, word in words.items() if word == begin]
        last = [place for place, word in words.items() if word == end - 1]
        if not (begin < end and first and last):
            raise ValueError(f"a span is words [begin, end) of 0 to {count}; got {(begin, end)} for text {row}")
        starts.append(first[0])
        ends.append(last[-1])
    return SpanQuestions(inputs, types, mask, torch.tensor(starts), torch.tensor(ends))


def minibatches(rows: SomeRows, batch_size: int, seed: int = 0) -> Iterator[SomeRows]:
    """Go through rows again and again, in batches of about the same length, each as short as its longest row.

    The order is the same for the same seed, so that a run can be resumed.

    Args:
        rows: all of them.
        batch_size: rows a batch.
        seed: of the order.
    """
    lengths = rows.attention_mask.sum(1)
    for chosen in length_buckets(lengths.tolist(), batch_size, seed):
        longest = int(lengths[chosen].max())
        yield type(rows)(*(column[chosen, :longest] if column.dim() == 2 else column[chosen] for column in rows))


def first_pieces(encoding: Encoding) -> list[int]:
    """Return the place of the first piece of each word of a text's first part, in order.

    Raises:
        ValueError: when a word has no piece.
    """
    places: dict[int, int] = {}
    for place, (word, part) in enumerate(zip(encoding.word_ids, encoding.sequence_ids, strict=True)):
        if part == 0 and word is not None:
            places.setdefault(word, place)
    gap = next((number for number, word in enumerate(sorted(places)) if number != word), None)
    if gap is not None:
        raise ValueError(f"word {gap} of a text has no token, so nothing can carry its tag")
    return list(places.values())


def context_words(encoding: Encoding) -> dict[int, int]:
    """Return the word that each token of a text's last part belongs to: place -> word, both from 0."""
    last = max((part for part in encoding.sequence_ids if part is not None), default=0)
    pieces = enumerate(zip(encoding.word_ids, encoding.sequence_ids, strict=True))
    return {place: word for place, (word, part) in pieces if part == last and word is not None}


def _texts(encodings: Sequence[Encoding], given: int, what: str) -> tuple[Tensor, Tensor, Tensor]:
    if len(encodings) != given:
        raise ValueError(f"there must be as many {what} as texts; got {given} for {len(encodings)}")
    for row, encoding in enumerate(encodings):
        if all(word is None for word in encoding.word_ids):
            raise ValueError(f"each text must have a word; text {row} has none")
    inputs, _ = padded([encoding.ids for encoding in encodings])
    types, _ = padded([encoding.type_ids for encoding in encodings])
    mask, _ = padded([encoding.attention_mask for encoding in encodings])
    return inputs, types, mask.bool()


def _number(label: str, names: Sequence[str]) -> int:
    if label not in names:
        raise ValueError(f"label {label!r} is none of {', '.join(names)}")
    return list(names).index(label)
