"""What the table of open decoders keeps of a text, by their configurations."""

import pytest

from companion.lessons.decoders_2026.experiments import DECODERS, OpenDecoder

PLAIN = OpenDecoder(2024, n_layers=4, d_model=64, n_heads=8, n_kv_heads=2, d_head=8)


@pytest.mark.parametrize("name", DECODERS)
def test_each_line_says_where_it_was_read_and_has_sizes_that_fit(name: str):
    model = DECODERS[name]
    assert model.source
    assert model.n_heads % model.n_kv_heads == 0
    assert model.n_layers >= model.n_full >= 1
    assert model.experts is None or model.experts[1] < model.experts[0]


def test_without_windows_the_cache_grows_with_the_text():
    assert PLAIN.cache_bytes(30) == 3 * PLAIN.cache_bytes(10) == 30 * 2 * 4 * 2 * 8 * 2


def test_a_window_is_kept_whole_until_it_is_full_and_no_further():
    local = OpenDecoder(2024, n_layers=4, d_model=64, n_heads=8, n_kv_heads=2, d_head=8, window=16, full_every=4)
    assert local.cache_bytes(16) == PLAIN.cache_bytes(16)
    assert local.cache_bytes(32) - local.cache_bytes(16) == (PLAIN.cache_bytes(32) - PLAIN.cache_bytes(16)) / 4


def test_a_linear_layer_keeps_nothing_that_grows():
    hybrid = OpenDecoder(2025, n_layers=4, d_model=64, n_heads=8, n_kv_heads=2, d_head=8, full_every=4)
    assert hybrid.cache_bytes(40) == PLAIN.cache_bytes(10)


def test_a_latent_does_not_depend_on_the_number_of_heads():
    sizes = {"n_layers": 4, "d_model": 64, "n_kv_heads": 2, "d_head": 8, "d_latent": (16, 4)}
    few, many = (OpenDecoder(2025, n_heads=heads, **sizes) for heads in (8, 64))
    assert few.cache_bytes(10) == many.cache_bytes(10)
