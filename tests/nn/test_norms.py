"""RMSNorm scales to a root mean square of 1, shifts nothing, and equals those of torch, T5 and Llama."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from small_models import PATIENT

from companion.nn.norms import RMSNorm, UnitRMSNorm


def stirred(d: int, eps: float = 1e-6) -> RMSNorm:
    norm = RMSNorm(d, eps)
    torch.nn.init.normal_(norm.weight)
    return norm


@PATIENT
@given(st.integers(1, 40), st.integers(0, 10_000), st.sampled_from([1e-6, 1e-5, 0.1]))
def test_it_equals_torch(d, seed, eps):
    torch.manual_seed(seed)
    norm, x = stirred(d, eps), 3 * torch.randn(2, 5, d)
    torch.testing.assert_close(norm(x), F.rms_norm(x, (d,), norm.weight, eps))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_it_equals_those_of_t5_and_llama_in_every_precision(dtype):
    from transformers.models.llama.modeling_llama import LlamaRMSNorm
    from transformers.models.t5.modeling_t5 import T5LayerNorm

    torch.manual_seed(0)
    ours, x = stirred(12).to(dtype), (5 * torch.randn(3, 4, 12)).to(dtype)
    for made in (T5LayerNorm, LlamaRMSNorm):
        theirs = made(12, eps=1e-6).to(dtype)
        theirs.load_state_dict(ours.state_dict())
        assert torch.equal(ours(x), theirs(x))


def test_a_fresh_norm_gives_a_root_mean_square_of_one():
    x = 7 + 3 * torch.randn(20, 64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(RMSNorm(64)(x).square().mean(-1), torch.ones(20))


def test_the_mean_is_not_subtracted():
    x = torch.full((1, 8), 5.0)
    torch.testing.assert_close(RMSNorm(8)(x), torch.ones(1, 8))


@PATIENT
@given(st.floats(0.01, 100))
def test_the_size_of_a_vector_does_not_matter(factor):
    x = torch.randn(4, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    norm = RMSNorm(16, eps=0).double()
    torch.testing.assert_close(norm(factor * x), norm(x))


def test_a_vector_of_zeros_stays_one_and_has_a_finite_gradient():
    x = torch.zeros(2, 6, requires_grad=True)
    norm = RMSNorm(6)
    norm(x).sum().backward()
    assert (norm(x) == 0).all()
    assert x.grad.isfinite().all()


def test_half_precision_does_not_overflow_where_its_square_would():
    x = torch.full((1, 4), 1000.0, dtype=torch.float16)  # its square is above 65504
    assert torch.equal(RMSNorm(4).half()(x), torch.ones(1, 4, dtype=torch.float16))


def test_double_precision_stays_double():
    x = torch.randn(3, 9, dtype=torch.float64)
    ours = RMSNorm(9).double()(x)
    torch.testing.assert_close(ours, F.rms_norm(x, (9,), eps=1e-6), rtol=0, atol=1e-14)


@pytest.mark.parametrize(("d", "eps"), [(0, 1e-6), (-1, 1e-6), (4, -1e-6), (4, float("nan"))])
def test_a_size_below_one_or_a_negative_eps_is_refused(d, eps):
    with pytest.raises(ValueError, match=f"d must be at least 1 and eps not negative; got {d} and {eps}"):
        RMSNorm(d, eps)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_weights_kept_as_differences_from_one_are_gemmas_in_every_precision(dtype):
    from transformers.models.gemma3.modeling_gemma3 import Gemma3RMSNorm

    torch.manual_seed(0)
    ours, theirs, x = UnitRMSNorm(12).to(dtype), Gemma3RMSNorm(12).to(dtype), (5 * torch.randn(3, 4, 12)).to(dtype)
    torch.nn.init.normal_(ours.weight)
    theirs.load_state_dict(ours.state_dict())
    assert torch.equal(ours(x), theirs(x))


def test_a_fresh_one_is_a_fresh_rmsnorm():
    x = torch.randn(3, 4, 12, generator=torch.Generator().manual_seed(0))
    assert torch.equal(UnitRMSNorm(12)(x), RMSNorm(12)(x))
