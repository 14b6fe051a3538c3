"""Grouped-query attention is multi-head attention whose key/value heads are shared."""

import pytest
import torch

from companion.nn.attention import MultiHeadAttention
from companion.nn.grouped_query_attention import GroupedQueryAttention
from companion.nn.positions import rotary


@pytest.mark.parametrize("n_kv_heads", [1, 2, 3, 6])
def test_grouped_heads_are_many_heads_whose_keys_and_values_are_repeated(n_kv_heads):
    torch.manual_seed(0)
    grouped = GroupedQueryAttention(24, 6, n_kv_heads, 4, bias=True).eval()
    many = MultiHeadAttention(24, 6).eval()
    for ours, theirs in ((grouped.query, many.query), (grouped.key, many.key), (grouped.value, many.value)):
        for name in ("weight", "bias"):
            heads = getattr(ours, name).detach().unflatten(0, (-1, 4))  # (heads, d_head, …)
            repeated = heads.repeat_interleave(6 // heads.size(0), 0).flatten(0, 1)
            setattr(theirs, name, torch.nn.Parameter(repeated))
    many.output.weight, many.output.bias = grouped.output.weight, torch.nn.Parameter(torch.zeros(24))
    x = torch.randn(2, 7, 24)
    still = rotary(torch.arange(7)[None], torch.zeros(2))  # nothing turns
    torch.testing.assert_close(grouped(x, still), many(x, causal=True))
