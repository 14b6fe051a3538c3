"""BPE and WordPiece built by hand agree with the library and with their own promises."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import PATIENT
from tokenizers import Tokenizer
from tokenizers import models as library
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.trainers import BpeTrainer, WordPieceTrainer
from words_to_cut import WALKS, word, words

from companion.data.subwords import (
    decode_wordpiece,
    encode_bpe,
    encode_wordpiece,
    learn_bpe,
    learn_wordpiece,
    merge,
    pair_counts,
)
from companion.data.unigram import learn_unigram

chinese = st.text("的一是了我们他在有这", min_size=1, max_size=9)


# What the algorithms share


def test_pairs_are_merged_from_left_to_right():
    assert merge(list("aaabaa"), ("a", "a"), "aa") == ["aa", "a", "b", "aa"]


def test_pairs_are_counted_once_a_place_and_by_the_words_own_count():
    assert pair_counts({"aab": list("aab"), "ab": list("ab")}, {"aab": 2, "ab": 3}) == {("a", "a"): 2, ("a", "b"): 5}


# BPE


def trained_by_the_library(counts, vocab_size):
    tokenizer = Tokenizer(library.BPE())
    tokenizer.pre_tokenizer = WhitespaceSplit()
    text = [w for w, times in counts.items() for _ in range(times)]
    tokenizer.train_from_iterator(text, BpeTrainer(vocab_size=vocab_size, show_progress=False))
    return tokenizer, [tuple(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]]


@settings(PATIENT, max_examples=100)
@given(counts=words, merges=st.integers(0, 12))
def test_the_library_learns_the_same_merges(counts, merges):
    _, theirs = trained_by_the_library(counts, len(set("".join(counts))) + merges)
    assert learn_bpe(counts, len(theirs)) == theirs


@settings(PATIENT, max_examples=100)
@given(counts=words, unseen=word)
def test_the_library_cuts_words_in_the_same_way(counts, unseen):
    tokenizer, theirs = trained_by_the_library({**counts, "abcd": 1}, 15)
    for text in [*counts, unseen]:
        assert encode_bpe(text, theirs) == tokenizer.encode(text).tokens


@settings(PATIENT, max_examples=50)
@given(counts=st.dictionaries(chinese, st.integers(1, 5), min_size=1, max_size=8))
def test_chinese_merges_are_the_librarys_too(counts):
    tokenizer, theirs = trained_by_the_library(counts, len(set("".join(counts))) + 6)
    assert learn_bpe(counts, len(theirs)) == theirs
    assert all(encode_bpe(text, theirs) == tokenizer.encode(text).tokens for text in counts)


def test_stems_and_endings_are_found_by_counting():
    merges = learn_bpe(WALKS, 10)
    assert [encode_bpe(w, merges) for w in ("walks", "talking", "looked")] == [
        ["walk", "s"],
        ["talk", "ing"],
        ["look", "ed"],
    ]


def test_the_most_frequent_pair_is_merged_first_and_the_older_among_equals():
    assert learn_bpe({"ab": 2, "cd": 3}, 2) == [("c", "d"), ("a", "b")]
    assert learn_bpe({"dc": 1, "ba": 1}, 2) == [("b", "a"), ("d", "c")]


def test_learning_ends_when_each_word_is_one_piece():
    assert learn_bpe({"abc": 1}, 99) == [("a", "b"), ("ab", "c")]


@settings(PATIENT, max_examples=50)
@given(counts=words, text=st.text(max_size=12))
def test_pieces_of_bpe_put_together_are_the_word(counts, text):
    assert "".join(encode_bpe(text, learn_bpe(counts, 9))) == text


@settings(PATIENT)
@given(counts=words, fewer=st.integers(0, 6), more=st.integers(0, 6))
def test_more_merges_never_make_more_pieces(counts, fewer, more):
    merges = learn_bpe(counts, fewer + more)
    for text in counts:
        assert len(encode_bpe(text, merges)) <= len(encode_bpe(text, merges[:fewer]))


def test_bytes_written_as_characters_make_it_byte_level():
    as_bytes = "语言模型".encode().decode("latin-1")
    pieces = encode_bpe(as_bytes, learn_bpe({as_bytes: 2}, 5))
    assert "".join(pieces).encode("latin-1").decode() == "语言模型"
    assert len(encode_bpe(as_bytes, [])) == 12


# WordPiece


@settings(PATIENT, max_examples=100)
@given(counts=words, size=st.integers(0, 12), unseen=st.text("abcdef", min_size=1, max_size=9))
def test_the_library_matches_the_same_pieces(counts, size, unseen):
    vocabulary = learn_wordpiece(counts, 8 + size)
    ids = {piece: n for n, piece in enumerate(["[UNK]", *vocabulary])}
    tokenizer = Tokenizer(library.WordPiece(ids, unk_token="[UNK]"))
    for text in [*counts, unseen]:
        assert encode_wordpiece(text, vocabulary) == tokenizer.encode(text).tokens


@settings(PATIENT)
@given(counts=words, size=st.integers(0, 12))
def test_pieces_of_wordpiece_put_together_are_the_word(counts, size):
    vocabulary = learn_wordpiece(counts, 8 + size)
    assert all(decode_wordpiece(encode_wordpiece(text, vocabulary)) == text for text in counts)


def test_the_score_prefers_pieces_that_are_rare_apart():
    counts = {"ab": 8, "ac": 8, "db": 8, "xy": 3}  # x and y never stand apart; a and b do
    assert learn_bpe(counts, 1) == [("a", "b")]
    assert learn_wordpiece(counts, 7)[-1] == "xy"


def test_the_librarys_own_wordpiece_trainer_counts_as_bpe_does():
    counts = {"ab": 9, "ac": 8, "db": 8, "xy": 3}
    tokenizer = Tokenizer(library.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    text = [w for w, times in counts.items() for _ in range(times)]
    tokenizer.train_from_iterator(text, WordPieceTrainer(vocab_size=99, show_progress=False))
    joined = {n: piece for piece, n in tokenizer.get_vocab().items() if len(piece.removeprefix("##")) > 1}
    assert joined[min(joined)] == "ab"  # the most frequent pair, not the rare "xy"


def test_a_word_with_a_part_that_fits_nothing_is_unknown_as_a_whole():
    assert encode_wordpiece("walkzing", {"walk", "##ing"}) == ["[UNK]"]
    assert encode_wordpiece("ing", {"walk", "##ing"}, unknown="?") == ["?"]


def test_the_longest_match_is_taken_even_where_a_shorter_one_would_have_gone_further():
    assert encode_wordpiece("abcd", {"a", "abc", "##bcd"}) == ["[UNK]"]


def test_the_vocabulary_has_the_size_that_was_asked_for():
    assert len(learn_wordpiece(WALKS, 20)) == 20
    assert len(learn_wordpiece({"ab": 1}, 99)) == 3  # a, ##b, ab, and nothing left to join


@pytest.mark.parametrize("learn", [learn_wordpiece, learn_unigram])
def test_a_vocabulary_without_room_for_the_characters_is_refused(learn):
    with pytest.raises(ValueError, match="the characters alone need 2 pieces; vocab_size is 1"):
        learn({"ab": 1}, 1)
