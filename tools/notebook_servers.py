"""Real notebook servers over a folder, with settings of their own and nothing of the user's: for tests and benchmarks.

JupyterLab, Notebook 7, and the classic notebook of another environment.
"""

import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

ATTEMPTS, PAUSE = 240, 0.5  # to reach the server, and seconds between them
NO_NEWS = ("--LabApp.news_url=", "--LabApp.check_for_updates_class=")
# It would ask whether to fetch news, above the notebook.
QUIET = {"apputils-extension/notification": {"fetchNews": "false"}}

Address = Callable[[str], str]  # of a notebook, by its path in the folder


@contextlib.contextmanager
def jupyterlab(folder: Path, settings: Mapping[str, Any]) -> Iterator[Address]:
    """Serve a folder; settings are those of JupyterLab's plug-ins, by names such as ``notebook-extension/tracker``."""
    with labs(folder, settings, "jupyterlab", "lab/tree/{}?reset&") as address:
        yield address


@contextlib.contextmanager
def notebook_7(folder: Path, settings: Mapping[str, Any]) -> Iterator[Address]:
    """Serve a folder; settings are those of JupyterLab's plug-ins, of which Notebook 7 is made."""
    with labs(folder, settings, "notebook", "notebooks/{}?") as address:
        yield address


@contextlib.contextmanager
def labs(folder: Path, settings: Mapping[str, Any], program: str, place: str) -> Iterator[Address]:
    """Serve a folder with a program that is made of JupyterLab's parts."""
    for name, values in {**QUIET, **settings}.items():
        path = folder / ".settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values), encoding="utf-8")
    own = {"JUPYTERLAB_WORKSPACES_DIR": "workspaces", "JUPYTERLAB_SETTINGS_DIR": "settings"}
    environment = {name: str(folder / f".{part}") for name, part in own.items()}
    with server(folder, [sys.executable, "-m", program, *NO_NEWS], place, environment) as address:
        yield address


@contextlib.contextmanager
def classic_notebook(folder: Path, python: Path) -> Iterator[Address]:
    """Serve a folder with the Notebook 6 of the environment to which ``python`` belongs."""
    with server(folder, [str(python), "-m", "notebook"], "notebooks/{}?", {"PYTHONPATH": ""}) as address:
        yield address


@contextlib.contextmanager
def server(folder: Path, program: list[str], place: str, environment: Mapping[str, str]) -> Iterator[Address]:
    """Serve a folder, with ``environment`` added to this process's; a place is where a notebook is on the server."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    token = secrets.token_hex(16)
    root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    surroundings = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "JUPYTER_CONFIG_DIR": str(folder / ".config"),
        "JUPYTER_TOKEN": token,
        "PATH": f"{Path(program[0]).parent}{os.pathsep}{os.environ['PATH']}",
        **environment,
    }
    process = subprocess.Popen(
        [*program, "--no-browser", "--ip=127.0.0.1", f"--port={port}", *root],
        cwd=folder,
        env=surroundings,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(ATTEMPTS):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/api?token={token}"):
                break
            time.sleep(PAUSE)
        yield lambda name: f"http://127.0.0.1:{port}/{place.format(name)}token={token}"
    finally:
        process.terminate()
        process.wait(30)
