"""Run of somebody else's function in which nothing that it does ends the notebook: errors, exits, endless loops.

Chapter: ``book/background/rise.ipynb``.
"""

import contextvars
import copy
import ctypes
import io
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TextIO

ENDING = 1.0  # seconds that an interrupted function has to end


class OutOfTime(BaseException):
    """Time is over: raised inside the function; no ``except Exception`` of its own catches it."""


@dataclass
class Run:
    """Outcome of a function's calls.

    Attributes:
        results: values returned, one per call, up to the first call that failed.
        error: exception that this call raised.
        timed_out: whether this call was stopped.
        printed: whether anything was printed.
    """

    results: list[Any] = field(default_factory=list)
    error: BaseException | None = None
    timed_out: bool = False
    printed: bool = False


def run(function: Callable[..., Any], calls: Sequence[tuple[Any, ...]], seconds: float) -> Run:
    """Outcome of calling a function with copies of the arguments, in a thread of its own, within ``seconds``.

    Its output is shown as it comes. A function that runs on is interrupted where Python can interrupt it; one that
    cannot be (it waits inside a library) is left behind in its thread, which ends with the process.

    >>> run(lambda x: 1 / x, [(2,), (0,)], seconds=1)
    Run(results=[0.5], error=ZeroDivisionError('division by zero'), timed_out=False, printed=False)

    Args:
        function: the function.
        calls: arguments of each call.
        seconds: time limit for all calls together.
    """
    outcome = Run()

    def work() -> None:
        try:
            for arguments in calls:
                outcome.results.append(function(*copy.deepcopy(arguments)))
        except OutOfTime:
            outcome.timed_out = True
        except BaseException as error:  # SystemExit too: an attempt must not end the notebook
            outcome.error = error

    context = contextvars.copy_context()  # so that a notebook knows which cell prints
    thread = threading.Thread(target=context.run, args=(work,), daemon=True)
    screen = sys.stdout
    sys.stdout = watched = _Watched(screen)
    try:
        thread.start()
        thread.join(seconds)
        if thread.is_alive():
            _interrupt(thread)
            outcome = Run(list(outcome.results), timed_out=True)  # whatever it may still do is not heard
    finally:
        _interrupt(thread)  # the learner may have pressed "stop"
        sys.stdout = screen
    outcome.printed = watched.used
    return outcome


def _interrupt(thread: threading.Thread) -> None:
    if thread.is_alive() and thread.ident is not None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(OutOfTime))
        thread.join(ENDING)


class _Watched(io.TextIOBase):
    """Stream that passes everything on, and remembers whether there was anything but white space."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.used = False

    def write(self, text: str) -> int:
        self.used = self.used or bool(text.strip())
        return self.stream.write(text)

    def flush(self) -> None:
        self.stream.flush()
