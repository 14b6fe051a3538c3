"""Run notebooks side by side, each in a kernel and an empty folder of its own and within :mod:`cell_limits`."""

import os
import re
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, NamedTuple

from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from sphinx.util import logging

from cell_limits import LimitedClient
from fetched_cells import to_run
from forked_kernels import end_source
from progress import Progress
from stored_outputs import Chapter, expected, save

SIDE_BY_SIDE = 4  # notebooks at most: each holds torch in memory
MANY = 4  # notebooks, whose imports take longer than those of the process that they are forked from
SAID = 300  # characters of an exception in one line
ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")

logger = logging.getLogger(__name__)


class Failure(NamedTuple):
    """Where a notebook stopped, counted from 1 over all cells, and why: in one line, and as the kernel told it."""

    cell: int
    error: str
    traceback: str


def run_all(missing: dict[str, Chapter], folder: Path, log: IO[bytes]) -> dict[str, tuple[Failure, NotebookNode]]:
    """Run notebooks side by side and store the outputs of those that pass; return those that fail."""
    known = expected(folder.parents[1])
    lasted = {name: known.get(one.path.stem, 0.0) for name, one in missing.items()}
    progress = Progress({name: len(one.notebook.cells) for name, one in missing.items()}, lasted)
    forked = len(missing) >= MANY
    clients = {
        name: LimitedClient(to_run(missing[name].notebook, missing[name].out), forked=forked)
        for name in progress.heaviest_first()
    }
    failed: dict[str, tuple[Failure, NotebookNode]] = {}
    pool = ThreadPoolExecutor(min(SIDE_BY_SIDE, os.cpu_count() or 1))
    try:
        running: dict[Future[Failure | None], str] = {
            pool.submit(execute, client, log, partial(progress.at, name)): name for name, client in clients.items()
        }
        while running:
            for done in wait(running, timeout=1, return_when=FIRST_COMPLETED).done:
                name = running.pop(done)
                progress.done(name)
                if failure := done.result():
                    failed[name] = failure, clients[name].nb
                    continue
                save(folder, missing[name].name, clients[name].nb)
                logger.info("Executed %s in %.0f s", name, clients[name].nb.metadata.seconds)
            print(progress.line(), end="\r", flush=True)  # a line that ends so is shown, not kept (tools/step.py)
    finally:  # when it was interrupted, no kernel goes on
        for client in clients.values():
            client.stopped.set()
        pool.shutdown(cancel_futures=True)
        end_source()
    return failed


def execute(client: LimitedClient, log: IO[bytes], at_cell: Callable[[int], None]) -> Failure | None:
    """Run a notebook in place, in an empty folder of its own, and return where and why it stopped if it did."""
    cells = [0]

    def start(cell: NotebookNode, cell_index: int) -> None:
        cells.append(cell_index + 1)
        at_cell(cell_index + 1)

    client.on_cell_start = start
    try:
        with TemporaryDirectory() as folder:
            client.execute(cwd=folder, stderr=log)
    except CellExecutionError as error:
        return Failure(cells[-1], one_line(f"{error.ename}: {error.evalue}"), plain(error.traceback))
    except Exception as error:  # a limit, a kernel that died or never came
        return Failure(cells[-1], one_line(f"{type(error).__name__}: {error}"), plain(str(error)))
    return None


def plain(text: str) -> str:
    """Return a text without the colours of a terminal."""
    return ESCAPES.sub("", text)


def one_line(text: str) -> str:
    """Return a text as one line that is not too long."""
    line = " ".join(plain(text).split())
    return line if len(line) <= SAID else f"{line[:SAID]} …"
