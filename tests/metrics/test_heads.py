"""Scores of heads, by hand, on heads that are drawn."""

import pytest
import torch

from companion.metrics.heads import induction_score, offset_score, repeated_tokens, sink_score
from companion.nn.masks import causal_mask


def head(*rows: list[float]) -> torch.Tensor:
    """One head of one text: (1, 1, query, key)."""
    return torch.tensor(rows)[None, None]


def even(n: int) -> torch.Tensor:
    mask = causal_mask(n).float()
    return (mask / mask.sum(-1, keepdim=True))[None, None]


def test_the_first_query_says_nothing_about_a_sink():
    assert sink_score([head([1.0, 0.0], [0.25, 0.75])]).item() == 0.25


def test_an_even_reader_has_the_sink_score_of_its_rows():
    assert sink_score([even(4)]).item() == pytest.approx((1 / 2 + 1 / 3 + 1 / 4) / 3)


def test_a_head_that_reads_the_token_before_has_that_score_and_no_other():
    before = torch.eye(5).roll(-1, dims=1)[None, None]  # row i reads i - 1, the first row the last token
    assert offset_score([before], -1).item() == 1
    assert offset_score([before.mT], 1).item() == 1
    assert offset_score([before], 1).item() == 0


def test_induction_is_the_token_after_the_earlier_occurrence():
    n = 3
    weights = torch.zeros(1, 1, 2 * n, 2 * n)
    for query in range(n, 2 * n):
        weights[0, 0, query, query - n + 1] = 1
    assert induction_score([weights]).item() == 1
    assert induction_score([weights.roll(-1, dims=-1)]).item() == 0  # the occurrence itself: no induction


def test_the_first_copy_does_not_count_for_induction():
    weights = torch.zeros(1, 1, 6, 6)
    weights[0, 0, 2, 0] = 1  # on the diagonal, but of the first copy's last token
    assert induction_score([weights]).item() == 0


def test_scores_come_by_layer_and_head_and_are_means_over_texts():
    one, other = head([1.0, 0.0], [0.5, 0.5]), head([1.0, 0.0], [1.0, 0.0])
    texts = torch.cat([one, other])  # (2, 1, 2, 2)
    layers = [torch.cat([texts, torch.cat([other, other])], dim=1)] * 3
    assert sink_score(layers).tolist() == [[0.75, 1.0]] * 3


def test_a_passage_comes_twice_and_is_drawn_from_the_choices():
    choices = torch.tensor([7, 9, 11])
    ids = repeated_tokens(choices, texts=4, length=20, seed=1)
    assert ids.shape == (4, 40)
    assert torch.equal(ids[:, :20], ids[:, 20:])
    assert set(ids.flatten().tolist()) == set(choices.tolist())
    assert not torch.equal(ids, repeated_tokens(choices, texts=4, length=20, seed=2))


def test_what_cannot_be_scored_is_refused_by_name():
    with pytest.raises(ValueError, match="at least one layer; got none"):
        sink_score([])
    with pytest.raises(ValueError, match="at least 2 tokens; got 1"):
        sink_score([torch.ones(1, 1, 1, 1)])
    with pytest.raises(ValueError, match="less than the 4 tokens of a text; got -4"):
        offset_score([even(4)], -4)
    with pytest.raises(ValueError, match="even number of tokens; got 5"):
        induction_score([even(5)])
    with pytest.raises(ValueError, match="at least one token id; got none"):
        repeated_tokens(torch.tensor([], dtype=torch.long), texts=1, length=2, seed=0)
