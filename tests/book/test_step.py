"""What is seen of a long command while it runs, and of its log when it fails."""

import sys
from pathlib import Path

import pytest

from step import StepError, run

CHAINED = """
def cause(): raise OSError("the first of two")
def deep(n): return cause() if n == 0 else deeper(n - 1)
def deeper(n): return deep(n)
def build():
    try: deep(12)
    except OSError as error: raise RuntimeError("look above for the cause") from error
build()
"""


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_failing_step_shows_its_output(tmp_path: Path):
    code = "print('WARNING: early'); print('x\\n' * 99); raise SystemExit('the reason')"
    with pytest.raises(StepError, match="exit code 1") as error:
        run("A step", python(code), tmp_path / "logs" / "step.log")
    assert "WARNING: early" in str(error.value)
    assert "the reason" in str(error.value)


def test_each_exception_of_a_chain_is_shown(tmp_path: Path):
    with pytest.raises(StepError) as error:
        run("A step", python(CHAINED), tmp_path / "step.log")
    assert "OSError: the first of two" in str(error.value)
    assert "RuntimeError: look above for the cause" in str(error.value)


def test_a_counter_is_not_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run("A step", python("print('1 of 2', end='\\r'); print('kept'); print('2 of 2', end='\\r\\n')"), tmp_path / "log")
    assert (tmp_path / "log").read_text() == "kept\n2 of 2\n"


def test_news_of_the_command_stays_on_the_screen(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run("A step", python("print('only in the log'); print('▸ for the reader')"), tmp_path / "log")
    said = capsys.readouterr().out
    assert "▸ for the reader\n" in said
    assert "only in the log" not in said
