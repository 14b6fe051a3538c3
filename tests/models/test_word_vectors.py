"""Word vectors: which words become pairs, what the loss is, and what counting gives instead."""

import math
from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.models import word_vectors
from companion.models.word_vectors import SkipGram

TEXTS = [torch.tensor([0, 1, 2, 1]), torch.tensor([3, 0])]


def pairs_of(texts: list, window: int, keep: torch.Tensor, seed: int = 0) -> list:
    return word_vectors.word_pairs(texts, window, keep, torch.Generator().manual_seed(seed)).tolist()


def test_neighbours_are_pairs_in_both_directions_and_no_pair_crosses_a_text():
    pairs = pairs_of(TEXTS, 1, torch.ones(4))
    assert Counter(map(tuple, pairs)) == {
        (0, 1): 1,
        (1, 0): 1,
        (1, 2): 2,
        (2, 1): 2,
        (3, 0): 1,
        (0, 3): 1,
    }


def test_a_word_that_is_never_kept_is_in_no_pair_and_its_neighbours_move_together():
    keep = torch.tensor([1.0, 0.0, 1.0, 1.0])  # without word 1, words 0 and 2 stand side by side
    assert sorted(pairs_of(TEXTS, 1, keep)) == [[0, 2], [0, 3], [2, 0], [3, 0]]


def test_far_words_are_pairs_less_often():
    texts = [torch.tensor([0, 1, 2])] * 2_000
    found = Counter(map(tuple, pairs_of(texts, 2, torch.ones(3))))
    assert found[0, 1] == 2_000
    assert found[0, 2] == pytest.approx(1_000, abs=120)


def test_the_mean_of_many_draws_is_the_table_of_counts():
    counts = word_vectors.co_occurrences(TEXTS, window=3, vocab_size=4)
    drawn = torch.zeros(4, 4)
    for seed in range(300):
        for one, other in pairs_of(TEXTS, 3, torch.ones(4), seed):
            drawn[one, other] += 1 / 300
    assert (drawn - counts).abs().max() < 0.15


def test_frequent_words_are_kept_less_often_and_rare_ones_always():
    keep = word_vectors.keep_probabilities(torch.tensor([9_900.0, 99.0, 1.0]))
    assert keep[1:].tolist() == pytest.approx([math.sqrt(1e-3 / 9.9e-3), 1.0])
    assert keep[0] < 0.04


def test_the_loss_with_as_many_noise_words_as_negatives_is_that_of_the_paper():
    model = SkipGram(vocab_size=6, d_model=3, seed=1, negatives=2)
    torch.nn.init.normal_(model.context, generator=torch.Generator().manual_seed(2))
    word, context, noise = torch.tensor([4]), torch.tensor([2]), torch.tensor([0, 5])
    u, v = model.word[4], model.context
    expected = -F.logsigmoid(u @ v[2]) - F.logsigmoid(-u @ v[0]) - F.logsigmoid(-u @ v[5])
    torch.testing.assert_close(model(word, context, noise), expected)


@pytest.mark.parametrize("size", ["vocab_size", "d_model", "negatives"])
def test_a_size_below_one_is_refused(size: str):
    with pytest.raises(ValueError, match=f"{size}=0"):
        SkipGram(**({"vocab_size": 2, "d_model": 2, "seed": 0, "negatives": 1} | {size: 0}))


def test_words_with_the_same_neighbours_get_nearly_the_same_vector():
    texts = [torch.tensor([0, 1, 2]), torch.tensor([0, 3, 2]), torch.tensor([4, 5, 6])] * 30
    model, g = SkipGram(7, 4, seed=0), torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    for _ in range(200):
        word, context = word_vectors.word_pairs(texts, 2, torch.ones(7), g).T
        loss = model(word, context, noise=torch.arange(7))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    alike, unlike = (F.cosine_similarity(model.word[1], model.word[i], dim=0) for i in (3, 5))
    assert alike > 0.9 > 0.5 > unlike


def test_words_that_meet_as_often_as_by_chance_have_no_mutual_information():
    by_chance = torch.outer(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 2.0, 3.0]))
    assert word_vectors.positive_pmi(by_chance).abs().max() < 1e-6


def test_a_word_that_never_meets_another_has_zeros_and_no_nan():
    assert word_vectors.positive_pmi(torch.tensor([[0.0, 0.0], [0.0, 3.0]])).tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_the_singular_vectors_give_a_symmetric_positive_matrix_back():
    root = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    vectors = word_vectors.singular_vectors(root @ root.T, d_model=3)
    torch.testing.assert_close(vectors @ vectors.T, root @ root.T, atol=1e-4, rtol=1e-4)


def test_the_singular_vectors_leave_the_callers_random_numbers_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    word_vectors.singular_vectors(torch.eye(4), d_model=2)
    assert torch.equal(torch.get_rng_state(), before)


@settings(deadline=None)
@given(seed=st.integers(0, 1000))
def test_an_answer_to_an_analogy_is_the_nearest_word_to_the_sum(seed: int):
    g = torch.Generator().manual_seed(seed)
    vectors = torch.randn(9, 4, generator=g)
    pairs = torch.tensor([[0, 1], [2, 3], [4, 5]])
    units = F.normalize(vectors, dim=1)
    for leave_out in (False, True):
        answers = word_vectors.analogies(vectors, pairs, leave_out)
        for i, (a, b) in enumerate(pairs.tolist()):
            for j, c in enumerate(pairs[:, 0].tolist()):
                query = units[b] - units[a] + units[c]
                left_out = {a, b, c} if leave_out else ()
                assert answers[i, j] == word_vectors.nearest(vectors, query, 1, left_out)[0]


def test_a_vector_that_is_no_number_is_near_nothing():
    with pytest.raises(FloatingPointError, match="cosines must be numbers; row 1 holds nan"):
        word_vectors.nearest(torch.tensor([[1.0, 0.0], [torch.nan, 1.0]]), torch.tensor([1.0, 1.0]), k=1)
