"""How well a search ranks: recall, reciprocal ranks and nDCG, ties among them."""

import math
from itertools import permutations

import pytest
import torch

from companion.metrics.retrieval import ndcg_at, recall_at, reciprocal_ranks


def test_recall_counts_the_queries_whose_document_is_among_the_best():
    scores = torch.tensor([[9.0, 5, 1], [9, 5, 1], [9, 5, 1]])
    wanted = torch.tensor([0, 1, 2])
    assert [recall_at(k, scores, wanted) for k in (1, 2, 3)] == pytest.approx([1 / 3, 2 / 3, 1])


def test_a_tie_is_neither_won_nor_lost():
    assert recall_at(1, torch.zeros(5, 4), torch.zeros(5).long()) == pytest.approx(1 / 4)
    assert recall_at(2, torch.tensor([[3.0, 1, 1, 1]]), torch.tensor([2])) == pytest.approx(1 / 3)


@pytest.mark.parametrize("k", [0, 4])
def test_k_outside_the_documents_is_refused(k):
    with pytest.raises(ValueError, match=f"k must be 1 to 3, the number of documents; got {k}"):
        recall_at(k, torch.ones(1, 3), torch.zeros(1).long())
    with pytest.raises(ValueError, match=f"k must be 1 to 3, the number of documents; got {k}"):
        ndcg_at(k, torch.ones(1, 3), torch.ones(1, 3))


def test_a_query_without_its_document_is_refused():
    with pytest.raises(ValueError, match=r"got \(2, 3\) and \(1,\)"):
        recall_at(1, torch.ones(2, 3), torch.zeros(1).long())


def test_the_reciprocal_rank_is_one_over_the_place_of_the_relevant_document():
    scores = torch.tensor([[0.9, 0.5, 0.1]]).expand(3, -1)
    assert reciprocal_ranks(scores, torch.arange(3)).tolist() == pytest.approx([1, 1 / 2, 1 / 3])


def test_documents_of_equal_score_share_the_mean_of_their_reciprocal_ranks():
    scores = torch.tensor([[0.9, 0.5, 0.5, 0.1]])
    assert reciprocal_ranks(scores, torch.tensor([2])).item() == pytest.approx((1 / 2 + 1 / 3) / 2)


def test_reciprocal_ranks_of_one_document_too_few_are_refused():
    with pytest.raises(ValueError, match=r"got \(2, 3\) and \(1,\)"):
        reciprocal_ranks(torch.ones(2, 3), torch.zeros(1).long())


def test_the_best_order_has_an_ndcg_of_1_and_every_other_less():
    gains = torch.tensor([[3.0, 2.0, 0.0, 1.0]])
    found = {order: ndcg_at(4, torch.tensor([order]), gains).item() for order in permutations((4.0, 3.0, 2.0, 1.0))}
    best = (4.0, 3.0, 1.0, 2.0)
    assert found.pop(best) == pytest.approx(1)
    assert max(found.values()) < 1


def test_ndcg_of_one_relevant_document_is_the_discount_of_its_rank():
    scores = torch.tensor([[0.9, 0.5, 0.1]]).expand(3, -1)
    found = ndcg_at(2, scores, torch.eye(3))
    assert found.tolist() == pytest.approx([1, 1 / math.log2(3), 0])


def test_ndcg_of_documents_of_equal_score_is_that_of_a_random_order():
    gains = torch.tensor([[1.0, 0.0, 2.0]])
    orders = [ndcg_at(2, torch.tensor([order]), gains).item() for order in permutations((3.0, 2.0, 1.0))]
    assert ndcg_at(2, torch.zeros(1, 3), gains).item() == pytest.approx(sum(orders) / len(orders))


def test_a_query_for_which_no_document_is_worth_anything_has_an_ndcg_of_0():
    assert ndcg_at(1, torch.ones(1, 2), torch.zeros(1, 2)).tolist() == [0]


def test_gains_of_another_shape_than_the_scores_are_refused():
    with pytest.raises(ValueError, match=r"got \(1, 3\) and \(1, 2\)"):
        ndcg_at(1, torch.ones(1, 3), torch.ones(1, 2))


@pytest.mark.parametrize("score", [lambda *of: recall_at(1, *of), reciprocal_ranks], ids=["recall", "ranks"])
def test_scores_that_are_no_numbers_order_nothing(score):
    scores, wanted = torch.tensor([[1.0, 2.0], [3.0, math.nan]]), torch.tensor([0, 1])
    with pytest.raises(FloatingPointError, match="scores must be numbers; row 1 holds nan"):
        score(scores, wanted)
    assert score(torch.tensor([[1.0, -math.inf], [3.0, math.inf]]), wanted) is not None
