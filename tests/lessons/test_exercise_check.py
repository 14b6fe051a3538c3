"""Feedback on an attempt: what an unforeseen wrong answer is told."""

import pytest
import torch

from companion.lessons import Exercise


def judged(reference, attempt):
    task = Exercise("double", "Return twice x.", reference, lambda: [(torch.ones(2),), (torch.zeros(2),)], ())
    return task.check(attempt).message


def test_a_wrong_value_is_told_how_far_off_it_is():
    message = judged(lambda x: 2 * x, lambda x: 2.5 * x)
    assert message == "In case 1 the shape is right; the largest difference from the right values is 0.5."


def test_a_wrong_shape_is_told_the_right_one():
    assert judged(lambda x: 2 * x, lambda x: x.sum()) == "In case 1 the shape should be (2,); yours is ()."


def test_another_precision_is_not_blamed_for_a_wrong_value():
    message = judged(lambda x: 2 * x, lambda x: 2.5 * x.double())
    assert message == "In case 1 the shape is right; the largest difference from the right values is 0.5."


def test_numbers_in_place_of_booleans_are_told_the_type():
    message = judged(lambda x: x > 0, lambda x: (x > 0).float())
    assert message == "In case 1 the type should be torch.bool; yours is torch.float32."


def test_the_case_that_fails_is_the_one_that_is_named():
    assert judged(lambda x: x + 1, lambda x: 2 * x).startswith("In case 2 ")


def test_a_long_result_is_shown_by_its_beginning():
    message = judged(lambda x: 1.0, lambda x: "a" * 1000)
    assert len(message) < 400
    assert message.endswith("a ….")


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, RecursionError])
def test_whatever_is_raised_is_told(error):
    def raising(_):
        raise error("too deep")

    assert judged(lambda x: x, raising).startswith(f"In case 1 your function raised {error.__name__}: too deep")


@pytest.mark.parametrize("attempt", [3, None, "tril", torch.ones(2)], ids=["number", "None", "text", "tensor"])
def test_what_is_no_function_is_told_so(attempt):
    answer = Exercise("double", "Return twice x.", abs, list, ()).check(attempt)
    assert repr(answer) == f"✗ check() wants a function; it got {type(attempt).__name__}."
