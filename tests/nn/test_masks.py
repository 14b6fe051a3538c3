"""Masks allow exactly the earlier, the lower of rank and the near positions."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_models import PATIENT

from companion.nn.masks import causal_mask, order_mask, window_mask


def test_causal_mask_is_the_lower_triangle():
    assert causal_mask(3).tolist() == [[True, False, False], [True, True, False], [True, True, True]]


def test_causal_mask_puts_the_queries_at_the_end_of_the_keys():
    assert causal_mask(2, 4).tolist() == [[True, True, True, False], [True, True, True, True]]


@pytest.mark.parametrize("lengths", [(0, None), (3, 2), (-1, 4)])
def test_causal_mask_refuses_impossible_lengths(lengths):
    with pytest.raises(ValueError, match=f"1 <= query_length <= key_length; got {lengths[0]} and"):
        causal_mask(*lengths)


def test_a_position_may_see_those_of_lower_rank():
    mask = order_mask(torch.tensor([2, 0, 1]))
    assert mask.tolist() == [[False, True, True], [False, False, False], [False, True, False]]


def test_its_own_content_is_seen_only_when_that_is_said():
    order = torch.tensor([[3, 1, 0, 2]])
    assert not order_mask(order).diagonal(dim1=1, dim2=2).any()
    assert torch.equal(order_mask(order, own=True), order_mask(order) | torch.eye(4, dtype=torch.bool))


def test_from_left_to_right_it_is_the_causal_mask():
    assert torch.equal(order_mask(torch.arange(6), own=True), causal_mask(6))


def test_those_of_one_rank_are_told_together():
    order = torch.tensor([0, 1, 1])
    assert order_mask(order).tolist() == [[False, False, False], [True, False, False], [True, False, False]]
    assert order_mask(order, own=True)[1:].all()


def test_ranks_that_are_no_integers_are_refused():
    with pytest.raises(TypeError, match="order must be integers, the rank of each position; got torch.float32"):
        order_mask(torch.rand(3))


def test_an_order_of_nothing_is_refused():
    with pytest.raises(ValueError, match=r"its length not 0; got shape \(2, 0\)"):
        order_mask(torch.zeros(2, 0, dtype=torch.long))


@PATIENT
@given(st.integers(1, 9), st.integers(0, 9), st.integers(1, 12))
def test_a_window_mask_allows_exactly_the_near_ones(query_length, past, window):
    mask = window_mask(query_length, past + query_length, window)
    far = torch.arange(past, past + query_length)[:, None] - torch.arange(past + query_length)
    expected = far < window
    assert expected.all() if mask is None else torch.equal(mask, expected)
