"""A notebook client whose limits leave a cell that works in peace: on silence, on processor time, on what it writes.

nbclient's own limit is on the wall clock, which stops a long cell on a slow or a suspended machine. Here a cell is
stopped when it does nothing, when it computes without end, or when it writes without end.
"""

import asyncio
import threading
import time
from typing import Any

import psutil
from jupyter_client.manager import KernelManager
from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionComplete, CellTimeoutError, DeadKernelError
from nbclient.util import ensure_async
from nbformat import NotebookNode
from nbformat.v4 import new_output

from forked_kernels import ForkingProvisioner

# A second of a cell counts as silent when it brought no message and took less processor time than WORKING. Nothing in
# the book waits for the network, so a cell that is silent for two minutes waits for what will not come.
SILENCE = 120.0
WORKING = 0.01  # seconds a second; an idle kernel takes far less
# A whole chapter is made to run in about a minute; this is for machines that are far slower.
PROCESSOR = 900.0
# No cell of the book writes a tenth of this; a page that held more would not open on a telephone.
OUTPUT = 10_000_000
TAIL = 500  # characters of what a stopped cell wrote last, for the message
TICK = 1.0  # seconds that this process was awake, so that a suspended machine adds nothing to a silence
START = 300  # seconds for a kernel to start: imports are slow on a cold disk
LATE = 60  # seconds that the last outputs of a cell may come after its end, under load; nbclient's 4 may lose them


class LimitExceeded(CellTimeoutError):
    """A cell was stopped at a limit; the message says which, and what the cell wrote last."""


class LimitedClient(NotebookClient):
    """Runs a notebook within the limits; `metadata.seconds` is how long it took, and is there only if all cells ran.

    Attributes:
        stopped: an event that ends the run as a limit does.
        reason: why a cell was stopped; empty while none is.
    """

    def __init__(self, nb: NotebookNode, *, forked: bool = True, **options: Any) -> None:
        """Make a client for a notebook.

        Args:
            nb: what is run.
            forked: whether its kernel is forked (:mod:`forked_kernels`); a single one is started sooner anew.
            options: nbclient's.
        """
        chosen = {"startup_timeout": START, "iopub_timeout": LATE, "shutdown_kernel": "immediate"}
        super().__init__(nb, **{**options, **chosen})
        self._forked = forked
        self.stopped = threading.Event()
        self.reason = ""
        self._messages, self._written, self._last = 0, 0, ""

    def create_kernel_manager(self) -> KernelManager:
        """Make the manager of a kernel."""
        manager = super().create_kernel_manager()
        if self._forked:
            manager.provisioner = ForkingProvisioner(parent=manager, kernel_spec=manager.kernel_spec)
        return manager

    def execute(self, *args: Any, **options: Any) -> NotebookNode:
        """Run all cells in place; the options are those of a start of a kernel."""
        start = time.monotonic()
        self.nb.metadata.pop("seconds", None)
        super().execute(*args, **options)
        self.nb.metadata["seconds"] = round(time.monotonic() - start, 1)
        return self.nb

    async def async_execute_cell(self, cell: NotebookNode, cell_index: int, *args: Any, **options: Any) -> NotebookNode:
        """Run a cell within the limits.

        Raises:
            LimitExceeded: at one of them; the message is the last output of the cell too, as an error.
        """
        self._messages, self._written, self._last = 0, 0, ""
        watch = asyncio.ensure_future(self._watch())
        try:
            await super().async_execute_cell(cell, cell_index, *args, **options)
        except DeadKernelError:
            if not self.reason:
                raise
        finally:
            watch.cancel()
        if self.reason:
            last = f"; it wrote last:\n{self._last[-TAIL:].strip()}" if self._last.strip() else "; it wrote nothing"
            message = f"cell {cell_index + 1} {self.reason}{last}"
            if self._written > OUTPUT:
                cell.outputs = []
            cell.outputs.append(new_output("error", ename="LimitExceeded", evalue=message, traceback=[message]))
            raise LimitExceeded(message)
        return cell

    def process_message(self, msg: dict[str, Any], cell: NotebookNode, cell_index: int) -> NotebookNode | None:
        """Take a message of the kernel, and count it."""
        if msg["msg_type"] not in ("status", "execute_input"):
            said = str(msg["content"].get("text", msg["content"]))
            self._messages += 1
            self._written += len(said)
            self._last = (self._last + said)[-2 * TAIL :]
            if self._written > OUTPUT:  # here and not in the watch, which a flood of messages keeps from its turn
                self.reason = f"wrote more than {OUTPUT:,} characters"
                raise CellExecutionComplete
        return super().process_message(msg, cell, cell_index)

    async def _watch(self) -> None:
        """Look at the kernel once a second while a cell runs; end it at a limit, which ends the cell."""
        assert self.km is not None and isinstance(self.km.provisioner, LocalProvisioner)
        kernel = psutil.Process(self.km.provisioner.pid)
        start = used = processor_time(kernel)
        seen, silent = self._messages, 0.0
        while not self.reason:
            await asyncio.sleep(TICK)
            before, used = used, processor_time(kernel)
            works = self._messages > seen or used - before > WORKING * TICK
            seen, silent = self._messages, 0.0 if works else silent + TICK
            if silent >= SILENCE:
                self.reason = f"neither computed nor wrote anything for {SILENCE:.0f} s"
            elif used - start > PROCESSOR:
                self.reason = f"took more than {PROCESSOR:.0f} s of processor time"
            elif self.stopped.is_set():
                self.reason = "was stopped together with the build"
        await ensure_async(self.km.shutdown_kernel(now=True))


def processor_time(process: psutil.Process) -> float:
    """Return the seconds of processor time that a process and those it started have taken; 0 when it is gone."""
    total = 0.0
    try:
        for one in (process, *process.children(recursive=True)):
            total += sum(one.cpu_times()[:4])  # its own in the program and in the system, and those of ended children
    except psutil.NoSuchProcess:
        pass
    return total
