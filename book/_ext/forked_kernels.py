"""Kernels that are forked from a process with all imports (:mod:`kernel_source`), on Linux.

To import torch and matplotlib takes two to three seconds of processor time, in each of forty chapters. A forked kernel
has an empty namespace, a folder and an environment of its own, as any other has; it only finds the libraries in memory.
"""

import atexit
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import psutil
from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

PROGRAM = Path(__file__).with_name("kernel_source.py")
MODULE = "ipykernel_launcher"
OF_THE_RUN = ("PYTEST_", "JPY_")  # variables that differ between kernels and matter to no import

_sources: list["Source"] = []  # none, or one
_turn = threading.Lock()


class Forked(psutil.Process):  # type: ignore[misc]  # psutil says no types
    """A kernel's process as :class:`subprocess.Popen` would give it, though it is the child of another."""

    stdin = stdout = stderr = None

    def poll(self) -> int | None:
        """None while it runs; then 1, as its own code is known to its parent alone."""
        try:
            return None if self.is_running() and self.status() != psutil.STATUS_ZOMBIE else 1
        except psutil.NoSuchProcess:  # it ended between the two questions
            return 1


class Source:
    """The other side of a :mod:`kernel_source`."""

    def __init__(self, environment: dict[str, str]) -> None:
        """Start it with an environment."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.environment = for_imports(environment)
        self._turn = threading.Lock()
        self._requests = ours
        with theirs:
            theirs.set_inheritable(True)
            command = [sys.executable, str(PROGRAM), str(theirs.fileno())]
            self._process = subprocess.Popen(
                command, env=environment, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, start_new_session=True
            )

    def fork(self, arguments: list[str], folder: str, environment: dict[str, str], error: int) -> Forked:
        """Start a kernel; see :func:`kernel_source.become_kernel`.

        Raises:
            OSError: when the source is gone.
        """
        told = {"arguments": arguments, "folder": folder, "environment": environment}
        with self._turn:
            socket.send_fds(self._requests, [json.dumps(told).encode()], [error])
            answer = self._requests.recv(64)
        if not answer:
            raise ConnectionResetError("the process that forks kernels has ended")
        return Forked(int(answer))

    def close(self) -> None:
        """End it."""
        self._requests.close()
        self._process.wait()


class ForkingProvisioner(LocalProvisioner):
    """Starts kernels as :class:`LocalProvisioner` does, but from the source where that gives the same."""

    async def launch_kernel(self, cmd: list[str], **options: Any) -> KernelConnectionInfo:
        """Fork the kernel, or start it anew where another program or another environment is asked for."""
        environment, error = dict(options.get("env") or os.environ), options.get("stderr")
        if sys.platform != "linux" or cmd[0] != sys.executable or MODULE not in cmd:
            return await super().launch_kernel(cmd, **options)
        source = source_of_kernels(environment)
        if source.environment != for_imports(environment):
            return await super().launch_kernel(cmd, **options)
        arguments, folder = cmd[cmd.index(MODULE) + 1 :], str(options.get("cwd") or os.getcwd())
        descriptor = 2 if error is None else error.fileno()
        self.process = source.fork(arguments, folder, environment, descriptor)
        self.pid = self.pgid = self.process.pid
        self.cwd = folder
        return self.connection_info


def source_of_kernels(environment: dict[str, str]) -> Source:
    """The one source of this process, started with an environment if it is the first time."""
    with _turn:
        if not _sources:
            _sources.append(Source(environment))
        return _sources[0]


def end_source() -> None:
    """End the source, and free the memory that it holds."""
    with _turn:
        while _sources:
            _sources.pop().close()


def for_imports(environment: dict[str, str]) -> dict[str, str]:
    """Variables of an environment that an import may have read."""
    return {name: value for name, value in environment.items() if not name.startswith(OF_THE_RUN)}


atexit.register(end_source)
