"""Node, as the Makefile finds it: the machine's, or the one in the environment where that is missing or old."""

import os
import subprocess
import sys
from pathlib import Path

PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def run_node(*arguments: str | Path) -> str:
    """Run ``node`` with these arguments and return what it writes."""
    command = ["node", *map(str, arguments)]
    return subprocess.run(command, env={**os.environ, "PATH": PATH}, capture_output=True, check=True).stdout.decode()
