"""Small programs that a model is asked for, and a judge that runs them.

What is run has no imports and only a few harmless built-in functions, in a thread with a time limit. That keeps slips
from the notebook; it would not stop somebody who means harm. Chapter: ``book/practice/applications.ipynb``.
"""

import ast
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from companion.lessons.sandbox import run

PROGRAMMER = "You write Python functions."
SECONDS = 1.0
HARMLESS = (abs, all, any, bool, dict, enumerate, float, int, len, list, map, max, min, range, reversed, round, set)
BUILTINS = {one.__name__: one for one in (*HARMLESS, sorted, str, sum, tuple, zip)}
TRIVIAL = "def program(first, *others):\n    return first\n"


@dataclass(frozen=True)
class Task:
    """A function to be written.

    Attributes:
        signature: its name and arguments.
        returns: what it returns, in words.
        examples: arguments and the right result of some calls, which the model does not see.
    """

    signature: str
    returns: str
    examples: tuple[tuple[tuple[Any, ...], Any], ...]

    def request(self, *, named: bool = True, described: bool = True) -> str:
        """What the model is asked: by name and description, or by one of them.

        >>> TASKS[1].request(described=False)
        'Write the Python function `is_even(n)`. Write only the code.'
        """
        signature = self.signature if named else "program" + self.signature[self.signature.index("(") :]
        purpose = f" that returns {self.returns}" if described else ""
        return f"Write the Python function `{signature}`{purpose}. Write only the code."


TASKS = (
    Task("add(a, b)", "the sum of a and b", (((2, 3), 5), ((-1, 1), 0))),
    Task("is_even(n)", "whether n is even", (((4,), True), ((7,), False), ((0,), True))),
    Task("largest(numbers)", "the largest of a list of numbers", ((([3, 9, 2],), 9), (([-5, -2],), -2))),
    Task("reverse(text)", "the text backwards", ((("lamp",), "pmal"), (("",), ""))),
    Task("count_vowels(text)", "the number of vowels in a text", ((("banana",), 3), (("rhythm",), 0))),
    Task("factorial(n)", "the factorial of n", (((5,), 120), ((0,), 1))),
    Task("squares(n)", "the list of the squares of 1 to n", (((4,), [1, 4, 9, 16]), ((1,), [1]))),
    Task("is_palindrome(text)", "whether a text is the same backwards", ((("level",), True), (("lamp",), False))),
    Task("mean(numbers)", "the mean of a list of numbers", ((([2, 4, 9],), 5.0), (([7],), 7.0))),
    Task("unique(items)", "the items of a list without repeats, in their order", ((([3, 1, 3, 2],), [3, 1, 2]),)),
    Task("second_largest(numbers)", "the second largest of a list of numbers", ((([3, 9, 5],), 5), (([1, 2],), 1))),
    Task("longest(words)", "the longest of a list of words", (((["a", "lamp", "the"],), "lamp"),)),
    Task("celsius(f)", "the temperature f in degrees Celsius, given in Fahrenheit", (((212,), 100.0), ((50,), 10.0))),
    Task("gcd(a, b)", "the greatest common divisor of a and b", (((12, 18), 6), ((7, 5), 1))),
    Task("fibonacci(n)", "the n-th Fibonacci number, the first two being 1", (((1,), 1), ((2,), 1), ((7,), 13))),
    Task("word_count(text)", "the number of words in a text", ((("a small lamp",), 3), (("lamp",), 1))),
    Task(
        "clip(x, low, high)", "x, but at least low and at most high", (((5, 0, 3), 3), ((-1, 0, 3), 0), ((2, 0, 3), 2))
    ),
    Task("sum_of_digits(n)", "the sum of the digits of n", (((123,), 6), ((90,), 9))),
    Task("is_prime(n)", "whether n is prime", (((7,), True), ((9,), False), ((1,), False))),
    Task("initials(name)", "the first letters of the words of a name", ((("Ada Lovelace",), "AL"),)),
)


def code_of(reply: str) -> str:
    """The program in a reply: the first block between fences, or all of it where there is none.

    >>> code_of("Sure:\\n```python\\ndef f():\\n    return 1\\n```\\nIt returns 1.")
    'def f():\\n    return 1\\n'
    """
    block = re.search(r"```(?:python)?\n(.*?)(?:```|\Z)", reply, re.DOTALL)
    return block[1] if block else reply


def function_of(code: str) -> Callable[..., Any]:
    """The last function that a program defines.

    Raises:
        ValueError: when it is no Python, imports something, reaches for a name with an underscore in front, or
            defines no function at its top level.

    >>> function_of("def f(x):\\n    return 2 * x")(3)
    6
    """
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise ValueError(f"this is no Python: {error}") from error
    for node in ast.walk(tree):
        name = getattr(node, "attr", getattr(node, "id", ""))
        if isinstance(node, ast.Import | ast.ImportFrom) or name.startswith("_"):
            raise ValueError(f"this is not run: {ast.unparse(node)}")
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    if not functions:
        raise ValueError("no function is defined here")
    made: dict[str, Any] = {"__builtins__": BUILTINS}
    exec(compile(ast.Module([*functions], []), "<program>", "exec"), made)
    function: Callable[..., Any] = made[functions[-1].name]
    return function


def is_right(task: Task, code: str) -> bool:
    """Whether a program returns what is right for each of the task's examples.

    >>> is_right(TASKS[0], "def plus(a, b):\\n    return a + b"), is_right(TASKS[0], TRIVIAL)
    (True, False)
    """
    try:
        function = function_of(code)
    except Exception:  # a default argument or a decorator runs when the function is defined, and may raise anything
        return False
    calls = [arguments for arguments, _ in task.examples]
    found = run(function, calls, SECONDS).results
    return len(found) == len(calls) and all(map(_same, found, [result for _, result in task.examples]))


def _same(found: Any, right: Any) -> bool:
    if isinstance(right, float):
        return isinstance(found, int | float) and math.isclose(found, right)
    return type(found) is type(right) and bool(found == right)
