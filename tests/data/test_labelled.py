"""Texts and labels become batches, each label at its token, or the error says what does not fit."""

import itertools

import pytest
import torch
from labelled_rows import rows

from companion.data.batch import IGNORED
from companion.data.labelled import context_words, labelled, minibatches, span_questions, tagged
from companion.data.tokenization import train_wordpiece
from companion.storyworld import World

NAMES = ("none", "anger", "joy")
WORDS = World("tiny").tokenizer(("[CLS]", "[SEP]", "[MASK]"))
PIECES = train_wordpiece(["unable to unlock the lock", "able and locked"] * 3, 34)


def test_texts_with_labels_by_name():
    encodings = WORDS.encode_batch(["Tom is in the kitchen .", "Tom is in"])
    batch = labelled(encodings, ["joy", "none"], NAMES)
    assert batch.labels.tolist() == [2, 0]
    assert batch.attention_mask.sum(1).tolist() == [8, 5]
    assert batch.inputs[1, :5].tolist() == encodings[1].ids


def test_two_parts_are_told_apart():
    encoding = WORDS.encode(["Tom", "is"], ["Anna", "is"], is_pretokenized=True)
    assert labelled([encoding], ["joy"], NAMES).token_type_ids.tolist() == [[0, 0, 0, 0, 1, 1, 1]]


def test_the_first_piece_of_a_word_carries_its_tag_and_the_others_are_not_asked():
    encoding = PIECES.encode(["unlock", "the", "locked"], is_pretokenized=True)
    assert max(map(encoding.word_ids.count, (0, 2))) > 1  # some word is in pieces
    (labels,) = tagged([encoding], [["joy", "none", "anger"]], NAMES).labels.tolist()
    firsts = [encoding.word_ids.index(word) for word in range(3)]
    assert [labels[place] for place in firsts] == [2, 0, 1]
    assert all(label == IGNORED for place, label in enumerate(labels) if place not in firsts)


def test_where_a_text_has_two_parts_the_first_is_tagged():
    encoding = WORDS.encode(["Tom", "is"], ["Anna"], is_pretokenized=True)
    assert tagged([encoding], [["joy", "none"]], NAMES).labels.tolist() == [[IGNORED, 2, 0, *[IGNORED] * 3]]


def test_an_answer_is_found_in_the_last_part_from_its_first_piece_to_its_last():
    encoding = PIECES.encode(["the", "lock"], ["able", "unlock", "locked"], is_pretokenized=True)
    batch = span_questions([encoding], [(1, 3)])
    pieces = [place for place, part in enumerate(encoding.sequence_ids) if part == 1 and encoding.word_ids[place] > 0]
    assert (batch.starts.item(), batch.ends.item()) == (pieces[0], pieces[-1])


def test_a_padded_encoding_keeps_its_mask():
    tokenizer = World("tiny").tokenizer(("[CLS]", "[SEP]", "[MASK]"))
    tokenizer.enable_padding()
    batch = labelled(tokenizer.encode_batch(["Tom is in the kitchen .", "Tom"]), ["joy", "none"], NAMES)
    assert batch.attention_mask.sum(1).tolist() == [8, 3]


NOTHING = WORDS.encode([], is_pretokenized=True)
TOM = WORDS.encode("Tom is")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: labelled([TOM, NOTHING], ["joy", "joy"], NAMES), "each text must have a word; text 1 has none"),
        (lambda: tagged([NOTHING], [[]], NAMES), "each text must have a word; text 0 has none"),
        (lambda: span_questions([NOTHING], [(0, 1)]), "each text must have a word; text 0 has none"),
        (lambda: labelled([], [], NAMES), "at least one row"),
        (lambda: labelled([TOM], ["sad"], NAMES), "label 'sad' is none of none, anger, joy"),
        (lambda: tagged([TOM], [["joy", "sad"]], NAMES), "label 'sad' is none of none, anger, joy"),
        (lambda: labelled([TOM], ["joy", "joy"], NAMES), "as many labels as texts; got 2 for 1"),
        (lambda: tagged([TOM], [], NAMES), "as many lists of tags as texts; got 0 for 1"),
        (lambda: tagged([TOM], [["joy"]], NAMES), "each word must have one tag; text 0 has 2 words and 1 tags"),
        (lambda: tagged([TOM], [["joy"] * 3], NAMES), "text 0 has 2 words and 3 tags"),
        (lambda: span_questions([TOM], [(0, 0)]), r"words \[begin, end\) of 0 to 2; got \(0, 0\) for text 0"),
        (lambda: span_questions([TOM], [(1, 3)]), r"got \(1, 3\) for text 0"),
        (lambda: span_questions([TOM], [(-1, 1)]), r"got \(-1, 1\) for text 0"),
        (lambda: span_questions([TOM], []), "as many spans as texts; got 0 for 1"),
    ],
)
def test_what_does_not_fit_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_word_without_a_token_is_refused():
    encoding = PIECES.encode(["lock", "\u200b", "the"], is_pretokenized=True)  # BERT drops what cannot be seen
    assert 1 not in encoding.word_ids
    with pytest.raises(ValueError, match="word 1 of a text has no token"):
        tagged([encoding], [["joy", "none", "anger"]], NAMES)


@pytest.mark.parametrize("kind", ["cls", "token", "span"])
def test_a_pass_has_every_row_once_and_each_batch_is_as_short_as_its_longest(kind):
    whole = rows(kind)
    passed = list(itertools.islice(minibatches(whole, 2, seed=3), 3))
    assert sorted(
        tuple(row[mask].tolist()) for b in passed for row, mask in zip(b.inputs, b.attention_mask, strict=True)
    ) == sorted(tuple(row[mask].tolist()) for row, mask in zip(whole.inputs, whole.attention_mask, strict=True))
    assert all(type(batch) is type(whole) and bool(batch.attention_mask.any(0).all()) for batch in passed)


def test_the_order_of_batches_hangs_on_the_seed_alone():
    one, same, other = (
        [b.inputs for b in itertools.islice(minibatches(rows("cls"), 2, seed), 6)] for seed in (1, 1, 2)
    )
    assert all(map(torch.equal, one, same))
    assert not all(a.shape == b.shape and torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_question_is_not_taken_for_its_empty_context():
    tokenizer = train_wordpiece(["who has the ball ?"], 60)
    pair = tokenizer.encode("who has the ball ?", "")
    assert context_words(pair) == {}
    with pytest.raises(ValueError, match=r"a span is words .* of 0 to 0"):
        span_questions([pair], [(0, 1)])


EMPTY = {  # contexts of which BERT's tokenizer leaves nothing
    "nothing": "",
    "spaces": "   ",
    "line breaks": "\n\t\r\n",
    "a space without width": "\u200b",
    "a wide space": "\u3000",
    "a space that does not break": "\xa0",
    "a mark of byte order": "\ufeff",
    "a soft hyphen": "\xad",
    "control characters": "\x00\x01",
}


def emptied(context, question="who has the ball ?", **options):
    tokenizer = train_wordpiece(["who has the ball ? a dog ."], 60)
    if options:
        tokenizer.enable_padding(**options)
    return tokenizer.encode(question, context)


@pytest.mark.parametrize("context", EMPTY.values(), ids=EMPTY)
@pytest.mark.parametrize("options", [{}, {"length": 20}, {"length": 20, "direction": "left"}], ids=str)
def test_a_context_of_nothing_has_no_words_and_no_answer(context, options):
    pair = emptied(context, **options)
    assert context_words(pair) == {}
    with pytest.raises(ValueError, match=r"a span is words .* of 0 to 0; got .* for text 0"):
        span_questions([pair], [(0, 1)])


def test_the_one_question_of_several_that_has_no_context_is_named():
    pairs = [emptied("a dog ."), emptied(" ")]
    with pytest.raises(ValueError, match=r"for text 1"):
        span_questions(pairs, [(0, 1), (0, 1)])


@pytest.mark.parametrize("question", ["", " ", "\u200b"])
def test_a_context_without_a_question_is_answered_from_itself(question):
    pair = emptied("a dog .", question)
    assert [pair.tokens[place] for place in context_words(pair)] == ["a", "dog", "."]
    assert pair.tokens[int(span_questions([pair], [(1, 2)]).starts)] == "dog"
