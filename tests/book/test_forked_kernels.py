"""A forked kernel is as any other: empty, in its own folder and environment, stopped and missed when it dies."""

import time
from collections.abc import Iterator
from pathlib import Path

import forked_kernels
import psutil
import pytest
from cell_limits import LimitedClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat.v4 import new_code_cell, new_notebook

pytestmark = pytest.mark.slow
LOADED = "import sys\nprint('torch' in sys.modules, 'torch' in globals())"


@pytest.fixture(autouse=True, scope="module")
def ended() -> Iterator[None]:
    """No source of another test before, none after. The book is tested on Linux, where kernels are forked."""
    forked_kernels.end_source()
    yield
    forked_kernels.end_source()


def run(*cells: str, folder: Path, **options) -> list[str]:
    """What each cell printed in a kernel of its own."""
    notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells])
    LimitedClient(notebook, **options).execute(cwd=str(folder))
    return ["".join(output.get("text", "") for output in cell.outputs).strip() for cell in notebook.cells]


def parent(folder: Path, **options) -> int:
    return int(run("import os\nprint(os.getppid())", folder=folder, **options)[0])


def test_it_is_forked_from_what_has_the_libraries_and_starts_empty(tmp_path: Path) -> None:
    assert run(LOADED, folder=tmp_path) == ["True False"]
    assert run(LOADED, folder=tmp_path, forked=False) == ["False False"]
    one, other = parent(tmp_path), parent(tmp_path)
    assert one == other == forked_kernels.source_of_kernels({})._process.pid
    run("kept = 1", folder=tmp_path)
    with pytest.raises(CellExecutionError, match="kept"):
        run("kept", folder=tmp_path)


def test_folder_path_figures_and_errors_are_those_of_a_kernel_started_anew(tmp_path: Path) -> None:
    cells = (
        "import os, sys\nprint(os.getcwd(), sys.path, os.environ['MPLBACKEND'], __name__, '__file__' in globals())",
        "import matplotlib\nprint(matplotlib.get_backend(), matplotlib.rcParams['figure.dpi'])",
        "import torch\nprint(torch.get_num_threads(), torch.rand(()).dtype)",
        "import logging, signal\nprint(logging.getLogger().level, signal.getsignal(signal.SIGCHLD))",
    )
    assert run(*cells, folder=tmp_path) == run(*cells, folder=tmp_path, forked=False)


def test_each_draws_numbers_of_its_own(tmp_path: Path) -> None:
    draws = "import random, numpy, torch\nprint(random.random(), numpy.random.rand(), torch.rand(()).item())"
    one, other = (run(draws, folder=tmp_path)[0].split() for _ in range(2))
    assert not set(one) & set(other)


def test_where_a_process_with_torch_cannot_be_forked_safely_a_kernel_is_started_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forked_kernels.sys, "platform", "darwin")
    assert run(LOADED, folder=tmp_path) == ["False False"]


def test_another_environment_gets_a_kernel_started_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = parent(tmp_path)
    monkeypatch.setenv("PYTEST_SOMETHING", "of a test")
    assert run("import os\nprint(os.environ['PYTEST_SOMETHING'], os.getppid())", folder=tmp_path) == [
        f"of a test {source}"
    ]
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    assert run("import os\nprint(os.environ['HF_HOME'])", folder=tmp_path) == [str(tmp_path)]
    assert parent(tmp_path) != source


def test_one_that_dies_is_missed_and_none_is_left(tmp_path: Path) -> None:
    with pytest.raises(DeadKernelError):
        run("import os\nos.kill(os.getpid(), 9)", folder=tmp_path)
    source = psutil.Process(forked_kernels.source_of_kernels({})._process.pid)
    deadline = time.monotonic() + 20
    while source.children() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not source.children()


def test_a_source_that_is_gone_is_named(tmp_path: Path) -> None:
    parent(tmp_path)
    source = forked_kernels.source_of_kernels({})
    source._process.kill()
    source._process.wait()
    with pytest.raises(OSError, match=r"forks kernels|Broken pipe|reset"):
        source.fork([], str(tmp_path), {}, 2)
