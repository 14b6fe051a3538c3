"""Every exercise accepts its reference, rejects the stub, and names each typical mistake."""

import contextlib
import copy
import sys
import threading

import numpy as np
import pytest
import torch
from torch import Tensor

from companion.lessons import Exercise, exercise, names
from companion.lessons import exercise_check as checking
from companion.lessons.sandbox import run

ALL = [exercise(name) for name in names()]
MISTAKES = [(e, n) for e in ALL for n in range(len(e.mistakes))]
IDS = [f"{e.name}-{n}" for e, n in MISTAKES]

every_exercise = pytest.mark.parametrize("task", ALL, ids=names())


class Unlike:
    """A result that will not even be compared, nor shown."""

    def __repr__(self):
        raise RuntimeError("no text")

    def __eq__(self, other):
        raise RuntimeError("no comparison")

    __hash__ = None


STRANGE = {
    "text": "an answer",
    "number": 3.5,
    "whole number": 10**400,
    "boolean": True,
    "tuple": (1, 2),
    "empty list": [],
    "tuple of tensors": (torch.ones(2), torch.ones(3)),
    "array": np.arange(3.0),
    "empty tensor": torch.zeros(0),
    "tensor of rank 5": torch.zeros(1, 2, 1, 2, 1),
    "complex tensor": torch.zeros(2, 2, dtype=torch.complex64),
    "function": len,
    "type": int,
    "will not be compared": Unlike(),
}


def test_there_are_exercises_for_both_chapters():
    assert {"shifted-loss", "top-p", "cache-cost", "scaled-scores", "causal-mask"} <= set(names())
    assert len(names()) == len(set(names()))


def test_an_unknown_exercise_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match="there is no exercise 'nothing'; choose from .*shifted-loss"):
        exercise("nothing")


@every_exercise
def test_the_reference_passes(task):
    answer = task.check(task.reference)
    assert answer.passed, answer
    assert repr(answer).startswith("✓ Right: ")


@every_exercise
def test_the_stub_fails_and_is_told_the_task(task):
    answer = task.check(lambda *_: None)
    assert not answer.passed
    assert repr(answer) == f"✗ Your function returned None. {task.task}"


@pytest.mark.parametrize(("task", "number"), MISTAKES, ids=IDS)
def test_each_mistake_gets_its_own_hint(task, number):
    mistake = task.mistakes[number]
    answer = task.check(mistake.attempt)
    assert not answer.passed
    assert answer.message == mistake.hint


@every_exercise
def test_there_are_mistakes_and_no_two_hints_are_alike(task):
    hints = [mistake.hint for mistake in task.mistakes]
    assert len(hints) >= 3
    assert len(set(hints)) == len(hints)


@every_exercise
def test_task_and_hints_are_sentences(task):
    for text in (task.task, *(mistake.hint for mistake in task.mistakes)):
        assert text[0].isupper()
        assert text.endswith((".", "?"))


@every_exercise
def test_the_cases_are_the_same_each_time(task):
    assert repr(task.cases()) == repr(task.cases())


@every_exercise
def test_a_function_that_raises_is_told_where_and_what(task):
    answer = task.check(lambda *_: 1 / 0)
    assert repr(answer) == "✗ In case 1 your function raised ZeroDivisionError: division by zero"


@every_exercise
def test_a_function_that_never_ends_is_stopped_and_told_so(task, monkeypatch):
    monkeypatch.setattr(checking, "TIME_LIMIT", 0.02)

    def endless(*_):
        while True:
            pass

    message = "In case 1 your function was still running after 0.02 seconds: does a loop never end?"
    assert task.check(endless).message == message


@every_exercise
def test_a_function_that_prints_its_result_is_told_to_return_it(task, capsys):
    answer = task.check(lambda *arguments: print(task.reference(*arguments)))
    assert answer.message == f"Your function printed something and returned None; a result is returned. {task.task}"
    assert capsys.readouterr().out  # what was printed is seen


@every_exercise
def test_a_function_with_too_few_arguments_is_told_so(task):
    answer = task.check(lambda: 0)
    assert not answer.passed
    assert "TypeError" in answer.message


@every_exercise
@pytest.mark.parametrize("result", STRANGE.values(), ids=STRANGE)
def test_results_of_a_strange_kind_get_a_sentence(task, result):
    answer = task.check(lambda *_: result)
    assert not answer.passed
    assert answer.message.startswith("In case 1 ")


@every_exercise
def test_results_of_another_shape_are_told_both_shapes(task):
    def unsqueezed(*arguments):
        result = task.reference(*arguments)
        return result[None] if isinstance(result, Tensor) else (result,)

    answer = task.check(unsqueezed)
    assert not answer.passed
    assert answer.message.startswith("In case 1 ")


@pytest.mark.parametrize("attempt", [3, None, "tril", torch.ones(2)], ids=["number", "None", "text", "tensor"])
def test_what_is_no_function_is_told_so(attempt):
    answer = ALL[0].check(attempt)
    assert repr(answer) == f"✗ check() wants a function; it got {type(attempt).__name__}."


@every_exercise
def test_an_attempt_may_spoil_its_arguments(task):
    def spoiling(*arguments):
        result = copy.deepcopy(task.reference(*arguments))
        for tensor in arguments:
            if isinstance(tensor, Tensor):
                tensor.zero_()
        return result

    assert task.check(spoiling).passed
    assert task.check(task.reference).passed


@every_exercise
def test_another_precision_and_a_graph_are_accepted(task):
    def double(*arguments):
        result = task.reference(*arguments)
        if isinstance(result, Tensor) and result.is_floating_point():
            return result.double().requires_grad_()
        return result

    assert task.check(double).passed


# What an unforeseen wrong answer is told, on an exercise of its own


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


# What an attempt may do without ending the notebook


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, RecursionError])
def test_whatever_is_raised_is_told(error):
    def raising(_):
        raise error("too deep")

    assert judged(lambda x: x, raising).startswith(f"In case 1 your function raised {error.__name__}: too deep")


def test_a_loop_that_catches_every_exception_is_stopped():
    def stubborn():
        while True:
            with contextlib.suppress(Exception):
                [].pop()

    assert run(stubborn, [()], 0.05).timed_out


def test_a_function_that_cannot_be_interrupted_is_left_behind(monkeypatch):
    monkeypatch.setattr("companion.lessons.sandbox.ENDING", 0.05)
    ended = threading.Event()
    outcome = run(lambda: ended.wait(60), [()], 0.05)
    ended.set()
    assert outcome.timed_out
    assert outcome.results == []


def test_the_calls_before_the_one_that_failed_are_kept():
    outcome = run(lambda x: 1 / x, [(1,), (2,), (0,), (4,)], 1)
    assert outcome.results == [1, 0.5]
    assert isinstance(outcome.error, ZeroDivisionError)


def test_the_screen_is_given_back_after_an_attempt():
    screen = sys.stdout
    run(lambda: 1 / 0, [()], 1)
    assert sys.stdout is screen
