"""The subword algorithms built by hand agree with the library, with brute force, and with their own promises."""

import json
import math
from collections import Counter
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import PATIENT
from tokenizers import Tokenizer
from tokenizers import models as library
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.trainers import BpeTrainer, WordPieceTrainer

from companion.data.subwords import (
    backward,
    decode_wordpiece,
    em_step,
    encode_bpe,
    encode_unigram,
    encode_wordpiece,
    forward,
    learn_bpe,
    learn_unigram,
    learn_wordpiece,
    merge,
    pair_counts,
    removal_losses,
    sample_unigram,
    segmentations,
)

WALKS = {
    "walk": 5,
    "walked": 3,
    "walking": 2,
    "talk": 4,
    "talks": 2,
    "talked": 3,
    "look": 4,
    "looks": 2,
    "looking": 3,
}
word = st.text("abcd", min_size=1, max_size=9)
words = st.dictionaries(word, st.integers(1, 5), min_size=1, max_size=8)
chinese = st.text("的一是了我们他在有这", min_size=1, max_size=9)


@st.composite
def vocabularies(draw):
    """Pieces of the letters "a" to "d", each letter among them, with log-probabilities."""
    pieces = draw(st.sets(st.text("abcd", min_size=2, max_size=4), max_size=12)) | set("abcd")
    values = st.floats(-12, -0.1).map(lambda x: round(x, 9))
    return {piece: draw(values) for piece in sorted(pieces)}


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


# The unigram model


@settings(PATIENT, max_examples=100)
@given(log_p=vocabularies(), text=word)
def test_the_forward_sum_is_the_sum_over_all_segmentations(log_p, text):
    every = segmentations(text, log_p)
    assert all("".join(pieces) == text for pieces in every)
    brute = sum(math.exp(sum(log_p[piece] for piece in pieces)) for pieces in every)
    assert forward(text, log_p)[-1] == pytest.approx(math.log(brute), abs=1e-9)


def test_with_all_pieces_there_are_as_many_segmentations_as_sets_of_cuts():
    pieces = {"abcde"[i:j] for i in range(5) for j in range(i + 1, 6)}
    assert len(segmentations("abcde", pieces)) == 2**4


@settings(PATIENT)
@given(log_p=vocabularies(), text=word)
def test_forward_and_backward_agree_at_every_place_that_all_segmentations_cross(log_p, text):
    alpha, beta = forward(text, log_p), backward(text, log_p)
    assert alpha[0] == beta[-1] == 0
    assert alpha[-1] == pytest.approx(beta[0], abs=1e-9)
    assert all(a + b <= alpha[-1] + 1e-9 for a, b in zip(alpha, beta, strict=True))


@settings(PATIENT, max_examples=100)
@given(log_p=vocabularies(), text=word)
def test_the_library_finds_the_same_best_path(log_p, text):
    tokenizer = Tokenizer(library.Unigram([("<unk>", -99.0), *log_p.items()], unk_id=0))
    theirs = tokenizer.encode(text).tokens
    ours = encode_unigram(text, log_p)
    score = sum(log_p[piece] for piece in ours)
    assert score == pytest.approx(sum(log_p[piece] for piece in theirs), abs=1e-9)
    rivals = [s for s in segmentations(text, log_p) if abs(sum(log_p[p] for p in s) - score) < 1e-9]
    assert ours == theirs or len(rivals) > 1  # another path of the very same probability


@settings(PATIENT, max_examples=60)
@given(counts=words, log_p=vocabularies(), steps=st.integers(1, 4))
def test_em_never_lowers_the_likelihood(counts, log_p, steps):
    total = math.log(sum(math.exp(value) for value in log_p.values()))
    log_p = {piece: value - total for piece, value in log_p.items()}
    seen = []
    for _ in range(steps + 1):
        log_p, likelihood = em_step(counts, log_p)
        assert sum(math.exp(value) for value in log_p.values()) == pytest.approx(1)
        seen.append(likelihood)
    assert all(later >= earlier - 1e-9 for earlier, later in pairwise(seen))


def test_expected_counts_are_the_posterior_means():
    log_p = {"a": math.log(0.3), "b": math.log(0.3), "ab": math.log(0.4)}
    whole = 0.4 / (0.4 + 0.09)  # the posterior of "ab" in one piece
    counts = {"ab": whole, "a": 1 - whole, "b": 1 - whole}
    improved, likelihood = em_step({"ab": 1}, log_p)
    assert likelihood == pytest.approx(math.log(0.49))
    for piece, count in counts.items():
        assert math.exp(improved[piece]) == pytest.approx(count / sum(counts.values()))


def test_a_removal_loss_is_the_likelihood_that_is_lost():
    log_p = {"a": math.log(0.3), "b": math.log(0.3), "ab": math.log(0.4)}
    assert removal_losses({"ab": 3, "a": 5}, log_p) == {"ab": pytest.approx(3 * math.log(0.49 / 0.09))}


@settings(PATIENT, max_examples=30)
@given(counts=words, room=st.integers(0, 8), text=word)
def test_each_word_of_known_letters_can_be_cut_and_put_together(counts, room, text):
    log_p = learn_unigram({**counts, "abcd": 1}, 4 + room)
    assert len(log_p) <= 4 + room
    assert set("abcd") <= set(log_p)
    assert "".join(encode_unigram(text, log_p)) == text


def test_the_unigram_model_finds_stems():
    assert {piece for piece in learn_unigram(WALKS, 15) if len(piece) > 1} == {"walk", "talk", "look"}


def test_segmentations_are_drawn_by_their_probability():
    log_p = {"a": math.log(0.3), "b": math.log(0.3), "ab": math.log(0.4)}
    generator = Random(0)
    drawn = Counter(tuple(sample_unigram("ab", log_p, generator)) for _ in range(4000))
    assert drawn[("ab",)] / 4000 == pytest.approx(0.4 / 0.49, abs=0.03)


def test_alpha_makes_the_draw_even_or_certain():
    log_p = {"a": -3.0, "b": -3.0, "c": -3.0, "ab": -1.0, "bc": -2.0}
    generator = Random(0)
    even = Counter(tuple(sample_unigram("abc", log_p, generator, alpha=0.0)) for _ in range(3000))
    assert [even[s] / 3000 for s in even] == pytest.approx([1 / 3] * 3, abs=0.04)
    certain = {tuple(sample_unigram("abc", log_p, generator, alpha=100.0)) for _ in range(50)}
    assert certain == {tuple(encode_unigram("abc", log_p))}


@settings(PATIENT)
@given(log_p=vocabularies(), text=word, seed=st.integers(0, 9))
def test_a_drawn_segmentation_is_one_of_the_word(log_p, text, seed):
    assert sample_unigram(text, log_p, Random(seed)) in segmentations(text, log_p)


def test_the_empty_word_has_no_pieces():
    assert encode_bpe("", []) == encode_wordpiece("", set()) == encode_unigram("", {}) == []
    assert segmentations("", {}) == [[]]


@pytest.mark.parametrize(
    "ask",
    [
        lambda log_p: encode_unigram("xyz", log_p),
        lambda log_p: sample_unigram("xyz", log_p, Random(0)),
        lambda log_p: em_step({"xyz": 1}, log_p),
    ],
)
def test_a_word_that_no_pieces_make_up_is_refused(ask):
    with pytest.raises(ValueError, match="no pieces make up 'xyz'"):
        ask({"x": -1.0, "y": -1.0})


@pytest.mark.parametrize("learn", [learn_wordpiece, learn_unigram])
def test_a_vocabulary_without_room_for_the_characters_is_refused(learn):
    with pytest.raises(ValueError, match="the characters alone need 2 pieces; vocab_size is 1"):
        learn({"ab": 1}, 1)
