"""What is seen of a long command while it runs, and of its log when it fails."""

import sys
from pathlib import Path

import pytest

from step import StepError, explain, run

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


def test_a_failing_step_shows_its_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)  # with it, all that is printed comes in its order anyway
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


CAUSES = {  # programs that fail, and print "the cause" long before their last lines or in an odd way
    "a group": "raise ExceptionGroup('several', [OSError('the cause')])",
    "the first of two": "try:\n  open('the cause')\n"
    "except OSError:\n  def f(n): return f(n - 1) if n else g()\n  f(12)",
    "a pool": "from concurrent.futures import *\ndef f(): raise OSError('the cause')\n"
    "with ThreadPoolExecutor() as pool: pool.submit(f).result()",
    "a thread": "import threading\nt = threading.Thread(target=lambda: open('the cause'))\n"
    "t.start(), t.join(), print('x\\n' * 60), exit(2)",
    "a line that is no Python": "print('x\\n' * 60)\nexec('the cause')",
    "a message of several lines": "raise OSError('first\\nsecond\\nthe cause')",
    "a warning of Sphinx": "print('page.md:3: WARNING: the cause'), print('x\\n' * 60), exit(1)",
    "an error of Sphinx": "print('page.md:3: ERROR: the cause'), print('x\\n' * 60), exit(1)",
    "killed": "import os\nprint('the cause', flush=True), os.kill(os.getpid(), 9)",
    "a crash": "import faulthandler\nprint('the cause', flush=True), faulthandler._sigsegv()",
    "in colour": "print('\\x1b[31mTraceback (most recent call last):\\n  File\\nOSError: the cause\\x1b[0m')\n"
    "print('x\\n' * 60), exit(1)",
    "in another encoding": "import sys\n"
    "sys.stdout.buffer.write(b'WARNING: \\xe9 the cause\\n' + b'x\\n' * 60), exit(1)",
    "without a line's end": "import sys\nsys.stderr.write('the cause'), exit(3)",
    "between two counters": "print('1 of 9', end='\\r'), print('WARNING: the cause'), print('2 of 9', end='\\r')\n"
    "print('x\\n' * 60), exit(1)",
}


@pytest.mark.parametrize("code", CAUSES.values(), ids=CAUSES)
def test_the_cause_is_shown_wherever_it_stands(tmp_path: Path, code: str):
    with pytest.raises(StepError, match="failed after") as error:
        run("A step", python(code), tmp_path / "step.log")
    assert "the cause" in str(error.value)


@pytest.mark.parametrize(
    "cause", ["Sphinx error:", "Extension error:", "npm ERR! code E404", "npm error code E404", "! Undefined"]
)
def test_a_cause_without_a_level_is_shown_however_much_follows(tmp_path, cause):
    log = tmp_path / "build.log"
    log.write_text("\n".join(["begun", cause, "no such file", *map(str, range(200))]), encoding="utf-8")
    assert [cause, "no such file"] == explain(log).splitlines()[:2]
