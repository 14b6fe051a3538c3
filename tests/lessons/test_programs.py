"""Programs of a model are judged by what they return, and what might do harm is not run."""

import pytest

from companion.lessons.applications.experiments.programs import TASKS, TRIVIAL, code_of, function_of, is_right

ADD, FACTORIAL = TASKS[0], TASKS[5]


@pytest.mark.parametrize(
    "code",
    [
        "def add(a, b):\n    return a + b",
        "def plus(a, b):\n    total = sum([a, b])\n    return total\n\nprint(plus(1, 2))",
        "def helper(x):\n    return x\n\ndef add(a, b):\n    return helper(a) + b",
    ],
)
def test_a_program_is_right_whatever_it_is_called_and_however_it_is_written(code):
    assert is_right(ADD, code)


@pytest.mark.parametrize(
    "code",
    [
        TRIVIAL,
        "def add(a, b):\n    return a - b",
        "def add(a):\n    return a",
        "def add(a, b):\n    return str(a + b)",
        "def add(a, b):\n    raise SystemExit",
        "def add(a, b):\n    while True:\n        pass",
        "def add(a, b=1 / 0):\n    return a + b",
        "def add(a, b) return a + b",
        "a + b",
        "",
        "\x00",
    ],
)
def test_a_program_that_is_wrong_fails_or_never_ends_is_not_right(code):
    assert not is_right(ADD, code)


def test_a_function_that_calls_itself_without_end_is_not_right():
    assert not is_right(FACTORIAL, "def factorial(n):\n    return n * factorial(n - 1)")


@pytest.mark.parametrize(
    "code",
    [
        "import os\ndef add(a, b):\n    return a + b",
        "def add(a, b):\n    from os import remove\n    return a + b",
        "def add(a, b):\n    return a.__class__",
        "def add(a, b):\n    return __import__('os')",
    ],
)
def test_what_reaches_out_is_not_run(code):
    with pytest.raises(ValueError, match="this is not run"):
        function_of(code)


def test_files_and_evaluation_are_not_there():
    for name in ("open", "exec", "eval", "input"):
        with pytest.raises(NameError, match=name):
            function_of(f"def f():\n    return {name}")()


@pytest.mark.parametrize(
    "reply", ["```\nx = 1\n```", "Here:\n```python\nx = 1\n```\nDone.", "```python\nx = 1\n", "x = 1\n"]
)
def test_the_program_is_found_in_its_reply(reply):
    assert code_of(reply) == "x = 1\n"


def test_no_task_is_solved_by_returning_its_argument():
    assert not any(is_right(task, TRIVIAL) for task in TASKS)
