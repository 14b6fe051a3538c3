"""The unigram model built by hand agrees with the library, with brute force, and with its own promises."""

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
from words_to_cut import WALKS, word, words

from companion.data.subwords import encode_bpe, encode_wordpiece
from companion.data.unigram import (
    backward,
    em_step,
    encode_unigram,
    forward,
    learn_unigram,
    removal_losses,
    sample_unigram,
    segmentations,
)


@st.composite
def vocabularies(draw):
    """Pieces of the letters "a" to "d", each letter among them, with log-probabilities."""
    pieces = draw(st.sets(st.text("abcd", min_size=2, max_size=4), max_size=12)) | set("abcd")
    values = st.floats(-12, -0.1).map(lambda x: round(x, 9))
    return {piece: draw(values) for piece in sorted(pieces)}


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
