"""Search by shared words."""

import math

import pytest
import torch

from companion.models.baselines.bag_of_words import BagOfWords, dice_dictionary

DOCUMENTS = [["red", "ball", "red"], ["blue", "ball"], ["green", "ball", "kite", "kite", "kite"]]


def idf(found, documents=3):
    return math.log(1 + (documents - found + 0.5) / (found + 0.5))


def test_bm25_by_hand():
    score = BagOfWords(DOCUMENTS).bm25([["red", "ball"]])[0, 0].item()
    norm = 1.2 * (0.25 + 0.75 * 3 / (10 / 3))
    assert score == pytest.approx(idf(1) * 2 * 2.2 / (2 + norm) + idf(3) * 2.2 / (1 + norm))


def test_cosine_by_hand():
    score = BagOfWords(DOCUMENTS).cosine([["red", "ball"]])[0, 0].item()
    red, ball = idf(1), idf(3)
    expected = (2 * red**2 + ball**2) / (math.hypot(red, ball) * math.hypot(2 * red, ball))
    assert score == pytest.approx(expected)


@pytest.mark.parametrize("method", ["cosine", "bm25"])
def test_order_does_not_count(method):
    bag = BagOfWords(DOCUMENTS)
    one, other = getattr(bag, method)([["blue", "ball", "kite"], ["kite", "blue", "ball"]])
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize("method", ["cosine", "bm25"])
def test_the_rare_word_finds_its_document(method):
    assert getattr(BagOfWords(DOCUMENTS), method)([["kite", "ball"]])[0].argmax() == 2


def test_repeating_a_word_in_a_document_counts_less_each_time():
    bag = BagOfWords([["a", "x", "x", "x"], ["a", "a", "x", "x"], ["a", "a", "a", "x"]])
    one, two, three = bag.bm25([["a"]])[0].tolist()
    assert one < two < three
    assert three - two < two - one


def test_the_longer_document_scores_less_for_the_same_word():
    bag = BagOfWords([["a", "x"], ["a", *"bcdefg"]])
    short, long = bag.bm25([["a"]])[0].tolist()
    assert short > long
    short, long = bag.bm25([["a"]], b=0)[0].tolist()
    assert short == pytest.approx(long)


@pytest.mark.parametrize("method", ["cosine", "bm25"])
def test_unknown_words_say_nothing(method):
    assert getattr(BagOfWords(DOCUMENTS), method)([["yellow"]]).tolist() == [[0, 0, 0]]


@pytest.mark.parametrize("documents", [[], [["a"], []]])
def test_nothing_to_search_is_refused(documents):
    with pytest.raises(ValueError, match="at least one document, and none of them empty"):
        BagOfWords(documents)


# A dictionary of parallel texts

PARALLEL = [
    (["the", "red", "ball"], ["le", "ballon", "rouge"]),
    (["the", "red", "kite"], ["le", "cerf-volant", "rouge"]),
    (["the", "green", "ball"], ["le", "ballon", "vert"]),
]


def test_the_dictionary_pairs_the_words_that_occur_together():
    assert dice_dictionary(PARALLEL) == {
        "the": "le",
        "red": "rouge",
        "ball": "ballon",
        "kite": "cerf-volant",
        "green": "vert",
    }


def test_a_word_twice_in_a_text_counts_once_for_the_dictionary():
    repeated = [(source * 2, target) for source, target in PARALLEL]
    assert dice_dictionary(repeated) == dice_dictionary(PARALLEL)


def test_a_dictionary_of_no_texts_is_refused():
    with pytest.raises(ValueError, match="at least one pair of texts is needed"):
        dice_dictionary([])
