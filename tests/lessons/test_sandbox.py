"""Whatever somebody else's function does, the notebook goes on."""

import contextlib
import sys
import threading

from companion.lessons.sandbox import run


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
