"""The service as a process of its own: it answers what the saved model says, stands a thousand requests, and stops."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from companion.serving.__main__ import page
from companion.serving.classifier import load_classifier
from companion.serving.load import Request, call, load, prediction

pytestmark = pytest.mark.slow

TEXTS = ["Anna gets the ball from Tom . Tom", "Tom gives the apple to Mary . Mary", "Anna goes to the park ."]
HOSTILE = [
    Request(body=b"{"),
    Request(body=b"null"),
    Request(body=b'{"texts": null}'),
    Request(body=b'{"texts": [7]}'),
    Request(body=b'{"texts": [1e999]}'),
    Request(body=b'{"texts": [' + b"9" * 5000 + b"]}"),
    Request(body=b'{"texts": ["\\ud800"]}'),
    Request(body=b'{"texts": ["\xff"]}'),
    Request(body=b"[" * 60_000),
    Request(body=b" " * 70_000),
    Request(body=json.dumps({"texts": ["Anna"] * 33}).encode()),
    prediction(["a" * 2001]),
    prediction(["Anna gets the pizza ."]),
    prediction(["Anna " * 300]),
    Request("/nowhere"),
    Request("/predict"),
    Request(method="DELETE"),
    Request(body=b"a=1", headers={"Content-Type": "application/x-www-form-urlencoded"}),
]
FLAT = 8_000_000  # bytes, by which memory may differ after a thousand requests more


@pytest.fixture(scope="module")
def process(folder: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "companion.serving", str(folder), "--port", "0"]
    # with the memory of a plain Python: under `make` a process keeps what it has freed
    plain = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=plain) as running:
        yield running
        running.kill()


@pytest.fixture(scope="module")
def address(process: subprocess.Popen[str]) -> str:
    return process.stdout.readline().strip()


def test_another_process_answers_with_the_same_numbers(folder: Path, address: str):
    expected = load_classifier(folder)(TEXTS)
    answers = call(address, prediction(TEXTS)).content["answers"]
    assert [one["label"] for one in answers] == [one["label"] for one in expected]
    assert [one["probability"] for one in answers] == pytest.approx([one["probability"] for one in expected], abs=1e-6)


def test_its_page_stands_at_its_address(address: str):
    assert call(address, Request("/")).content == page()


def test_a_thousand_good_and_bad_requests_at_a_time_of_sixteen_leave_it_as_it_was(
    process: subprocess.Popen[str], address: str
):
    mixed = [prediction(TEXTS[:1]) if n % 2 else HOSTILE[n // 2 % len(HOSTILE)] for n in range(1_000)]
    load(address, mixed, concurrency=16)  # what is allocated once is allocated
    before = psutil.Process(process.pid).memory_info().rss
    answers = load(address, mixed, concurrency=16)
    after = psutil.Process(process.pid).memory_info().rss
    assert process.poll() is None
    assert {one.status for one in answers[1::2]} == {200}
    assert {one.status // 100 for one in answers[::2]} == {4}
    assert all(one.content["error"] for one in answers[::2])
    assert len({json.dumps(one.content) for one in answers[1::2]}) == 1
    assert after - before < FLAT
    assert psutil.Process(process.pid).num_threads() < 40


def test_a_signal_to_stop_ends_it_without_a_complaint(process: subprocess.Popen[str], address: str):
    assert call(address, Request("/health")).status == 200
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0  # a busy machine needs some seconds to end a process
    with pytest.raises(OSError, match="refused"):
        call(address, Request("/health"))


@pytest.mark.parametrize("content", [None, "{}"], ids=["no folder", "no model"])
def test_a_folder_without_a_model_is_refused_in_a_line(tmp_path: Path, content: str | None):
    if content:
        (tmp_path / "config.json").write_text(content)
    command = [sys.executable, "-m", "companion.serving", str(tmp_path / ("" if content else "nothing"))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "error: " in done.stderr
