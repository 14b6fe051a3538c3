"""Labelled batches: one label per text, one tag per word, or an answer that is a span of the text.

Texts come as the ``Encoding`` of a tokenizer, which knows the word that each token belongs to; labels come by name.
Chapter: ``book/algorithms/finetuning.ipynb``.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeVar

import torch
from tokenizers import Encoding
from torch import Tensor

from companion.data.batch import IGNORED, padded
from companion.data.batching import length_buckets
from companion.data.checks import check_list, check_names


class Labelled(NamedTuple):
    """A batch for text classification.

    Attributes:
        inputs: token ids (batch, length), padded with 0 at the end.
        token_type_ids: segment of each token, 0 or 1 (batch, length).
        attention_mask: boolean (batch, length), True = a real token.
        labels: class indices (batch,).
    """

    inputs: Tensor
    token_type_ids: Tensor
    attention_mask: Tensor
    labels: Tensor


class Tagged(NamedTuple):
    """A batch for token classification (tagging).

    Attributes:
        inputs: as in :class:`Labelled`.
        token_type_ids: the same.
        attention_mask: the same.
        labels: tag indices (batch, length), each at the first token of its word, ``IGNORED`` elsewhere.
    """

    inputs: Tensor
    token_type_ids: Tensor
    attention_mask: Tensor
    labels: Tensor


class SpanQuestions(NamedTuple):
    """A batch for extractive question answering: questions whose answers are spans of the context.

    Attributes:
        inputs: as in :class:`Labelled`.
        token_type_ids: the same.
        attention_mask: the same.
        starts: position of each answer's first token (batch,).
        ends: position of its last token (batch,).
    """

    inputs: Tensor
    token_type_ids: Tensor
    attention_mask: Tensor
    starts: Tensor
    ends: Tensor


Rows = Labelled | Tagged | SpanQuestions
SomeRows = TypeVar("SomeRows", Labelled, Tagged, SpanQuestions)


def labelled(encodings: Sequence[Encoding], labels: Sequence[str], names: Sequence[str]) -> Labelled:
    """A batch of texts with one label each.

    >>> from companion.data.tokenization import train_wordpiece
    >>> texts = train_wordpiece(["good bad"], 14).encode_batch(["good", "bad"])
    >>> labelled(texts, ["positive", "negative"], names=["negative", "positive"]).labels.tolist()
    [1, 0]

    Args:
        encodings: encodings of the texts.
        labels: name of each text's label.
        names: names of all labels, in the order of their indices.

    Raises:
        ValueError: when there is no text, or one without a word, another number of labels than of texts, an unknown
            label, a string in the place of a list, or a name that comes twice.
    """
    check_list("labels", labels)
    check_list("names", names)
    check_names("names", names)
    texts = _texts(encodings, len(labels), "labels")
    return Labelled(*texts, torch.tensor([_number(label, names) for label in labels]))


def tagged(encodings: Sequence[Encoding], tags: Sequence[Sequence[str]], names: Sequence[str]) -> Tagged:
    """A batch of texts with one tag per word: the word's first token carries it, its other tokens are ignored.

    >>> from companion.data.tokenization import train_wordpiece
    >>> text = train_wordpiece(["Anna left"], 16).encode(["Anna", "left"], is_pretokenized=True)
    >>> text.tokens
    ['[CLS]', 'a', '##n', '##n', '##a', 'l', '##e', '##f', '##t', '[SEP]']
    >>> tagged([text], [["PERSON", "O"]], names=["O", "PERSON"]).labels.tolist()
    [[-100, 1, -100, -100, -100, 0, -100, -100, -100, -100]]

    Args:
        encodings: encodings of the texts; of a pair of texts, the words of the first are tagged.
        tags: names of each text's tags, one per word.
        names: names of all tags, in the order of their indices.

    Raises:
        ValueError: as :func:`labelled`, or when a text has another number of tags than of words.
    """
    check_list("tags", tags, *tags)
    check_list("names", names)
    check_names("names", names)
    inputs, types, mask = _texts(encodings, len(tags), "lists of tags")
    labels = torch.full_like(inputs, IGNORED)
    for row, (encoding, own) in enumerate(zip(encodings, tags, strict=True)):
        positions = first_pieces(encoding)
        if len(positions) != len(own):
            raise ValueError(f"each word must have one tag; text {row} has {len(positions)} words and {len(own)} tags")
        labels[row, positions] = torch.tensor([_number(tag, names) for tag in own])
    return Tagged(inputs, types, mask, labels)


def span_questions(encodings: Sequence[Encoding], spans: Sequence[tuple[int, int]]) -> SpanQuestions:
    """A batch of questions whose answers are spans of their contexts.

    >>> from companion.data.tokenization import train_wordpiece
    >>> pair = train_wordpiece(["who is Anna"], 24).encode(["who"], ["Anna", "is"], is_pretokenized=True)
    >>> pair.tokens
    ['[CLS]', 'who', '[SEP]', 'anna', 'is', '[SEP]']
    >>> batch = span_questions([pair], [(0, 1)])  # the answer is the context's first word
    >>> batch.starts.tolist(), batch.ends.tolist()
    ([3], [3])

    Args:
        encodings: encodings of pairs (question, context), or of contexts alone: the context is the last part.
        spans: answer of each context as its words [begin, end), counted from 0.

    Raises:
        ValueError: as :func:`labelled`, or on a span that is empty or not in its context.
    """
    inputs, types, mask = _texts(encodings, len(spans), "spans")
    starts, ends = [], []
    for row, (encoding, (begin, end)) in enumerate(zip(encodings, spans, strict=True)):
        words = context_words(encoding)
        count = max(words.values(), default=-1) + 1
        first = [position for position, word in words.items() if word == begin]
        last = [position for position, word in words.items() if word == end - 1]
        if not (begin < end and first and last):
            raise ValueError(f"a span is words [begin, end) of 0 to {count}; got {(begin, end)} for text {row}")
        starts.append(first[0])
        ends.append(last[-1])
    return SpanQuestions(inputs, types, mask, torch.tensor(starts), torch.tensor(ends))


def minibatches(rows: SomeRows, batch_size: int, seed: int = 0) -> Iterator[SomeRows]:
    """Batches of rows of about the same length, epoch after epoch without end, each cut to its longest row.

    The order is the same for the same seed, so that a run can be resumed.

    >>> ids = torch.tensor([[5, 6, 7], [8, 0, 0]])
    >>> rows = Labelled(ids, torch.zeros_like(ids), ids > 0, torch.tensor([0, 1]))
    >>> sorted(batch.inputs.tolist() for _, batch in zip(range(2), minibatches(rows, batch_size=1)))
    [[[5, 6, 7]], [[8]]]

    Args:
        rows: the whole data set as one batch.
        batch_size: rows per batch.
        seed: seed of the order.
    """
    lengths = rows.attention_mask.sum(1)
    for chosen in length_buckets(lengths.tolist(), batch_size, seed):
        longest = int(lengths[chosen].max())
        yield type(rows)(*(column[chosen, :longest] if column.dim() == 2 else column[chosen] for column in rows))


def first_pieces(encoding: Encoding) -> list[int]:
    """Positions of the first token of each word, in order; of a pair of texts, of the first text's words.

    >>> from companion.data.tokenization import train_wordpiece
    >>> text = train_wordpiece(["low lower"], 16).encode("lower low")
    >>> text.tokens
    ['[CLS]', 'low', '##e', '##r', 'low', '[SEP]']
    >>> first_pieces(text)
    [1, 4]

    Raises:
        ValueError: when a word has no token.
    """
    positions: dict[int, int] = {}
    for position, (word, part) in enumerate(zip(encoding.word_ids, encoding.sequence_ids, strict=True)):
        if part == 0 and word is not None:
            positions.setdefault(word, position)
    gap = next((number for number, word in enumerate(sorted(positions)) if number != word), None)
    if gap is not None:
        raise ValueError(f"word {gap} of a text has no token, so nothing can carry its tag")
    return list(positions.values())


def context_words(encoding: Encoding) -> dict[int, int]:
    """Position -> word of each token in a text's last part, both counted from 0; none where that part is empty."""
    last = encoding.n_sequences - 1
    pieces = enumerate(zip(encoding.word_ids, encoding.sequence_ids, strict=True))
    return {position: word for position, (word, part) in pieces if part == last and word is not None}


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
