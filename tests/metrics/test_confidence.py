"""Intervals of a mean, and the share of an error that is gone."""

import itertools
import math
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from companion.metrics.confidence import MANY, interval, proportion_interval, relative_error_reduction, t_quantile


@pytest.mark.parametrize(
    ("freedom", "level", "printed"),
    [(1, 0.95, 12.706), (2, 0.95, 4.303), (4, 0.95, 2.776), (4, 0.99, 4.604), (29, 0.95, 2.045), (120, 0.9, 1.658)],
)
def test_the_quantiles_are_those_of_the_printed_tables(freedom, level, printed):
    assert t_quantile(freedom, level) == pytest.approx(printed, abs=5e-4)


def test_with_many_degrees_of_freedom_t_is_the_normal_distribution():
    assert t_quantile(5000) == pytest.approx(statistics.NormalDist().inv_cdf(0.975), abs=1e-3)


@given(st.integers(1, 40))
def test_fewer_runs_give_a_wider_quantile(freedom):
    assert t_quantile(freedom) > t_quantile(freedom + 1)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=12), st.floats(-5, 5))
def test_an_interval_is_centred_on_the_mean_and_moves_with_the_values(values, shift):
    found, moved = interval(values), interval([value + shift for value in values])
    assert found.mean == pytest.approx(statistics.fmean(values))
    assert found.mean - found.low == pytest.approx(found.high - found.mean, abs=1e-9)
    assert moved.low == pytest.approx(found.low + shift, abs=1e-9)


def test_of_many_intervals_nineteen_in_twenty_hold_the_true_mean():
    draw = random.Random(0)
    intervals = [interval([draw.gauss(3.0, 2.0) for _ in range(5)]) for _ in range(1000)]
    held = sum(found.low < 3.0 < found.high for found in intervals) / len(intervals)
    assert abs(held - 0.95) < 0.025


def test_runs_that_agree_leave_no_doubt():
    assert interval([0.5, 0.5, 0.5]) == (0.5, 0.5, 0.5)


def test_half_of_the_error_gone_is_a_cut_of_one_half():
    assert relative_error_reduction(0.9, 0.8) == pytest.approx(0.5)
    assert relative_error_reduction(0.8, 0.8) == pytest.approx(0.0)
    assert relative_error_reduction(1.0, 0.3) == 1.0
    assert relative_error_reduction(0.7, 0.8) == pytest.approx(-0.5)


@pytest.mark.parametrize("values", [[], [1.0], [0.5, math.nan], [0.5, math.inf]])
def test_too_few_runs_or_one_that_is_no_number_are_refused(values):
    with pytest.raises(ValueError, match="at least 2 runs, all finite"):
        interval(values)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: t_quantile(0), "freedom must be at least 1; got 0"),
        (lambda: t_quantile(4, 1.0), r"level must be in \(0, 1\); got 1.0"),
        (lambda: proportion_interval(3, 2), "0 to n, and n at least 1; got 3 of 2"),
        (lambda: proportion_interval(0, 0), "got 0 of 0"),
        (lambda: proportion_interval(1, 2, 0.0), r"level must be in \(0, 1\); got 0.0"),
        (lambda: relative_error_reduction(0.5, 1.0), "the baseline's below 1; got 0.5 and 1.0"),
        (lambda: relative_error_reduction(1.2, 0.5), r"scores lie in \[0, 1\]"),
    ],
)
def test_what_has_no_answer_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@given(st.integers(1, 2000), st.data())
def test_the_interval_of_a_fraction_holds_it_and_stays_between_none_and_all(n, data):
    fraction, low, high = proportion_interval(data.draw(st.integers(0, n)), n)
    assert -1e-12 <= low <= fraction + 1e-12
    assert fraction - 1e-12 <= high <= 1 + 1e-12


def test_the_interval_of_a_fraction_covers_the_truth_about_as_often_as_it_says():
    draw, covered = random.Random(0), 0
    for _ in range(2000):
        _, low, high = proportion_interval(sum(draw.random() < 0.9 for _ in range(100)), 100)
        covered += low <= 0.9 <= high
    assert 0.93 < covered / 2000 < 0.97


@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
def test_many_degrees_of_freedom_are_given_by_a_series_without_a_step(level):
    at = [t_quantile(freedom, level) for freedom in (MANY - 1, MANY, MANY + 1, MANY + 2)]
    first, across, last = (b - a for a, b in itertools.pairwise(at))
    assert across == pytest.approx((first + last) / 2, rel=1e-2)
    assert t_quantile(10**9, level) == pytest.approx(statistics.NormalDist().inv_cdf((1 + level) / 2), abs=1e-7)
