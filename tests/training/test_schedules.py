"""A rate climbs through its warm-up to the peak, and goes from there as its schedule says."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_models import PATIENT

from companion.training.schedules import SCHEDULES, multipliers

every_schedule = pytest.mark.parametrize("schedule", SCHEDULES)


@every_schedule
def test_the_warm_up_is_a_straight_line_to_the_peak(schedule):
    assert multipliers(schedule, 20, warmup=5)[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])


@every_schedule
@given(steps=st.integers(1, 50), warmup=st.integers(0, 60))
@PATIENT
def test_no_multiplier_is_above_the_peak_or_below_nothing(schedule, steps, warmup):
    assert all(0 <= factor <= 1 for factor in multipliers(schedule, steps, warmup))
    assert len(multipliers(schedule, steps, warmup)) == steps


@every_schedule
def test_after_the_warm_up_no_schedule_rises(schedule):
    falling = multipliers(schedule, 40, warmup=8)[7:]
    assert all(later <= earlier for earlier, later in itertools.pairwise(falling))


@every_schedule
def test_a_twentieth_of_the_steps_is_warm_up_when_nothing_is_said(schedule):
    assert multipliers(schedule, 100) == multipliers(schedule, 100, warmup=5)
    assert multipliers(schedule, 7) == multipliers(schedule, 7, warmup=1)


@every_schedule
def test_without_warm_up_the_first_step_is_at_the_peak_or_has_begun_to_fall(schedule):
    assert multipliers(schedule, 1000, warmup=0)[0] == pytest.approx(1, abs=1e-2)


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_these_end_at_nothing_and_pass_the_half_in_the_middle(schedule):
    falling = multipliers(schedule, 110, warmup=10)
    assert falling[-1] == pytest.approx(0, abs=1e-12)
    assert falling[59] == pytest.approx(0.5)


def test_a_cosine_falls_slowly_first_and_fast_in_the_middle():
    falling = multipliers("cosine", 100, warmup=0)
    assert falling[24] == pytest.approx(0.5 * (1 + math.cos(math.pi / 4)))
    assert falling[9] - falling[19] < falling[49] - falling[59]


def test_constant_stays_at_the_peak():
    assert set(multipliers("constant", 30, warmup=3)[2:]) == {1.0}


def test_inverse_sqrt_is_at_half_the_peak_after_four_times_the_warm_up():
    falling = multipliers("inverse_sqrt", 400, warmup=25)
    assert falling[24] == 1
    assert falling[99] == pytest.approx(0.5)
    assert falling[399] == pytest.approx(0.25)


def test_inverse_sqrt_does_not_depend_on_the_last_step():
    assert multipliers("inverse_sqrt", 40, warmup=4) == multipliers("inverse_sqrt", 400, warmup=4)[:40]


def test_warmup_stable_decay_stays_at_the_peak_and_falls_in_a_straight_line_in_the_last_fifth():
    factors = multipliers("warmup_stable_decay", 110, warmup=10)
    assert set(factors[9:90]) == {1.0}
    assert factors[89:] == pytest.approx([1 - step / 20 for step in range(21)])


@given(warmup=st.integers(0, 20), steps=st.integers(21, 200), longer=st.integers(0, 200))
@PATIENT
def test_warmup_stable_decay_does_not_depend_on_the_last_step_before_it_falls(warmup, steps, longer):
    short = multipliers("warmup_stable_decay", steps, warmup)
    long = multipliers("warmup_stable_decay", steps + longer, warmup)
    falls_at = next(step for step in range(warmup, steps) if short[step] < 1)
    assert short[:falls_at] == long[:falls_at]


def test_a_warm_up_as_long_as_the_run_only_rises():
    assert multipliers("cosine", 4, warmup=8) == [1 / 8, 2 / 8, 3 / 8, 4 / 8]


def test_an_unknown_schedule_is_refused_with_those_there_are():
    with pytest.raises(
        ValueError,
        match="schedule must be one of cosine, linear, constant, inverse_sqrt, warmup_stable_decay; got 'triangle'",
    ):
        multipliers("triangle", 10)


@pytest.mark.parametrize(
    ("steps", "warmup", "message"),
    [(0, 1, "steps must be at least 1; got 0"), (5, -1, "warmup must be at least 0; got -1")],
)
def test_counts_outside_their_range_are_refused(steps, warmup, message):
    with pytest.raises(ValueError, match=message):
        multipliers("cosine", steps, warmup)
