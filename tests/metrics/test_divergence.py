"""The Jensen–Shannon divergence, against the divergences of torch and by hand, and of heads against a loop."""

import math

import pytest
import torch
from torch.distributions import Categorical, kl_divergence

from companion.metrics.divergence import head_divergence, jensen_shannon
from companion.nn.masks import causal_mask


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return (3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))).softmax(-1)


def by_torch(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """Half of the two Kullback–Leibler divergences from the middle, in bits."""
    middle = Categorical((p + q) / 2)
    return sum(kl_divergence(Categorical(one), middle) for one in (p, q)) / (2 * math.log(2))


def test_it_is_half_of_the_divergences_of_both_from_their_middle():
    p, q = drawn(50, 7, seed=1).double(), drawn(50, 7, seed=2).double()
    torch.testing.assert_close(jensen_shannon(p, q), by_torch(p, q))


def test_by_hand_it_is_the_same():
    p, q = (0.5, 0.25, 0.25), (0.25, 0.25, 0.5)
    middle = [(a + b) / 2 for a, b in zip(p, q, strict=True)]
    by_hand = sum(sum(x * math.log2(x / m) for x, m in zip(one, middle, strict=True)) / 2 for one in (p, q))
    assert jensen_shannon(torch.tensor(p), torch.tensor(q)).item() == pytest.approx(by_hand, abs=1e-6)


def test_it_is_symmetric_0_for_equal_ones_and_1_where_nothing_is_shared():
    p, q = drawn(20, 5, seed=3), drawn(20, 5, seed=4)
    assert torch.equal(jensen_shannon(p, q), jensen_shannon(q, p))
    assert jensen_shannon(p, p).abs().max() < 1e-6
    halves = torch.tensor([0.5, 0.5, 0, 0]), torch.tensor([0, 0, 0.5, 0.5])
    assert jensen_shannon(*halves).item() == 1


def test_a_probability_of_0_in_one_alone_gives_a_number():
    found = jensen_shannon(torch.tensor([1.0, 0.0]), torch.tensor([0.5, 0.5]))
    assert found.item() == pytest.approx(1.5 - 0.75 * math.log2(3), abs=1e-6)


def test_half_precision_is_computed_in_single():
    p, q = drawn(9, 6, seed=5), drawn(9, 6, seed=6)
    torch.testing.assert_close(jensen_shannon(p.bfloat16(), q.bfloat16()), jensen_shannon(p, q), atol=0.01, rtol=0)


def test_one_head_is_compared_with_all_by_broadcasting():
    one, all_heads = drawn(4, 4), drawn(3, 2, 4, 4, seed=7)
    found = jensen_shannon(one, all_heads).mean(-1)
    assert found.shape == (3, 2)
    assert found[2, 1] == jensen_shannon(one, all_heads[2, 1]).mean()


def test_a_head_has_the_mean_over_its_queries_in_all_texts():
    mask = causal_mask(5).float()
    first, second = ([drawn(2, 3, 5, 5, seed=seed + k) * mask for k in (0, 1)] for seed in (10, 20))
    first, second = ([layer / layer.sum(-1, keepdim=True) for layer in one] for one in (first, second))
    found = head_divergence(first, second)
    assert found.shape == (2, 3)
    queries = [by_torch(first[1][t, 2, i], second[1][t, 2, i]).item() for t in (0, 1) for i in range(5)]
    assert found[1, 2].item() == pytest.approx(sum(queries) / 10, abs=1e-5)


def test_what_cannot_be_compared_is_refused_by_its_shape():
    layer = drawn(1, 2, 3, 3)
    with pytest.raises(ValueError, match="as many layers, at least 1; got 0 and 0"):
        head_divergence([], [])
    with pytest.raises(ValueError, match="as many layers, at least 1; got 2 and 1"):
        head_divergence([layer, layer], [layer])
    with pytest.raises(ValueError, match=r"layer 1 must have one shape in both; got \(1, 2, 3, 3\) and \(1, 1, 3, 3\)"):
        head_divergence([layer, layer], [layer, layer[:, :1]])
    with pytest.raises(ValueError, match="as many outcomes; got 3 and 2"):
        jensen_shannon(torch.ones(3), torch.ones(2))
