"""Rated pairs of words are read whole; spelling does not tell what people say of them, and MiniLM tells some of it."""

import numpy as np
import pytest
import torch

from companion import zoo
from companion.data.batch import padded
from companion.data.fetched import NotFetchedError
from companion.data.word_similarity import SETS, Rated, word_similarity
from companion.models.sentence_encoder import SentenceEncoder


def had(get, *names):
    try:
        return get(*names)
    except NotFetchedError as error:
        return pytest.skip(f"left out, because it cannot be had: {error}")


def ranks(values):
    """The rank of each value; equal values have the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


def spearman(ours, theirs):
    return float(np.corrcoef(ranks(ours), ranks(theirs))[0, 1])


def letters(pair):
    """The fraction of the two words' pairs of letters that both have."""
    first, second = ({word[i : i + 2] for i in range(len(word) - 1)} for word in (pair.first, pair.second))
    return len(first & second) / len(first | second)


def test_a_line_is_two_words_and_their_score(tmp_path):
    (tmp_path / "simlex-999.txt").write_text("wife husband 2.3\nbook text 6.35\n")
    assert word_similarity("simlex-999", tmp_path) == [Rated("wife", "husband", 2.3), Rated("book", "text", 6.35)]


def test_another_set_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match="called 'men'; there is wordsim-353, simlex-999, rg-65"):
        word_similarity("men")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "count", "most"), [(SETS[0], 348, 10), (SETS[1], 666, 10), (SETS[2], 65, 4)])
def test_the_sets_are_whole_and_their_scores_within_the_scale(name, count, most):
    pairs = had(word_similarity, name)
    assert len(pairs) == count
    assert all(0 <= pair.score <= most for pair in pairs)


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize(("name", "least"), [("wordsim-353", 0.6), ("simlex-999", 0.35), ("rg-65", 0.6)])
def test_spelling_says_little_of_what_people_say_and_minilm_more(name, least):
    pairs, (body, tokenizer) = had(word_similarity, name), had(zoo.load, "minilm-l6")
    encoder = SentenceEncoder(body)
    words = sorted({word for pair in pairs for word in (pair.first, pair.second)})
    ids, real = padded([tokenizer.encode(word).ids for word in words])
    vectors = dict(zip(words, encoder(ids, real), strict=True))
    scores = [pair.score for pair in pairs]
    by_meaning = spearman([float(vectors[pair.first] @ vectors[pair.second]) for pair in pairs], scores)
    by_spelling = spearman([letters(pair) for pair in pairs], scores)
    assert by_meaning > least
    assert by_spelling < by_meaning - 0.2
