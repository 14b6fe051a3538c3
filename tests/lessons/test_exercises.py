"""Every exercise accepts its reference, rejects the stub, and names each typical mistake."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor

from companion.lessons import exercise, names
from companion.lessons import exercise_check as checking

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


@pytest.mark.slow
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


@pytest.mark.slow
@every_exercise
def test_results_of_a_strange_kind_get_a_sentence(task):
    answers = {kind: task.check(lambda *_, result=result: result) for kind, result in STRANGE.items()}
    accepted = [kind for kind, answer in answers.items() if answer.passed]
    assert accepted == []
    assert [kind for kind, answer in answers.items() if not answer.message.startswith("In case 1 ")] == []


@every_exercise
def test_results_of_another_shape_are_told_both_shapes(task):
    def unsqueezed(*arguments):
        result = task.reference(*arguments)
        return result[None] if isinstance(result, Tensor) else (result,)

    answer = task.check(unsqueezed)
    assert not answer.passed
    assert answer.message.startswith("In case 1 ")


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
