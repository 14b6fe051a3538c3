"""Late interaction, fusion of rankings, and an inverted file."""

import pytest
import torch
import torch.nn.functional as F

from companion.losses.contrastive import similarity
from companion.models.ranking import InvertedFile, max_sim, reciprocal_rank_fusion


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_each_token_of_the_query_counts_its_best_match_in_the_document():
    queries, documents = [drawn(2, 4), drawn(3, 4, seed=1)], [drawn(5, 4, seed=2), drawn(1, 4, seed=3)]
    for row, query in zip(max_sim(queries, documents), queries, strict=True):
        for score, document in zip(row, documents, strict=True):
            expected = F.cosine_similarity(query[:, None], document, dim=-1).amax(1).sum()
            torch.testing.assert_close(score, expected)


def test_a_document_of_opposite_tokens_scores_below_0():
    assert max_sim([torch.ones(2, 3)], [-torch.ones(4, 3)]).item() == pytest.approx(-2)


def test_a_text_without_a_token_is_refused():
    with pytest.raises(ValueError, match="none of them without a token"):
        max_sim([torch.ones(1, 2)], [torch.ones(0, 2)])


def test_fusion_adds_one_over_k_and_the_rank():
    rankings = [torch.tensor([[3.0, 2.0, 1.0]]), torch.tensor([[1.0, 3.0, 2.0]])]
    fused = reciprocal_rank_fusion(rankings, k=60)
    assert fused[0].tolist() == pytest.approx([1 / 61 + 1 / 63, 1 / 62 + 1 / 61, 1 / 63 + 1 / 62])


def test_fusion_looks_at_ranks_alone():
    scores = drawn(4, 7)
    assert torch.equal(reciprocal_rank_fusion([scores]), reciprocal_rank_fusion([100 * scores.exp()]))


def test_a_document_that_a_ranking_does_not_return_gets_nothing_from_it():
    rankings = [torch.tensor([[1.0, 2.0]]), torch.full((1, 2), -torch.inf)]
    assert torch.equal(reciprocal_rank_fusion(rankings), reciprocal_rank_fusion(rankings[:1]))


@pytest.mark.parametrize("rankings", [[], [torch.ones(1, 2), torch.ones(1, 3)]])
def test_rankings_of_no_common_shape_are_refused(rankings: list[torch.Tensor]):
    with pytest.raises(ValueError, match="rankings must be one or more tensors"):
        reciprocal_rank_fusion(rankings)


def test_an_inverted_file_with_all_cells_open_finds_the_nearest():
    vectors, queries = drawn(60, 5), drawn(10, 5, seed=1)
    index = InvertedFile(vectors, cells=6)
    exact = similarity(queries, vectors).argmax(1).tolist()
    assert [index.nearest(query, probes=6) for query in queries] == [(number, 60) for number in exact]


def test_the_fewer_cells_are_open_the_fewer_vectors_are_compared():
    index = InvertedFile(drawn(60, 5), cells=6)
    compared = [index.nearest(drawn(5, seed=2), probes)[1] for probes in range(1, 7)]
    assert compared == sorted(set(compared))


def test_a_vector_of_the_collection_finds_itself_with_one_cell_open():
    vectors = drawn(60, 5)
    index = InvertedFile(vectors, cells=6)
    assert [index.nearest(vector, probes=1)[0] for vector in vectors] == list(range(60))


@pytest.mark.parametrize(("cells", "probes", "name"), [(0, 1, "cells"), (4, 1, "cells"), (2, 3, "probes")])
def test_more_cells_than_there_are_and_none_are_refused(cells: int, probes: int, name: str):
    with pytest.raises(ValueError, match=f"{name} must be at"):
        InvertedFile(drawn(3, 2), cells).nearest(drawn(2), probes)


def test_rankings_that_are_no_numbers_are_not_fused():
    good, bad = torch.tensor([[3.0, 2.0], [1.0, 2.0]]), torch.tensor([[3.0, 2.0], [torch.nan, 2.0]])
    with pytest.raises(FloatingPointError, match="rankings must be numbers; row 1 holds nan"):
        reciprocal_rank_fusion([good, bad])
