"""Batches, static and continuous: every text gets its steps, no place holds two, and nobody waits for the longest."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import PATIENT

from companion.generation.batching import continuous_batches, n_steps, occupancy, static_batches

LENGTHS = st.lists(st.integers(1, 30), min_size=1, max_size=20)
both = pytest.mark.parametrize("schedule", [static_batches, continuous_batches])


@both
@settings(PATIENT, max_examples=50)
@given(lengths=LENGTHS, places=st.integers(1, 6))
def test_each_text_gets_its_steps_and_no_place_holds_two(schedule, lengths, places):
    turns = schedule(lengths, places)
    assert [turn.end - turn.start for turn in turns] == lengths
    for place in range(places):
        there = sorted((turn.start, turn.end) for turn in turns if turn.place == place)
        assert all(end <= start for (_, end), (start, _) in pairwise(there))


@settings(PATIENT, max_examples=50)
@given(lengths=LENGTHS, places=st.integers(1, 6))
def test_continuous_batches_never_take_more_steps(lengths, places):
    assert n_steps(continuous_batches(lengths, places)) <= n_steps(static_batches(lengths, places))


def test_equal_lengths_gain_nothing():
    assert n_steps(continuous_batches([4] * 6, 3)) == n_steps(static_batches([4] * 6, 3)) == 8


@settings(PATIENT, max_examples=50)
@given(lengths=LENGTHS)
def test_one_place_is_always_busy(lengths):
    assert occupancy(continuous_batches(lengths, 1), 1) == 1
    assert n_steps(static_batches(lengths, 1)) == sum(lengths)


@both
def test_no_text_and_no_step_are_refused(schedule):
    with pytest.raises(ValueError, match="at least one text"):
        schedule([], 2)
    with pytest.raises(ValueError, match="lengths must be at least 1; got 0"):
        schedule([1, 0], 2)
    with pytest.raises(ValueError, match="places must be at least 1; got 0"):
        schedule([1], 0)
