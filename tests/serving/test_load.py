"""A load is answered in its order; percentiles are values that occurred; the number in flight is Little's."""

import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from companion.serving.load import Call, Request, load, mean_in_flight, percentile, prediction
from companion.serving.service import Service

seconds = st.floats(0, 100, allow_subnormal=False)


@given(st.lists(seconds, min_size=1, max_size=40), st.integers(1, 100))
def test_a_percentile_is_that_of_numpy_by_the_nearest_rank(values: list[float], percent: int):
    assert percentile(values, percent / 100) == np.percentile(values, percent, method="inverted_cdf")


@pytest.mark.parametrize(("values", "fraction"), [([], 0.5), ([1.0], 0.0), ([1.0], 1.1), ([1.0], float("nan"))])
def test_a_percentile_of_nothing_or_beyond_all_is_refused(values: list[float], fraction: float):
    with pytest.raises(ValueError, match="must"):
        percentile(values, fraction)


@given(st.lists(st.tuples(seconds, st.floats(0.01, 10)), min_size=1, max_size=30))
def test_the_mean_number_in_flight_is_the_rate_times_the_mean_latency(pairs: list[tuple[float, float]]):
    intervals = [(start, start + length) for start, length in pairs]
    window = max(end for _, end in intervals) - min(start for start, _ in intervals)
    rate, latency = len(intervals) / window, statistics.fmean(end - start for start, end in intervals)
    assert mean_in_flight(intervals) == pytest.approx(rate * latency)


@pytest.mark.parametrize("intervals", [[], [(1.0, 1.0)]])
def test_no_time_has_no_mean(intervals: list[tuple[float, float]]):
    with pytest.raises(ValueError, match="takes time"):
        mean_in_flight(intervals)


def test_an_answer_stands_at_the_place_of_its_request():
    with Service(lambda texts: texts, about={}) as service:
        answers = load(service.address, [prediction([str(n)]) for n in range(50)], concurrency=8)
    assert [one.content["answers"] for one in answers] == [[str(n)] for n in range(50)]
    assert all(isinstance(one, Call) and one.seconds > 0 for one in answers)


def test_no_concurrency_is_refused():
    with pytest.raises(ValueError, match="concurrency must be at least 1; got 0"):
        load("http://127.0.0.1:1", [Request()], 0)
