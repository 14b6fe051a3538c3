"""Attention is what the paper says, to the last gradient, and refuses what does not fit."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import PATIENT
from torch import nn

from companion.nn import attention
from companion.nn.attention import MultiHeadAttention, scaled_dot_product_attention
from companion.nn.kv_cache import KVCache
from companion.nn.masks import causal_mask

KEEP = [lambda weights: weights]  # an observer that changes nothing: the explicit path


def normal(*shape, seed=0, dtype=torch.float64, grad=False):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=dtype).requires_grad_(grad)


def many(batch=(2, 3), n=5, m=7, d_k=4, d_v=6, grad=False):
    return (
        normal(*batch, n, d_k, seed=1, grad=grad),
        normal(*batch, m, d_k, seed=2, grad=grad),
        normal(*batch, m, d_v, seed=3, grad=grad),
    )


def layer(dtype=torch.float64, **options):
    torch.manual_seed(0)
    return MultiHeadAttention(12, 3, **options).to(dtype).eval()


def test_two_words_by_hand():
    query = torch.tensor([[1.0, 0.0]])
    key = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    value = torch.tensor([[10.0], [20.0]])
    output, weights = scaled_dot_product_attention(query, key, value)
    first = math.exp(1 / math.sqrt(2)) / (math.exp(1 / math.sqrt(2)) + math.exp(0))
    assert weights.tolist() == [pytest.approx([first, 1 - first])]
    assert output.item() == pytest.approx(10 * first + 20 * (1 - first))


@settings(PATIENT, max_examples=30)
@given(
    batch=st.sampled_from([(), (2,), (2, 3)]),
    n=st.integers(1, 6),
    m=st.integers(1, 6),
    d_k=st.integers(1, 5),
    d_v=st.integers(1, 5),
    masked=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_output_and_gradients_are_those_of_torch(batch, n, m, d_k, d_v, masked, dtype):
    tensors = [t.detach().to(dtype).requires_grad_() for t in many(batch, n, m, d_k, d_v)]
    mask = None
    if masked:
        mask = normal(n, m, seed=4) > 0
        mask[:, 0] = True  # torch's kernels need something to attend to
    ours, _ = scaled_dot_product_attention(*tensors, mask)
    theirs = F.scaled_dot_product_attention(*tensors, attn_mask=mask)
    torch.testing.assert_close(ours, theirs)
    tangent = torch.ones_like(ours).cumsum(-1)
    for a, b in zip(
        torch.autograd.grad(ours, tensors, tangent), torch.autograd.grad(theirs, tensors, tangent), strict=True
    ):
        torch.testing.assert_close(a, b)


def test_gradients_agree_with_finite_differences():
    mask = causal_mask(3)
    assert torch.autograd.gradcheck(
        lambda q, k, v: scaled_dot_product_attention(q, k, v, mask), many((2,), 3, 3, 2, 2, grad=True)
    )


def test_each_row_of_weights_sums_to_one():
    _, weights = scaled_dot_product_attention(*many())
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3, 5, dtype=torch.float64))
    assert (weights >= 0).all()


def test_very_large_scores_stay_finite():
    query, key, value = many()
    output, _ = scaled_dot_product_attention(query * 1e4, key * 1e4, value)
    assert output.isfinite().all()


def test_the_order_of_keys_does_not_matter():
    query, key, value = many()
    order = torch.randperm(7)
    output, weights = scaled_dot_product_attention(query, key, value)
    reordered, reordered_weights = scaled_dot_product_attention(query, key[..., order, :], value[..., order, :])
    torch.testing.assert_close(reordered, output)
    torch.testing.assert_close(reordered_weights, weights[..., order])


def test_reordered_words_give_reordered_outputs():
    attention, x = layer(), normal(2, 6, 12)
    order = torch.randperm(6)
    torch.testing.assert_close(attention(x[:, order]), attention(x)[:, order])


def test_a_masked_key_gets_no_weight_and_the_rest_share_it_all():
    mask = torch.ones(5, 7, dtype=torch.bool)
    mask[:, 2] = False
    _, weights = scaled_dot_product_attention(*many(), mask)
    assert (weights[..., 2] == 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3, 5, dtype=torch.float64))


def test_a_row_that_may_attend_to_nothing_is_zero_in_value_and_gradient():
    tensors = many(grad=True)
    mask = torch.ones(5, 7, dtype=torch.bool)
    mask[1] = False
    output, weights = scaled_dot_product_attention(*tensors, mask)
    assert (output[..., 1, :] == 0).all()
    assert (weights[..., 1, :] == 0).all()
    gradients = torch.autograd.grad(output.square().sum(), tensors)
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert (gradients[0][..., 1, :] == 0).all()


@pytest.mark.parametrize("shape", [(7,), (5, 7), (1, 7), (5, 1), (3, 5, 7), (2, 1, 1, 7)])
def test_a_mask_is_broadcast(shape):
    mask = normal(*shape, seed=9) > -0.5
    _, weights = scaled_dot_product_attention(*many(), mask)
    _, expected = scaled_dot_product_attention(*many(), mask.expand(2, 3, 5, 7))
    assert torch.equal(weights, expected)


@pytest.mark.parametrize(
    ("query", "key", "value", "words"),
    [
        ((4,), (7, 4), (7, 6), r"query must have at least 2 axes .* got shape \(4,\)"),
        ((5, 4), (4,), (7, 6), r"key must have at least 2 axes .* got shape \(4,\)"),
        ((5, 4), (7, 4), (7,), r"value must have at least 2 axes .* got shape \(7,\)"),
        ((5, 4), (7, 3), (7, 6), "same last size d_k; got 4 and 3"),
        ((5, 4), (7, 4), (8, 6), "same length m; got 7 and 8"),
        ((2, 5, 4), (3, 7, 4), (3, 7, 6), r"axes before the last two; got \(2, 5, 4\), \(3, 7, 4\)"),
    ],
)
def test_tensors_that_do_not_fit_are_refused_with_their_sizes(query, key, value, words):
    with pytest.raises(ValueError, match=words):
        scaled_dot_product_attention(normal(*query), normal(*key), normal(*value))


@pytest.mark.parametrize("shape", [(7, 5), (5, 6), (4, 5, 7), (1, 2, 3, 5, 7)])
def test_a_mask_of_the_wrong_shape_is_refused_with_both_shapes(shape):
    with pytest.raises(ValueError, match=r"broadcastable to \(…, n, m\) = \(2, 3, 5, 7\); got \(") as error:
        scaled_dot_product_attention(*many(), torch.ones(shape, dtype=torch.bool))
    assert str(shape) in str(error.value)


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64])
def test_a_mask_that_is_not_boolean_is_refused(dtype):
    with pytest.raises(TypeError, match=f"mask must be boolean, True = may attend; got {dtype}"):
        scaled_dot_product_attention(*many(), torch.ones(5, 7, dtype=dtype))


@pytest.mark.parametrize(("d_model", "n_heads"), [(10, 3), (8, 0), (4, 8)])
def test_heads_must_divide_the_width(d_model, n_heads):
    with pytest.raises(ValueError, match=f"multiple of n_heads >= 1; got d_model={d_model}, n_heads={n_heads}"):
        MultiHeadAttention(d_model, n_heads)


def torch_twin(attention):
    twin = nn.MultiheadAttention(12, 3, batch_first=True, dtype=attention.query.weight.dtype).eval()
    with torch.no_grad():
        projections = (attention.query, attention.key, attention.value)
        twin.in_proj_weight.copy_(torch.cat([p.weight for p in projections]))
        twin.in_proj_bias.copy_(torch.cat([p.bias for p in projections]))
        twin.out_proj.weight.copy_(attention.output.weight)
        twin.out_proj.bias.copy_(attention.output.bias)
    return twin


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("masked", [False, True])
def test_many_heads_equal_torch_in_output_and_weights(dtype, masked):
    attention, seen = layer(dtype), []
    attention.observers.append(lambda weights: seen.append(weights) or weights)
    x, memory = normal(2, 5, 12, dtype=dtype), normal(2, 7, 12, seed=1, dtype=dtype)
    mask = normal(5, 7, seed=2) > -0.5 if masked else None
    theirs, weights = torch_twin(attention)(
        x, memory, memory, attn_mask=~mask if masked else None, average_attn_weights=False
    )
    torch.testing.assert_close(attention(x, memory, mask), theirs)
    torch.testing.assert_close(seen[0], weights)


PATHS = {
    "plain": {},
    "causal": {"causal": True},
    "masked": {"mask": normal(2, 1, 1, 6, seed=7) > -0.5},
    "masked and causal": {"mask": normal(2, 1, 6, 6, seed=7) > -0.5, "causal": True},
    "a row without keys": {"mask": torch.arange(6)[:, None].expand(6, 6) != 2},
    "memory": {"memory": normal(2, 4, 12, seed=5)},
    "memory of the same length": {"memory": normal(2, 6, 12, seed=5)},
    "memory, masked": {"memory": normal(2, 4, 12, seed=5), "mask": normal(6, 4, seed=6) > -0.5},
    "memory, causal": {"memory": normal(2, 9, 12, seed=5), "causal": True},
    "biased": {"bias": normal(3, 6, 6, seed=8)},
    "biased and causal": {"bias": normal(2, 3, 6, 6, seed=8), "causal": True},
    "biased, a row without keys": {
        "bias": normal(3, 6, 6, seed=8),
        "mask": torch.arange(6)[:, None].expand(6, 6) != 2,
    },
}


def run(attention, x, options, dtype):
    cast = {k: v.to(dtype) if k in ("memory", "bias") else v for k, v in options.items()}
    attention.zero_grad()
    x = x.detach().clone().requires_grad_()
    output = attention(x, **cast)
    output.square().sum().backward()
    return output.detach(), x.grad, [p.grad for p in attention.parameters()]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("options", PATHS.values(), ids=PATHS)
def test_the_fused_kernel_and_the_explicit_weights_agree(options, dtype):
    attention, x = layer(dtype), normal(2, 6, 12, dtype=dtype)
    fused = run(attention, x, options, dtype)
    attention.observers = KEEP
    torch.testing.assert_close(run(attention, x, options, dtype), fused, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("observers", [[], KEEP], ids=["fused", "explicit"])
def test_a_mask_is_obeyed_beside_causality(observers):
    attention, x = layer(), normal(2, 6, 12)
    attention.observers = observers
    mask = PATHS["masked and causal"]["mask"]
    both = mask & torch.ones(6, 6, dtype=torch.bool).tril()
    torch.testing.assert_close(attention(x, mask=mask, causal=True), attention(x, mask=both))


def test_the_weights_are_never_stored_unless_observed(monkeypatch):
    def forbidden(*_):
        raise AssertionError("the explicit path was taken")

    monkeypatch.setattr("companion.nn.attention.scaled_dot_product_attention", forbidden)
    for options in PATHS.values():
        layer()(normal(2, 6, 12), **options)


@pytest.mark.parametrize("observers", [[], KEEP], ids=["fused", "explicit"])
@pytest.mark.parametrize("chunks", [(6,), (1,) * 6, (2, 3, 1)], ids=str)
def test_cached_positions_equal_those_computed_at_once(observers, chunks):
    attention, x = layer(), normal(2, 6, 12)
    attention.observers = observers
    cache = KVCache(6)
    pieces = [attention(piece, causal=True, cache=cache) for piece in x.split(chunks, dim=1)]
    torch.testing.assert_close(torch.cat(pieces, dim=1), attention(x, causal=True))


@pytest.mark.parametrize("observers", [[], KEEP], ids=["fused", "explicit"])
def test_a_causal_layer_cannot_read_later_positions(observers):
    attention, x = layer(), normal(2, 6, 12)
    attention.observers = observers
    changed = torch.cat([x[:, :3], normal(2, 3, 12, seed=8)], dim=1)
    torch.testing.assert_close(attention(changed, causal=True)[:, :3], attention(x, causal=True)[:, :3])


@pytest.mark.parametrize("observers", [[], KEEP], ids=["fused", "explicit"])
def test_bad_masks_are_refused_on_both_paths(observers):
    attention = layer()
    attention.observers = observers
    with pytest.raises(TypeError, match="mask must be boolean"):
        attention(normal(2, 6, 12), mask=torch.zeros(6, 6))
    with pytest.raises(ValueError, match=r"broadcastable to \(…, n, m\) = \(2, 3, 6, 6\); got \(6, 5\)"):
        attention(normal(2, 6, 12), mask=torch.ones(6, 5, dtype=torch.bool))


@pytest.mark.parametrize("observers", [[], KEEP], ids=["fused", "explicit"])
def test_dropout_acts_in_training_only(observers):
    attention, x = layer(dropout=0.5), normal(2, 6, 12)
    attention.observers = observers
    assert torch.equal(attention(x), attention(x))
    attention.train()
    assert not torch.equal(attention(x), attention(x))


def test_dropout_keeps_the_mean_on_the_explicit_path():
    attention, x = layer(dropout=0.5), normal(1, 4, 12)
    attention.observers = KEEP
    expected = attention(x)
    attention.train()
    mean = attention(x.expand(20_000, -1, -1)).mean(0, keepdim=True)
    torch.testing.assert_close(mean, expected, rtol=0, atol=0.02)


def test_without_bias_there_are_four_matrices_only():
    assert [p.shape for p in layer(bias=False).parameters()] == [(12, 12)] * 4


@pytest.mark.parametrize("observers", [[], KEEP], ids=["fused", "explicit"])
def test_heads_may_be_wider_or_narrower_than_d_model_over_n_heads_and_unscaled(observers):
    attention, x = layer(d_head=7, scale=1.0), normal(2, 5, 12)
    attention.observers = observers
    q, k, v = (f(x).unflatten(-1, (3, 7)).transpose(1, 2) for f in (attention.query, attention.key, attention.value))
    expected = (q @ k.transpose(-2, -1)).softmax(-1) @ v
    torch.testing.assert_close(attention(x), attention.output(expected.transpose(1, 2).flatten(2)))


def test_a_bias_is_added_to_the_scores_before_the_softmax():
    query, key, value = many()
    bias = normal(5, 7, seed=9)
    _, weights = scaled_dot_product_attention(query, key, value, bias=bias, scale=0.3)
    torch.testing.assert_close(weights, (0.3 * query @ key.transpose(-2, -1) + bias).softmax(-1))


def test_float16_scores_beyond_its_range_have_weights():
    """Queries times keys of 80,000 are 10,000 after the division by sqrt(64), which float16 holds."""
    q, k = 100 * torch.ones(3, 64), 12.5 * torch.ones(4, 64)
    _, weights = scaled_dot_product_attention(q.half(), k.half(), torch.ones(4, 2).half())
    assert torch.equal(weights, torch.full((3, 4), 0.25, dtype=torch.float16))


@pytest.mark.parametrize("scale", [None, 1.0])
@pytest.mark.parametrize("factor", [1.0, 30.0, 400.0])
def test_float16_weights_are_those_of_the_fused_kernel_however_long_queries_and_keys_are(factor, scale):
    q, k, v = (normal(1, 2, 6, 8, seed=seed).half() for seed in range(3))
    q, k = q * factor, k * factor
    output, weights = scaled_dot_product_attention(q, k, v, scale=scale)
    assert weights.dtype == output.dtype == torch.float16
    assert weights.isfinite().all()
    torch.testing.assert_close(output, F.scaled_dot_product_attention(q, k, v, scale=scale), atol=2e-2, rtol=0)


@pytest.mark.parametrize("fused", [True, False])
def test_half_precision_is_trained_by_the_faster_kernel_to_the_same_result(monkeypatch, fused):
    asked = []
    monkeypatch.setattr(attention, "fused_attention_is_fast", lambda *what: asked.append(what) or fused)
    layer = MultiHeadAttention(12, 3).bfloat16()
    x = normal(2, 5, 12, dtype=torch.float32).bfloat16()
    output = layer(x, causal=True)
    assert asked == [("cpu", torch.bfloat16)]
    output.sum().backward()
    torch.testing.assert_close(output.float(), layer.float()(x.float(), causal=True), atol=0.02, rtol=0.02)
    assert layer.query.weight.grad.isfinite().all()
