"""Run the made notebooks as Colab does, and the live widget in a front end that speaks the protocol of Colab's widgets.

`make colab`, after `make book`. The environment `.colab` has the versions that Colab brings (`colab.txt`); Colab has
Python 3.13, which `make colab PYTHON=python3.13` names. Each time an empty one is laid over it, and there the first
cell of the notebooks installs the package, as a reader's Colab does: with pip and git, the working tree standing in for
the repository. Words after the name of the Python go to the pytest that runs the notebooks.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import nbformat

from notebooks import ROOT
from run_notebooks import NBMAKE, TOOLS
from stand_in import clone_of_working_tree, instead_of_address
from step import StepError, run

COLAB = ROOT / ".colab"
VERSIONS = TOOLS / "colab.txt"
MADE = ROOT / "_build" / "notebooks" / "book"
LOGS = ROOT / "_build" / "logs"


def environment(python: str) -> Path:
    """Make `.colab` where it is missing or older than the versions; return its Python."""
    own, ready = COLAB / "bin" / "python", COLAB / ".ready"
    if not ready.exists() or ready.stat().st_mtime < VERSIONS.stat().st_mtime:
        run("Creating .colab", [python, "-m", "venv", "--clear", str(COLAB)], LOGS / "colab_venv.log")
        pip = [str(own), "-m", "pip", "--disable-pip-version-check", "install", "--no-input", "--progress-bar", "off"]
        run("Installing Colab's versions (some minutes)", [*pip, "-r", str(VERSIONS)], LOGS / "colab_packages.log")
        ready.touch()
    return own


def laid_over(base: Path, folder: Path) -> Path:
    """Make an environment that sees the packages of another and has none; return the place of its kernel."""
    subprocess.run([str(base), "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    (site(python) / "below.pth").write_text(f"{site(base)}\n", encoding="utf-8")
    kernel = {
        "argv": [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": "Python 3",
        "language": "python",
        "env": {"PYTHONPATH": ""},
    }
    place = folder / "share" / "jupyter"
    (place / "kernels" / "python3").mkdir(parents=True)
    (place / "kernels" / "python3" / "kernel.json").write_text(json.dumps(kernel), encoding="utf-8")
    return place


def site(python: Path) -> Path:
    """Return the folder in which an environment has its packages."""
    find = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    return Path(subprocess.run(find, capture_output=True, text=True, check=True).stdout.strip())


def first_cell(made: Sequence[Path], folder: Path) -> Path:
    """Write a notebook of the first code cell of a chapter alone, which installs the package; return its path."""
    cells = nbformat.read(made[0], as_version=4).cells
    bootstrap = next(cell for cell in cells if cell.cell_type == "code")
    nbformat.write(nbformat.v4.new_notebook(cells=[bootstrap]), folder / "first_cell.ipynb")
    return folder / "first_cell.ipynb"


def names(lines: str) -> set[str]:
    """Return the packages that lines such as ``name==version`` pin, as the index spells them."""
    return {re.sub("[-_.]+", "-", name).lower() for name in re.findall(r"^([\w.-]+)==", lines, re.MULTILINE)}


def replaced(python: Path) -> set[str]:
    """Return what of Colab's an environment that was laid over it has in another version."""
    listing = [str(python), "-m", "pip", "list", "--format=freeze", "--path", str(site(python))]
    found = subprocess.run(listing, capture_output=True, text=True, check=True).stdout
    return names(found) & names(VERSIONS.read_text(encoding="utf-8"))


def pytest(options: Sequence[str], variables: Mapping[str, str]) -> int:
    """Run pytest with a few more variables; return its code."""
    search = {"PYTHONPATH": str(TOOLS)}
    return subprocess.call(
        [sys.executable, "-m", "pytest", *options], cwd=ROOT, env={**os.environ, **search, **variables}
    )


def main(python: str, *options: str) -> int:
    """Install as a reader does, drive the widget, run the notebooks; return 0 when all of it passed."""
    made = sorted(MADE.rglob("*.ipynb"))
    if not made:
        raise SystemExit(f"there are no notebooks in {MADE}: run 'make book' first")
    try:
        base = environment(python)
    except StepError as error:
        raise SystemExit(str(error)) from None
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        kernel = laid_over(base, folder / "reader")
        stand_in = instead_of_address(clone_of_working_tree(folder / "clone"))
        variables = {**stand_in, "JUPYTER_PATH": str(kernel), "COLAB_PYTHON": str(base)}
        code = pytest([*NBMAKE, str(first_cell(made, folder))], variables)
        if code:
            return code
        if changed := replaced(folder / "reader" / "bin" / "python"):
            raise SystemExit(f"the first cell replaced packages of Colab's: {', '.join(sorted(changed))}")
        code = pytest(["-m", "colab", "tests/browser"], variables)
        ran = shutil.copytree(MADE, folder / "made")
        return pytest([*NBMAKE, "--durations=10", *options, str(ran)], variables) or code


if __name__ == "__main__":
    sys.exit(main(shutil.which(sys.argv[1]) or sys.argv[1], *sys.argv[2:]))
