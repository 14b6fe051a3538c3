"""Attention in half precision: with and without observers the same, finite, and that of single precision."""

import pytest
import torch
from small_models import TINY, random_ids, tiny_bert, tiny_gpt, tiny_t5, tiny_transformer, tiny_xlnet

from companion.models.modern_bert import ModernBertConfig, ModernBertForMaskedLM
from companion.models.modern_decoder import ModernConfig, ModernDecoder
from companion.models.transformer import EncoderDecoder
from companion.nn.attention import within_range
from companion.nn.capture import capture
from companion.nn.disentangled_attention import DisentangledAttention


def decoder(**options):
    torch.manual_seed(0)
    return ModernDecoder(ModernConfig(**TINY | {"d_model": 16} | options)).eval()


def modern_bert():
    torch.manual_seed(0)
    return ModernBertForMaskedLM(ModernBertConfig(**TINY, d_ff=16)).eval()


MODELS = {
    "gpt": tiny_gpt,
    "bert": tiny_bert,
    "roberta": lambda: tiny_bert(family="roberta"),
    "albert": lambda: tiny_bert(family="albert"),
    "electra": lambda: tiny_bert(family="electra"),
    "modernbert": modern_bert,
    "xlnet": tiny_xlnet,
    "t5": tiny_t5,
    "transformer": tiny_transformer,
    "qwen3": lambda: decoder(family="qwen3", n_kv_heads=1),
    "mistral": lambda: decoder(family="mistral", window=3),
    "mixtral": lambda: decoder(family="mixtral", n_experts=4),
    "stablelm": lambda: decoder(family="stablelm"),
    "gemma3": lambda: decoder(family="gemma3_text"),
}


def lengthened(model, factor, parts=("query", "key")):
    """The same model, with queries and keys so many times as long: scores far beyond 65,504."""
    for name, parameter in model.named_parameters():
        if any(part in name for part in parts) and parameter.dim() == 2:
            parameter.mul_(factor)
    return model


def seen(model, *inputs):
    with capture(model) as record:
        output = model(*inputs)
    maps = [*record.attention, *record.cross_attention]
    return (output[0] if isinstance(output, tuple) else output), [one.float() for one in maps]


@torch.no_grad()
@pytest.mark.parametrize("factor", [1.0, 1000.0])
@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_float16_under_capture_is_finite_and_what_it_is_without(make, factor):
    model = lengthened(make(), factor)
    ids = random_ids(model, 1, 8)
    inputs = (ids, ids) if isinstance(model, EncoderDecoder) else (ids,)
    _, wanted = seen(model, *inputs)
    fused = model.half()(*inputs)
    output, maps = seen(model, *inputs)
    assert output.isfinite().all()
    torch.testing.assert_close(output, fused[0] if isinstance(fused, tuple) else fused, atol=1e-2, rtol=0)
    torch.testing.assert_close(maps, wanted, atol=2e-2, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("factor", [10.0, 100.0, 1000.0, 10_000.0])
def test_distances_of_two_streams_that_outweigh_the_words_are_no_trouble(factor):
    model = lengthened(tiny_xlnet(), factor, ("query", "position.weight")).half()
    ids = random_ids(model, 1, 8)
    output, maps = seen(model, ids)
    assert output.isfinite().all()
    assert all(one.isfinite().all() for one in maps)
    torch.testing.assert_close(output, model(ids), atol=1e-2, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("factor", [1, 30, 100, 250])
def test_so_is_attention_with_distances_beside_the_words(factor):
    torch.manual_seed(0)
    layer = DisentangledAttention(12, 3).eval()
    x, distances = factor * torch.randn(1, 5, 12), factor * torch.randn(8, 12)
    _, wanted = seen(layer, x, distances)
    layer.half()
    output, maps = seen(layer, x.half(), distances.half())
    torch.testing.assert_close(maps, wanted, atol=2e-2, rtol=0)
    torch.testing.assert_close(output, layer(x.half(), distances.half()))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_terms_beyond_the_range_of_a_dtype_become_its_ends(dtype):
    given = torch.tensor([0.5, 1e30, -1e30], dtype=torch.float64)
    found = within_range(given, dtype)
    assert found.dtype == dtype
    assert found.isfinite().all()
    assert found[0] == 0.5
