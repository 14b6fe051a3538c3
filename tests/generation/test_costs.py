"""Bytes of caches that exist, operations that torch counts, and the roofline's bend."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from companion.generation.costs import Load, Machine, ServedModel, kv_bytes, latent_bytes
from companion.models.modern_decoder import ModernConfig, ModernDecoder
from companion.training.flops import parameters_in_products


def model_of(n_kv_heads: int) -> ModernDecoder:
    torch.manual_seed(0)
    return ModernDecoder(ModernConfig(11, 32, n_layers=2, n_heads=4, d_model=16, n_kv_heads=n_kv_heads)).eval()


@pytest.mark.parametrize("n_kv_heads", [4, 2, 1])
def test_a_filled_cache_has_the_bytes_of_the_formula(n_kv_heads):
    model = model_of(n_kv_heads)
    cache = model.new_cache()
    with torch.no_grad():
        model(torch.zeros(3, 7, dtype=torch.long), cache=cache)
    held = sum(part.numel() * part.element_size() for layer in cache for part in layer.filled())
    assert held == 3 * 7 * kv_bytes(2, n_kv_heads, model.config.d_head, size=4)


def test_a_latent_cache_is_one_vector_and_one_key_per_layer():
    assert latent_bytes(n_layers=3, d_latent=8, d_rotary=4, size=2) == 3 * 12 * 2


@pytest.mark.parametrize(("batch", "past", "new"), [(1, 6, 1), (3, 9, 1)])
def test_the_operations_of_a_decode_step_are_those_that_torch_counts(batch, past, new):
    model, cache = model_of(2), model_of(2).new_cache()
    with torch.no_grad():
        model(torch.zeros(batch, past, dtype=torch.long), cache=cache)
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            model(torch.zeros(batch, new, dtype=torch.long), cache=cache)
    served = ServedModel(parameters_in_products(model), 2, 16, kv_bytes(2, 2, model.config.d_head))
    assert served.run(batch, past, new).operations == counter.get_total_flops()


def test_a_prefill_counts_each_position_up_to_its_own():
    served = ServedModel(parameters=100, n_layers=1, d_attention=1, cache_bytes=1)
    assert served.run(1, past=0, new=3).operations == 2 * 100 * 3 + 4 * (1 + 2 + 3)
    steps = sum(served.run(1, past=past).operations for past in range(3))
    assert served.run(1, past=0, new=3).operations == steps


def test_a_larger_batch_is_more_intense_and_never_beyond_the_cache():
    served = ServedModel(parameters=1000, n_layers=2, d_attention=10, cache_bytes=80)
    intensities = [served.run(batch, past=50).intensity for batch in (1, 10, 100, 1000)]
    assert intensities == sorted(intensities)
    assert intensities[-1] < (2 * 1000 + 4 * 2 * 10 * 51) / (80 * 51)


def test_the_roofline_bends_at_the_balance():
    machine = Machine(flops=100.0, bandwidth=10.0)
    assert machine.balance == 10
    assert machine.attainable(5) == 50
    assert machine.attainable(20) == 100
    assert machine.seconds(operations=200, n_bytes=1) == 2
    assert Load(30, 10).intensity == 3


def test_a_machine_without_bandwidth_is_refused():
    with pytest.raises(ValueError, match="must be finite and above 0; got 1.0 and 0"):
        Machine(flops=1.0, bandwidth=0)


def test_a_model_without_layers_is_refused():
    with pytest.raises(ValueError, match="n_layers must be at least 1; got 0"):
        ServedModel(parameters=1, n_layers=0, d_attention=1, cache_bytes=1)
