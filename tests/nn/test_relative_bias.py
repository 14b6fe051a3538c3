"""The relative bias is the same for the same distance, and its buckets are those of T5."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_models import PATIENT

from companion.models.t5 import T5Config
from companion.nn.relative_bias import RelativeBias, relative_bucket


@pytest.mark.parametrize("both_ways", [True, False])
@pytest.mark.parametrize(("n_buckets", "max_distance"), [(32, 128), (8, 20), (4, 3), (32, 17), (64, 500), (20, 40)])
def test_buckets_are_those_of_transformers(both_ways, n_buckets, max_distance):
    from transformers.models.t5.modeling_t5 import T5Attention

    distance = torch.arange(-700, 701)
    ours = relative_bucket(distance, both_ways=both_ways, n_buckets=n_buckets, max_distance=max_distance)
    theirs = T5Attention._relative_position_bucket(distance, both_ways, n_buckets, max_distance)
    assert torch.equal(ours, theirs)


@PATIENT
@given(st.booleans(), st.integers(4, 64), st.integers(1, 300))
def test_buckets_grow_with_the_distance_and_all_are_in_the_table(both_ways, n_buckets, beyond):
    max_distance = n_buckets // 2 + beyond
    distance = torch.arange(0, 2 * max_distance)
    sizes = {"both_ways": both_ways, "n_buckets": n_buckets, "max_distance": max_distance}
    back, ahead = relative_bucket(-distance, **sizes), relative_bucket(distance, **sizes)
    assert (back.diff() >= 0).all()
    assert (ahead.diff() >= 0).all()
    assert torch.cat([back, ahead]).min() == 0
    assert torch.cat([back, ahead]).max() < n_buckets
    assert len(back[max_distance:].unique()) == 1
    assert both_ways or (ahead == 0).all()


@pytest.mark.parametrize(("n_buckets", "max_distance"), [(3, 128), (0, 1), (32, 16), (32, 0)])
def test_too_few_buckets_are_refused(n_buckets, max_distance):
    words = f"n_buckets must be at least 4, and max_distance above half of it; got {n_buckets} and {max_distance}"
    with pytest.raises(ValueError, match=words):
        relative_bucket(
            torch.zeros(1, dtype=torch.long), both_ways=False, n_buckets=n_buckets, max_distance=max_distance
        )
    with pytest.raises(ValueError, match=words):
        T5Config(vocab_size=31, n_layers=2, n_heads=2, d_model=12, n_buckets=n_buckets, max_distance=max_distance)


@pytest.mark.parametrize("both_ways", [True, False])
def test_the_bias_of_the_last_queries_is_the_end_of_the_whole_bias(both_ways):
    bias = RelativeBias(3, n_buckets=8, max_distance=12, both_ways=both_ways)
    whole = bias(20, 20)
    assert whole.shape == (3, 20, 20)
    for last in (1, 2, 7):
        assert torch.equal(bias(last, 20), whole[:, -last:])


def test_the_bias_is_the_same_wherever_two_positions_of_that_distance_stand():
    bias = RelativeBias(2, both_ways=True)(30, 30)
    assert torch.equal(bias[:, 1:, 1:], bias[:, :-1, :-1])
