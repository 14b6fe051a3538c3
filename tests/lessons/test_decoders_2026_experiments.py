"""What the table of open decoders keeps of a text, by their configurations; and what is changed in small ones."""

import pytest
import torch

from companion.lessons.decoders_2026.experiments import CHANGES, DECODERS, OpenDecoder, width
from companion.lessons.decoders_2026.experiments.trained import BATCH, RATE, STEPS, decoder, flops, objective
from companion.nn.capture import capture
from companion.plots.results import benchmark_table

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


# Small decoders with one part each


@pytest.mark.parametrize("change", CHANGES)
def test_a_step_of_every_row_costs_what_a_plain_one_does(change: str):
    assert flops(change, width(change)) == pytest.approx(flops("plain", width("plain")), rel=0.01)


@pytest.mark.parametrize("change", CHANGES)
def test_no_row_sees_a_later_token(change: str):
    model = decoder(change, seed=0, d_ff=16).eval()
    ids = torch.randint(40, (1, 20), generator=torch.Generator().manual_seed(0))
    other = torch.cat([ids[:, :12], ids[:, 12:] + 1], dim=1)
    torch.testing.assert_close(model(ids)[:, :12], model(other)[:, :12], rtol=0, atol=1e-5)
    assert not torch.equal(model(ids)[:, 12:], model(other)[:, 12:])


def attention_of(change: str) -> list[torch.Tensor]:
    model = decoder(change, seed=0, d_ff=16).eval()
    with capture(model) as record, torch.no_grad():
        model(torch.randint(40, (1, 40), generator=torch.Generator().manual_seed(0)))
    return record.attention


def test_local_layers_attend_to_the_window_and_the_last_one_to_all():
    seen = [int((weights[0, 0, -1] > 0).sum()) for weights in attention_of("local and global")]
    assert seen == [16, 16, 16, 40]


def test_all_layers_of_the_hybrid_but_the_last_have_no_attention():
    assert len(attention_of("gated DeltaNet")) == 1


def test_the_last_layer_without_positions_does_not_know_how_far_a_token_is():
    model = decoder("NoPE in one layer", seed=0, d_ff=16)
    rotations = []
    for block in model.blocks:
        block.attention.register_forward_pre_hook(lambda _, given: rotations.append(given[1][0].size(-1)))
    model(torch.zeros(1, 5, dtype=torch.long))
    assert rotations == [8, 8, 8, 0]


def test_a_training_step_moves_the_bias_of_the_experts_and_no_gradient_does():
    model = decoder("experts, shared one", seed=0, d_ff=8)
    objective(model, torch.randint(40, (4, 20), generator=torch.Generator().manual_seed(0))).backward()
    biases = [block.feed_forward.bias for block in model.blocks]
    assert all(bias.abs().max() == pytest.approx(0.01) and not bias.requires_grad for bias in biases)


def test_the_file_of_the_benchmark_is_of_these_settings():
    table = benchmark_table("decoders_2026")
    assert (table["steps"], table["batch"], table["learning_rate"]) == (STEPS, BATCH, RATE)
    assert "plain" in table["rows"]
    assert table["rows"].keys() <= CHANGES.keys()
    assert all(row["d_ff"] == width(name) and len(row["runs"]) == 5 for name, row in table["rows"].items())
