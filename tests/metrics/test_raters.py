"""One rater against the others, by hand."""

import pytest

from companion.metrics.raters import one_rater


def test_raters_who_agree_are_always_right():
    assert one_rater([(1, 2, 3), (-1, -4)]) == (1, 1, 0)


def test_the_rater_s_own_rating_does_not_count_among_the_others():
    """The 4 is alone: its own weight makes the mean of all positive, that of the others is negative."""
    found = one_rater([(4, -1, -1)])
    assert found.accuracy == 0  # the others of each -1 are positive, those of the 4 negative


def test_a_neutral_rating_counts_a_half_and_is_left_out_of_the_decided_ones():
    found = one_rater([(2, 2, 0)])
    assert found.accuracy == pytest.approx(2.5 / 3)
    assert (found.decided, found.neutral) == (1, pytest.approx(1 / 3))


def test_where_the_others_are_undecided_nothing_is_judged():
    assert one_rater([(1, -1, 3), (1, 1)]).neutral == 0
    assert one_rater([(1, -1, 3), (1, 1)]).accuracy == pytest.approx(3 / 4)


def test_a_single_rating_is_refused():
    with pytest.raises(ValueError, match=r"at least 2 ratings; got \[3\]"):
        one_rater([(3,)])


def test_ratings_that_judge_nothing_are_refused():
    with pytest.raises(ValueError, match="no rating can be judged"):
        one_rater([(0, 0, 0)])
