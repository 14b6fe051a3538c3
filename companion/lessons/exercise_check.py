"""Check of an attempt at an exercise: against the reference first, then against each typical mistake.

Chapter: ``book/background/rise.ipynb``.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from companion.lessons.sandbox import run

TIME_LIMIT = 10.0  # seconds for all cases together; every reference takes less than one
LONGEST = 300  # characters of a value that are shown


@dataclass(frozen=True)
class Feedback:
    """Answer to an attempt, shown as its message.

    Attributes:
        passed: whether the attempt agrees with the reference.
        message: what is right, or what is wrong and where.
    """

    passed: bool
    message: str

    def __repr__(self) -> str:
        """Return ✓ or ✗, and the message."""
        return ("✓ " if self.passed else "✗ ") + self.message


@dataclass(frozen=True)
class Mistake:
    """A typical wrong solution, and the hint that names what is wrong.

    Attributes:
        attempt: the wrong solution.
        hint: what is wrong with it, as a sentence.
    """

    attempt: Callable[..., Any]
    hint: str


@dataclass(frozen=True)
class Exercise:
    """A function to write, with a reference solution, test cases and typical mistakes.

    >>> from companion.lessons import exercise
    >>> exercise("cache-cost").check(lambda prompt, new: (new * prompt, prompt + new - 1))
    ✗ Without a cache the text grows: the second run computes prompt + 1 positions, not prompt again.

    Attributes:
        name: name by which a chapter asks for it.
        task: what the function takes and returns, in one sentence.
        reference: a right solution.
        cases: function that returns the arguments of each call, the same each time.
        mistakes: wrong solutions; each differs from the reference on at least one case.
    """

    name: str
    task: str
    reference: Callable[..., Any]
    cases: Callable[[], Sequence[tuple[Any, ...]]]
    mistakes: tuple[Mistake, ...]

    def check(self, attempt: Callable[..., Any]) -> Feedback:
        """Feedback on an attempt, which runs on every case for ``TIME_LIMIT`` seconds at most.

        Args:
            attempt: the learner's function. Whatever it raises, prints or never ends is part of the feedback.
        """
        if not callable(attempt):
            return Feedback(False, f"check() wants a function; it got {type(attempt).__name__}.")
        outcome = run(attempt, self.cases(), TIME_LIMIT)
        case = len(outcome.results) + 1
        if outcome.timed_out:
            limit = f"{TIME_LIMIT:g} seconds"
            return Feedback(
                False, f"In case {case} your function was still running after {limit}: does a loop never end?"
            )
        if outcome.error is not None:
            said = f"{type(outcome.error).__name__}: {shown(outcome.error, str)}"
            return Feedback(False, f"In case {case} your function raised {said}")
        given, expected = outcome.results, self._results(self.reference)
        if _same(given, expected):
            return Feedback(True, f"Right: {len(expected)} cases agree with the reference.")
        if all(result is None for result in given):
            said = "printed something and returned None; a result is returned" if outcome.printed else "returned None"
            return Feedback(False, f"Your function {said}. {self.task}")
        for mistake in self.mistakes:
            if _same(given, self._results(mistake.attempt)):
                return Feedback(False, mistake.hint)
        return Feedback(False, _difference(given, expected))

    def _results(self, function: Callable[..., Any]) -> list[Any]:
        return [function(*copy.deepcopy(arguments)) for arguments in self.cases()]


def shown(value: Any, how: Callable[[Any], str] = repr) -> str:
    """Value as text, shortened; a value whose own text fails is shown as its type."""
    try:
        text = how(value)
    except Exception:  # a representation of the learner's own
        return f"a {type(value).__name__} that cannot be shown"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"


def _same(ours: Any, theirs: Any) -> bool:
    if isinstance(theirs, Tensor):
        if not isinstance(ours, Tensor) or ours.shape != theirs.shape:
            return False
        if torch.bool in (theirs.dtype, ours.dtype):
            return ours.dtype == theirs.dtype and torch.equal(ours.cpu(), theirs)
        if ours.is_complex():  # no reference is; a cast would drop half of it
            return False
        return torch.allclose(ours.detach().cpu().double(), theirs.double(), rtol=1e-4, atol=1e-5, equal_nan=True)
    if isinstance(theirs, list | tuple):
        return (
            isinstance(ours, list | tuple)
            and len(ours) == len(theirs)
            and all(_same(a, b) for a, b in zip(ours, theirs, strict=True))
        )
    try:
        if isinstance(theirs, float):
            return bool(abs(ours - theirs) <= 1e-5 + 1e-4 * abs(theirs))
        return bool(ours == theirs)
    except Exception:  # a tensor of several numbers, a text, anything that cannot be compared
        return False


def _difference(given: list[Any], expected: list[Any]) -> str:
    pairs = enumerate(zip(given, expected, strict=True), start=1)
    number, (ours, theirs) = next((number, pair) for number, pair in pairs if not _same(*pair))
    if not isinstance(theirs, Tensor):
        return f"In case {number} the right result is {shown(theirs)}; yours is {shown(ours)}."
    if not isinstance(ours, Tensor):
        return f"In case {number} a tensor is wanted; your function returned {type(ours).__name__}."
    if ours.shape != theirs.shape:
        return f"In case {number} the shape should be {tuple(theirs.shape)}; yours is {tuple(ours.shape)}."
    if (ours.dtype == torch.bool) != (theirs.dtype == torch.bool) or ours.is_complex():
        return f"In case {number} the type should be {theirs.dtype}; yours is {ours.dtype}."
    gap = (ours.detach().cpu().double() - theirs.double()).abs().max().item()
    return f"In case {number} the shape is right; the largest difference from the right values is {gap:.3g}."
