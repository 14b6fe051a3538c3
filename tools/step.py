"""Run a long command: say what is happening and for how long, keep its output in a log, show it when it fails.

A line of the command that ends in a carriage return is a counter: it is shown for the moment and not kept. One that
begins with the sign of a step is news for the reader, and stays.
"""

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

HEARTBEAT = 15.0  # seconds between two lines where the output is not a terminal
WIDTH = 150  # characters of a line there: four notebooks and an estimate
TAIL = 20  # lines at the end of the log that are shown after a failure
AFTER = 30  # lines shown after each warning: a notebook's traceback follows its own
FRAMES = 4  # lines of a traceback shown before the line that names the exception
NEWS = "▸"
ESCAPES = re.compile(rb"\x1b\[[0-9;]*[A-Za-z]")
TROUBLE = re.compile(r"\b(WARNING|ERROR|CRITICAL):|\b(Sphinx|Extension) error:|\bnpm (ERR!|error)|^! ")  # ! is of LaTeX
TRACEBACK = "Traceback (most recent call last):"


class StepError(Exception):
    """A command ended with an error; the message holds the end of its output."""


def run(title: str, command: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> None:
    """Run the command under a line of progress; raise StepError with the end of the log when it fails.

    The variables in `env` are added to the environment of this process. A Python writes at once, or what it printed
    would come late, and after the error that ended it.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    print(f"{NEWS} {title}", flush=True)
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={"PYTHONUNBUFFERED": "1", **os.environ, **(env or {})},
        )
        assert process.stdout is not None
        progress = Progress(start)
        for line, is_counter in lines(process.stdout):
            text = line.decode(errors="replace").strip()
            if not is_counter:
                sink.write(line + b"\n")
                sink.flush()
            if text.startswith(NEWS):
                progress.say(text)
            elif text:
                progress.latest = text
        code = process.wait()
        progress.stop()
    seconds = time.monotonic() - start
    if code:
        raise StepError(f"✗ {title}: failed after {seconds:.0f} s (exit code {code})\n{explain(log)}")
    print(f"  done in {seconds:.0f} s", flush=True)


def lines(stream: IO[bytes]) -> Iterator[tuple[bytes, bool]]:
    """The stream's lines without colours, and whether each is a counter: whether a carriage return alone ends it."""
    pending = b""
    while chunk := os.read(stream.fileno(), 65536):
        *whole, pending = re.split(rb"(\r*\n|\r+)", pending + chunk)
        for line, end in zip(whole[::2], whole[1::2], strict=True):
            if line:
                yield ESCAPES.sub(b"", line), not end.endswith(b"\n")
    if pending:
        yield ESCAPES.sub(b"", pending), False


def explain(log: Path) -> str:
    """Each warning and error of a log with the lines that follow it, each exception, then the last lines."""
    text = log.read_text(errors="replace").splitlines()
    shown = set(range(max(0, len(text) - TAIL), len(text)))
    for number, line in enumerate(text):
        if TROUBLE.search(line):
            shown.update(range(number, min(number + AFTER, len(text))))
        if line.startswith(TRACEBACK):
            end = next((n for n in range(number + 1, len(text)) if not text[n].startswith(" ")), len(text) - 1)
            shown.update(range(max(number, end - FRAMES), end + 1))
    return "\n".join([*(text[number] for number in sorted(shown)), f"(all of it: {log})"])


class Progress:
    """A thread that shows the elapsed time and the command's latest line."""

    def __init__(self, start: float) -> None:
        """Start to show; `start` is the moment on the monotonic clock from which time is counted."""
        self.latest = ""
        self._start = start
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._show, daemon=True)
        self._thread.start()

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self._clear()
        print(text, flush=True)

    def stop(self) -> None:
        """Stop, and clear the line of a terminal."""
        self._ended.set()
        self._thread.join()
        self._clear()

    def _clear(self) -> None:
        if sys.stdout.isatty():
            print("\r\x1b[2K", end="", flush=True)

    def _show(self) -> None:
        terminal = sys.stdout.isatty()
        while not self._ended.wait(0.5 if terminal else HEARTBEAT):
            text = f"  {time.monotonic() - self._start:4.0f} s  {self.latest}"
            if terminal:
                width = os.get_terminal_size().columns - 1
                print(f"\r\x1b[2K{text[:width]}", end="", flush=True)
            else:
                print(text[:WIDTH], flush=True)
