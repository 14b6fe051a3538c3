"""A record of a run is freed as a whole, and its memory serves the next one."""

import os
import platform
import subprocess
import sys

import pytest

from companion.nn import memory
from companion.nn.memory import SAID, keep_freed_memory

FAULTS = """
import resource
import torch
from companion.nn.capture import capture
from companion.nn.memory import keep_freed_memory
from companion.models.bert import Bert, BertConfig

bert, ids = Bert(BertConfig(64, 128, 4, 8, 16)).eval(), torch.zeros(1, 128, dtype=torch.long)
torch.set_num_threads(1)

def read():
    with torch.no_grad(), capture(bert):
        bert(ids)

kept = keep_freed_memory()
for _ in range(3):
    read()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    read()
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
GLIBC = platform.libc_ver()[0] == "glibc"


def faults(**environment: str) -> tuple[bool, int]:
    """Whether another process keeps freed memory, and the pages that ten records ask the system for."""
    plain = {name: value for name, value in os.environ.items() if name not in SAID} | environment
    done = subprocess.run([sys.executable, "-c", FAULTS], env=plain, capture_output=True, text=True, check=True)
    kept, pages = done.stdout.split()
    return kept == "True", int(pages)


@pytest.mark.slow
def test_the_next_record_takes_the_memory_of_the_last():
    kept, pages = faults()
    left, asked = faults(MALLOC_TRIM_THRESHOLD_="131072")  # what glibc begins with
    assert (kept, left) == (GLIBC, False)
    assert 10 * pages < asked or not GLIBC


@pytest.mark.parametrize("name", SAID)
def test_what_the_environment_says_stands(monkeypatch, name):
    monkeypatch.setenv(name, "131072")
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: pytest.fail("the C library was asked"))
    assert not keep_freed_memory.__wrapped__()
