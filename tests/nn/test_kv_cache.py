"""Caches of keys and values: filled, reordered, refused. Their use by attention is tested in test_attention.py."""

import pytest
import torch

from companion.nn.attention import MultiHeadAttention
from companion.nn.kv_cache import DecoderCache, KVCache


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def filled(rows=3, length=4):
    torch.manual_seed(0)
    cache = KVCache(9)
    cache.append(torch.randn(rows, 2, length, 5), torch.randn(rows, 2, length, 6))
    return cache


def test_rows_go_on_from_other_rows():
    cache = filled()
    key, value = (tensor.clone() for tensor in cache.filled())
    cache.reorder(torch.tensor([2, 2, 0]))
    again = cache.filled()
    assert torch.equal(again[0], key[[2, 2, 0]])
    assert torch.equal(again[1], value[[2, 2, 0]])


def test_reordering_may_change_the_number_of_rows():
    cache = filled()
    cache.reorder(torch.tensor([1]))
    key, _ = cache.append(torch.zeros(1, 2, 1, 5), torch.zeros(1, 2, 1, 6))
    assert key.shape == (1, 2, 5, 5)


def test_an_empty_cache_is_reordered_to_itself_and_read_by_nobody():
    cache = KVCache(4)
    cache.reorder(torch.tensor([0, 0]))
    with pytest.raises(ValueError, match="the cache is empty"):
        cache.filled()


def test_a_memory_is_read_once():
    torch.manual_seed(0)
    layer, cache = MultiHeadAttention(12, 3).eval(), DecoderCache(4, 5)
    query, memory = torch.randn(2, 1, 12), torch.randn(2, 5, 12)
    first = layer(query, memory, cache=cache.memory)
    again = layer(query, torch.full_like(memory, torch.nan), cache=cache.memory)  # not looked at any more
    assert torch.equal(first, again)
    torch.testing.assert_close(first, layer(query, memory))


def test_the_length_of_a_decoders_cache_is_its_own():
    cache = DecoderCache(4, 5)
    cache.memory.append(torch.zeros(1, 2, 5, 3), torch.zeros(1, 2, 5, 3))
    assert cache.length == 0
    cache.own.append(torch.zeros(1, 2, 2, 3), torch.zeros(1, 2, 2, 3))
    assert cache.length == 2
    cache.reorder(torch.tensor([0, 0]))
    assert cache.memory.filled()[0].size(0) == cache.own.filled()[0].size(0) == 2


def test_a_cache_of_a_long_context_takes_little_space_for_a_short_text():
    cache = KVCache(10**12)
    key, _ = cache.append(torch.zeros(1, 1, 3, 4), torch.zeros(1, 1, 3, 4))
    assert key.untyped_storage().nbytes() < 10_000


def test_a_cache_that_grows_keeps_what_it_holds():
    torch.manual_seed(0)
    key, value = torch.randn(2, 3, 300, 4), torch.randn(2, 3, 300, 5)
    cache, done = KVCache(300), 0
    for new in (1, 63, 1, 70, 100, 65):
        part = slice(done, done + new)
        cache.append(key[:, :, part], value[:, :, part])
        done += new
    assert torch.equal(cache.filled()[0], key)
    assert torch.equal(cache.filled()[1], value)
    with pytest.raises(ValueError, match="the cache holds 300 positions; 301 were asked for"):
        cache.append(key[:, :, :1], value[:, :, :1])


def test_the_cache_returns_all_positions_so_far():
    key, value = normal(2, 3, 5, 4), normal(2, 3, 5, 4, seed=1)
    cache = KVCache(5)
    cache.append(key[:, :, :2], value[:, :, :2])
    all_keys, all_values = cache.append(key[:, :, 2:], value[:, :, 2:])
    assert cache.length == 5
    assert torch.equal(all_keys, key)
    assert torch.equal(all_values, value)


def test_a_full_cache_refuses_more():
    cache = KVCache(4)
    cache.append(normal(1, 1, 3, 2), normal(1, 1, 3, 2))
    with pytest.raises(ValueError, match="the cache holds 4 positions; 5 were asked for"):
        cache.append(normal(1, 1, 2, 2), normal(1, 1, 2, 2))
    assert cache.length == 3


def test_the_cache_refuses_another_batch():
    cache = KVCache(4)
    cache.append(normal(2, 3, 1, 2), normal(2, 3, 1, 2))
    with pytest.raises(ValueError, match=r"\(batch, heads\) = \(2, 3\); got \(1, 3\)"):
        cache.append(normal(1, 3, 1, 2), normal(1, 3, 1, 2))


def test_a_truncated_cache_goes_on_as_if_the_rest_had_never_been():
    cache, other = filled(length=4), filled(length=4)
    cache.append(torch.ones(3, 2, 2, 5), torch.ones(3, 2, 2, 6))
    cache.truncate(4)
    for one in (cache, other):
        one.append(torch.zeros(3, 2, 1, 5), torch.zeros(3, 2, 1, 6))
    assert all(torch.equal(a, b) for a, b in zip(cache.filled(), other.filled(), strict=True))


def test_a_cache_is_not_truncated_to_more_than_it_holds():
    with pytest.raises(ValueError, match="length must be at most 4; got 5"):
        filled(length=4).truncate(5)
