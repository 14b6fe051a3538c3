"""Weights on a grid: the nearest number, nothing lost on the same grid, and a model that gets its weights back."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import PATIENT, random_ids, tiny_gpt
from torch import nn

from companion.nn.quantization import Grid, quantize, rounded_weights


def weights(rows: int = 6, columns: int = 64, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


GRIDS = st.builds(Grid, bits=st.integers(2, 8), block_size=st.sampled_from([8, 16, 32]), offset=st.booleans())


@settings(PATIENT, max_examples=40)
@given(grid=GRIDS, seed=st.integers(0, 50))
def test_no_weight_moves_by_more_than_half_a_step(grid, seed):
    weight = weights(seed=seed)
    codes = quantize(weight, grid)
    moved = (codes.widened() - weight).abs().unflatten(1, (-1, grid.block_size))
    step = codes.scales.float()[..., None]
    assert (moved <= 0.5 * step + 2e-3 * weight.abs().max()).all()  # the scale itself is rounded to 16 bits


@settings(PATIENT, max_examples=40)
@given(grid=GRIDS, seed=st.integers(0, 50))
def test_a_second_rounding_on_the_same_grid_changes_no_code(grid, seed):
    once = quantize(weights(seed=seed), grid)
    again = quantize(once.widened(), grid)
    assert torch.equal(again.codes, once.codes)
    torch.testing.assert_close(again.widened(), once.widened())


def test_more_bits_are_nearer():
    weight = weights()
    errors = [(quantize(weight, Grid(bits)).widened() - weight).square().mean().item() for bits in range(2, 9)]
    assert errors == sorted(errors, reverse=True)


def test_an_offset_is_nearer_where_all_weights_have_one_sign():
    weight = weights().abs() + 1
    symmetric, offset = (
        (quantize(weight, Grid(4, offset=offset)).widened() - weight).abs().mean() for offset in (False, True)
    )
    assert offset < symmetric / 2


def test_a_block_of_equal_weights_is_kept():
    for value in (0.0, 0.5):
        weight = torch.full((1, 8), value)
        assert torch.equal(quantize(weight, Grid(4, 8, offset=True)).widened(), weight)
    assert torch.equal(quantize(torch.zeros(1, 8), Grid(4, 8)).widened(), torch.zeros(1, 8))


def test_bytes_count_codes_scales_and_offsets():
    codes = quantize(weights(2, 64), Grid(4, 32, offset=True))
    assert codes.n_bytes == 2 * 64 // 2 + 2 * 2 * (2 + 2)


def test_a_model_computes_with_rounded_weights_and_gets_its_own_back():
    model = tiny_gpt(d_model=16)
    ids = random_ids(model, 2, 5)
    before = model(ids)
    with rounded_weights(model, lambda name: Grid(3, 8)):
        inside = model(ids)
    assert not torch.allclose(inside, before)
    assert torch.equal(model(ids), before)


def test_the_weights_come_back_after_an_error_too():
    layer = nn.Linear(8, 8)
    before = layer.weight.clone()
    with pytest.raises(KeyError), rounded_weights(layer, lambda name: Grid(2, 8)):
        raise KeyError
    assert torch.equal(layer.weight, before)


def test_what_gets_no_grid_stays_and_counts_two_bytes_per_number():
    layer = nn.Linear(8, 4)
    with rounded_weights(layer, lambda name: None) as n_bytes:
        assert n_bytes == 2 * (8 * 4 + 4)


@pytest.mark.parametrize("shape", [(8,), (2, 12)])
def test_blocks_that_do_not_fit_are_refused(shape):
    with pytest.raises(ValueError, match="a multiple of 8"):
        quantize(torch.zeros(shape), Grid(4, 8))


def test_bits_outside_the_range_are_refused():
    with pytest.raises(ValueError, match="bits must be at most 8; got 9"):
        Grid(9)
