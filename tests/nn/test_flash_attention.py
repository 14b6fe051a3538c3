"""Attention tile by tile is attention: any tiles, masks, rows without a key, and large scores."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import PATIENT

from companion.nn.attention import scaled_dot_product_attention
from companion.nn.flash_attention import plain_moved, tiled_attention, tiled_moved


def drawn(*shape: int, seed: int = 0, size: float = 1.0) -> torch.Tensor:
    return size * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


SIZES = st.integers(1, 9)


@settings(PATIENT, max_examples=60)
@given(n=SIZES, m=SIZES, query_tile=SIZES, key_tile=SIZES, seed=st.integers(0, 99), allowed=st.floats(0, 1))
def test_any_tiles_and_any_mask_give_plain_attention(n, m, query_tile, key_tile, seed, allowed):
    query, key, value = drawn(2, n, 4, seed=seed, size=4), drawn(2, m, 4, seed=seed + 1), drawn(2, m, 3, seed=seed + 2)
    mask = torch.rand(2, n, m, generator=torch.Generator().manual_seed(seed)) < allowed
    tiled = tiled_attention(query, key, value, mask, query_tile=query_tile, key_tile=key_tile)
    plain, _ = scaled_dot_product_attention(query, key, value, mask)
    torch.testing.assert_close(tiled.output, plain, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_query_that_may_attend_to_nothing_gets_zeros(dtype):
    mask = torch.tensor([[True, True, True], [False, False, False]])
    query, key, value = (tensor.to(dtype) for tensor in (drawn(2, 4), drawn(3, 4), drawn(3, 2)))
    tiled = tiled_attention(query, key, value, mask, key_tile=2)
    assert tiled.output[1].tolist() == [0, 0]
    assert tiled.log_sum[1] == -math.inf


def test_a_first_tile_without_a_key_leaves_no_trace():
    mask = torch.tensor([[False, False, True]])
    value = drawn(3, 2)
    tiled = tiled_attention(drawn(1, 4), drawn(3, 4), value, mask, key_tile=1)
    torch.testing.assert_close(tiled.output, value[2:])


def test_scores_whose_exponentials_overflow_are_no_trouble():
    key = torch.tensor([[1e4], [2e4], [2e4]], dtype=torch.float64)
    value = torch.tensor([[1.0], [2.0], [4.0]], dtype=torch.float64)
    assert tiled_attention(torch.ones(1, 1, dtype=torch.float64), key, value, key_tile=1).output.item() == 3.0


def test_two_results_over_different_keys_are_merged_by_their_log_sums():
    query, key, value = drawn(5, 4), drawn(7, 4, seed=1), drawn(7, 2, seed=2)
    parts = [tiled_attention(query, key[span], value[span]) for span in (slice(0, 3), slice(3, 7))]
    weights = torch.stack([part.log_sum for part in parts]).softmax(0)
    merged = sum(weight[:, None] * part.output for weight, part in zip(weights, parts, strict=True))
    torch.testing.assert_close(merged, tiled_attention(query, key, value).output)


def test_the_log_sum_is_that_of_the_scores():
    query, key = drawn(5, 4), drawn(7, 4, seed=1)
    found = tiled_attention(query, key, drawn(7, 2), key_tile=3).log_sum
    torch.testing.assert_close(found, (query @ key.T / 2).logsumexp(-1))


def test_single_precision_stays_single():
    assert tiled_attention(*(drawn(3, 4).float() for _ in range(3))).output.dtype == torch.float32


@pytest.mark.parametrize("tile", [1, 3, 8])
def test_what_is_moved_is_what_the_formula_says(tile):
    tiled = tiled_attention(drawn(8, 4), drawn(6, 4), drawn(6, 4), query_tile=tile, key_tile=2)
    assert tiled.moved == tiled_moved(8, 6, 4, 4, query_tile=tile)
    assert tiled.largest == tile * 2


def test_one_tile_of_all_queries_moves_less_than_the_table():
    assert tiled_moved(64, 64, 8, 8, query_tile=64) < plain_moved(64, 64, 8, 8)


def test_a_tile_of_nothing_is_refused():
    with pytest.raises(ValueError, match="key_tile must be at least 1; got 0"):
        tiled_attention(drawn(2, 4), drawn(2, 4), drawn(2, 4), key_tile=0)
