"""Sinusoidal and rotary positions turn by the same angle for the same distance."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_models import PATIENT

from companion.nn.positions import (
    RopeScaling,
    YarnScaling,
    rotary,
    rotary_frequencies,
    rotate,
    sinusoidal_positions,
    yarn_amplitude,
)


def test_the_waves_are_those_of_the_paper():
    table = sinusoidal_positions(50, 8)
    for p in (0, 1, 49):
        for i in range(4):
            angle = p / 10_000 ** (2 * i / 8)
            assert table[p, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-6)
            assert table[p, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-6)


def test_how_alike_two_positions_are_depends_on_their_distance_alone():
    table = sinusoidal_positions(64, 32).double()
    alike = table @ table.T  # (64, 64)
    for distance in (0, 1, 7, 30):
        diagonal = alike.diagonal(distance)
        assert torch.allclose(diagonal, diagonal[:1].expand_as(diagonal), atol=1e-4)


@pytest.mark.parametrize("arguments", [(0, 8), (4, 7), (4, 0)])
def test_impossible_sizes_are_refused(arguments):
    with pytest.raises(ValueError, match="d_model even"):
        sinusoidal_positions(*arguments)


def test_a_base_of_one_is_refused():
    with pytest.raises(ValueError, match="base must be above 1; got 1"):
        sinusoidal_positions(4, 8, base=1)


# Rotary positions


def error(ours, theirs):
    return (ours - theirs).abs().max().item()


@PATIENT
@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 500))
def test_a_score_depends_on_the_distance_alone(m, n, shift):
    torch.manual_seed(0)
    query, key = torch.randn(2, 1, 1, 1, 32, dtype=torch.float64)
    frequencies = rotary_frequencies(32)

    def score(m, n):
        turned = [rotate(x, rotary(torch.tensor([[p]]), frequencies.double())) for x, p in ((query, m), (key, n))]
        return (turned[0] * turned[1]).sum().item()

    assert score(m, n) == pytest.approx(score(m + shift, n + shift), abs=1e-3)  # angles are in single precision


def test_turning_keeps_the_length_of_a_vector_and_leaves_the_first_position_alone():
    x = torch.randn(1, 2, 50, 8, generator=torch.Generator().manual_seed(0))
    turned = rotate(x, rotary(torch.arange(50)[None], rotary_frequencies(8)))
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))
    assert torch.equal(turned[:, :, 0], x[:, :, 0])
    assert error(turned[:, :, 1:], x[:, :, 1:]) > 0.5


def test_a_pair_turns_by_its_angle():
    x = torch.tensor([1.0, 0.0, 0.0, 2.0]).view(1, 1, 1, 4)  # pairs (1, 0) and (0, 2)
    angles = torch.tensor([0.3, 0.01]) * 7
    turned = rotate(x, rotary(torch.tensor([[7]]), torch.tensor([0.3, 0.01])))[0, 0, 0]
    expected = [angles[0].cos(), -2 * angles[1].sin(), angles[0].sin(), 2 * angles[1].cos()]
    torch.testing.assert_close(turned, torch.stack(expected))


YARN = {"rope_type": "yarn", "rope_theta": 10_000.0, "original_max_position_embeddings": 4096}


@pytest.mark.parametrize(
    ("parameters", "scaling"),
    [
        ({"rope_type": "default", "rope_theta": 10_000.0}, None),
        ({"rope_type": "default", "rope_theta": 1e6}, None),
        ({"rope_type": "linear", "rope_theta": 10_000.0, "factor": 4.0}, RopeScaling(4.0)),
        (
            {
                "rope_type": "llama3",
                "rope_theta": 500_000.0,
                "factor": 32.0,
                "original_max_position_embeddings": 8192,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
            },
            RopeScaling(32.0, 8192),
        ),
        (
            YARN | {"rope_theta": 1e6, "factor": 4.0, "original_max_position_embeddings": 32_768},
            YarnScaling(4.0, 32_768),
        ),
        (
            YARN | {"rope_theta": 150_000.0, "factor": 32.0, "truncate": False, "beta_fast": 16.0, "beta_slow": 2.0},
            YarnScaling(32.0, 4096, 2.0, 16.0, truncate=False),
        ),
        (YARN | {"factor": 40.0, "attention_factor": 1.5}, YarnScaling(40.0, 4096, attention_factor=1.5)),
    ],
    ids=["llama 1", "qwen", "linear", "llama 3.2", "qwen 2.5, yarn", "yarn between pairs", "yarn, factor given"],
)
def test_the_angles_are_those_of_transformers_to_the_last_position(parameters, scaling):
    from transformers import LlamaConfig
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    config = LlamaConfig(
        hidden_size=512, num_attention_heads=8, rope_parameters=parameters, max_position_embeddings=131_072
    )
    theirs = LlamaRotaryEmbedding(config)
    frequencies = rotary_frequencies(64, parameters["rope_theta"], scaling)
    torch.testing.assert_close(frequencies, theirs.inv_freq, rtol=0 if scaling is None else 1e-6, atol=0)
    positions = torch.tensor([[0, 1, 2, 100, 8191, 131_071]])
    ours = rotary(positions, theirs.inv_freq, 1.0 if scaling is None else scaling.amplitude)
    for part, expected in zip(ours, theirs(torch.zeros(1), positions), strict=True):
        assert torch.equal(part[:, 0], expected[..., :32])
        assert torch.equal(part[:, 0], expected[..., 32:])  # both halves of a head turn alike


def test_stretching_slows_all_waves_or_only_the_long_ones():
    plain = rotary_frequencies(64, 500_000.0)
    torch.testing.assert_close(rotary_frequencies(64, 500_000.0, RopeScaling(8.0)), plain / 8)
    ratio = plain / rotary_frequencies(64, 500_000.0, RopeScaling(8.0, 8192))
    wave = 2 * torch.pi / plain
    assert (ratio[wave < 8192 / 4] == 1).all()
    torch.testing.assert_close(ratio[wave > 8192], torch.full_like(ratio[wave > 8192], 8.0))
    assert (ratio.diff() >= 0).all()


def test_yarn_keeps_the_fast_pairs_and_slows_the_slow_ones_with_a_ramp_linear_in_the_pair_between():
    ratio = rotary_frequencies(128, scaling=YarnScaling(16.0, 4096)) / rotary_frequencies(128)
    kept = (ratio * 16 - 1) / 15  # the weight of the frequency as it was trained
    turns = 4096 * rotary_frequencies(128) / (2 * torch.pi)
    assert (ratio[turns > 38] == 1).all()  # the ramp begins at the whole pair below 32 turns
    torch.testing.assert_close(ratio[turns < 0.8], torch.full_like(ratio[turns < 0.8], 1 / 16))
    between = kept[(kept > 0.02) & (kept < 0.98)]
    assert len(between) > 20
    torch.testing.assert_close(between.diff(), between.diff()[:1].expand(len(between) - 1), rtol=0, atol=1e-5)


def test_yarn_multiplies_scores_by_the_square_of_its_amplitude():
    query, key = torch.randn(2, 1, 1, 1, 8, generator=torch.Generator().manual_seed(0))
    frequencies, position = rotary_frequencies(8), torch.tensor([[5]])

    def score(amplitude):
        q, k = (rotate(x, rotary(position, frequencies, amplitude)) for x in (query, key))
        return (q * k).sum()

    torch.testing.assert_close(score(YarnScaling(16.0, 8).amplitude), score(1.0) * yarn_amplitude(16.0) ** 2)


def test_dimensions_beyond_those_that_rotate_stay_as_they_are():
    x = torch.randn(1, 2, 5, 8, generator=torch.Generator().manual_seed(0))
    rotation = rotary(torch.arange(5)[None], rotary_frequencies(6))
    turned = rotate(x, rotation)
    assert torch.equal(turned[..., 6:], x[..., 6:])
    assert torch.equal(turned[..., :6], rotate(x[..., :6], rotation))


def test_a_context_that_is_not_extended_is_left_as_it_was():
    torch.testing.assert_close(rotary_frequencies(32, scaling=YarnScaling(1.0, 64)), rotary_frequencies(32))
    assert YarnScaling(1.0, 64).amplitude == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"original_length": None}, "original_length, the context length of the training, must be given; got None"),
        ({"attention_factor": 0.0}, "attention_factor must be above 0, or None; got 0.0"),
        ({"low": 40.0}, "low and high must be 0 < low < high; got 40.0 and 32.0"),
    ],
)
def test_impossible_yarn_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        YarnScaling(**{"factor": 4.0, "original_length": 4096} | arguments)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((0.5,), "factor must be at least 1; got 0.5"),
        ((2.0, 0), "original_length must be at least 1, or None; got 0"),
        ((2.0, 8, 4.0, 1.0), "low and high must be 0 < low < high; got 4.0 and 1.0"),
    ],
)
def test_impossible_stretching_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        RopeScaling(*arguments)
