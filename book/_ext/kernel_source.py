"""A process that has imported what most chapters import, and forks: each kernel begins where it stands.

Run as a program, with the number of a socket. Each message on it is a kernel to start: the arguments, the folder and the
environment as JSON, and a descriptor for its standard error. The answer is the number of the process. It ends when the
socket is closed, and its kernels end after it. :mod:`forked_kernels` is its other side.
"""

import gc
import json
import os
import signal
import socket
import sys
from contextlib import suppress
from importlib import import_module
from typing import NoReturn

IMPORTED = (  # none starts a thread or touches a device
    "ipykernel.kernelapp", "ipykernel.ipkernel", "ipywidgets", "numpy", "matplotlib.pyplot",
    "matplotlib_inline.backend_inline", "torch", "torch._dynamo", "safetensors.torch", "tokenizers", "transformers",
)  # fmt: skip
DRAWING = {"torch": "seed", "numpy.random": "seed"}  # modules, and what gives each another beginning
LONGEST = 2**18  # of a message, in bytes: an environment may be long


def serve(requests: socket.socket) -> None:
    """Fork a kernel for each message, until there is no other side."""
    while True:
        message, descriptors, _, _ = socket.recv_fds(requests, LONGEST, 1)
        if not message:
            return
        pid = os.fork()
        if not pid:
            requests.close()
            become_kernel(**json.loads(message), error=descriptors[0])
        os.close(descriptors[0])
        requests.send(str(pid).encode())


def become_kernel(arguments: list[str], folder: str, environment: dict[str, str], error: int) -> NoReturn:
    """Run a kernel in this process, to its end.

    Args:
        arguments: of the kernel's command, without the program.
        folder: that it runs in.
        environment: all of its variables.
        error: descriptor of its standard error.
    """
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.dup2(error, sys.stderr.fileno())
    os.close(error)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv[:] = ["ipykernel_launcher.py", *arguments]
    for name, seed in DRAWING.items():
        if module := sys.modules.get(name):
            getattr(module, seed)()  # or two kernels would draw the same numbers
    from ipykernel.kernelapp import launch_new_instance

    launch_new_instance()
    sys.exit()


def main() -> None:
    """Import, and serve."""
    del sys.path[0]  # the folder of this file, which a kernel must not see
    # Read when they are imported: ipykernel ends with the process of this number, and sets the other in a kernel.
    os.environ |= {"JPY_PARENT_PID": str(os.getpid()), "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    for name in IMPORTED:
        with suppress(ImportError):  # a chapter that needs it says so
            import_module(name)
    gc.collect()
    gc.freeze()  # what a kernel shares is not written to by its collections
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # so that no ended kernel stays as a zombie
    serve(socket.socket(fileno=int(sys.argv[1])))


if __name__ == "__main__":
    main()
