"""A real JupyterLab over a folder, with settings of its own and nothing of the user's: for tests and benchmarks."""

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
OPTIONS = ("--no-browser", "--ServerApp.ip=127.0.0.1", "--LabApp.news_url=", "--LabApp.check_for_updates_class=")
# It would ask whether to fetch news, above the notebook.
QUIET = {"apputils-extension/notification": {"fetchNews": "false"}}


@contextlib.contextmanager
def jupyterlab(folder: Path, settings: Mapping[str, Any]) -> Iterator[Callable[[str], str]]:
    """Serve a folder; yield what returns the address of a notebook by its path in there.

    Settings are those of JupyterLab's own plug-ins, by names such as ``notebook-extension/tracker``.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    token = secrets.token_hex(16)
    options = [
        f"--ServerApp.port={port}",
        f"--IdentityProvider.token={token}",
        f"--ServerApp.root_dir={folder}",
        *OPTIONS,
    ]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.append("--allow-root")
    for name, values in {**QUIET, **settings}.items():
        path = folder / ".settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values), encoding="utf-8")
    own = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
    }
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        **{name: str(folder / f".{part}") for name, part in own.items()},
    }
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    command = [sys.executable, "-m", "jupyterlab", *options]
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(ATTEMPTS):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/api?token={token}"):
                break
            time.sleep(PAUSE)
        yield lambda name: f"http://127.0.0.1:{port}/lab/tree/{name}?token={token}&reset"
    finally:
        server.terminate()
        server.wait(30)
