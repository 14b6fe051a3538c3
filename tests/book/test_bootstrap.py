"""The bootstrap cell, unmodified: a fresh environment, an empty folder, no network.

The environment borrows the installed packages (torch and the others) and lacks only the book's own. A local clone
of the working tree, uncommitted edits included, stands in for the repository's address.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

import nbformat
import pytest

from notebooks import ROOT, notebooks
from stand_in import clone_of_working_tree, instead_of_address, kept_files

pytestmark = pytest.mark.slow

EXECUTE = """\
import json, sys
import nbclient, nbformat

notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in json.load(sys.stdin)])
nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
print(json.dumps([cell.outputs for cell in notebook.cells]))
"""
WHERE = "import companion\n\nprint(companion.__file__)"


def fresh_environment(folder: Path) -> Path:
    """A virtual environment that sees every installed package but this one; return its Python."""
    subprocess.run([sys.executable, "-m", "venv", str(folder / "env")], check=True)
    python = folder / "env" / "bin" / "python"
    # Before 3.12 a new environment has a setuptools of its own, which would hide the newer one that torch asks for.
    subprocess.run([str(python), "-m", "pip", "uninstall", "--quiet", "--yes", "setuptools"], check=True)
    links = folder / "links"
    links.mkdir()
    for installed in Path(sysconfig.get_path("purelib")).iterdir():
        own = installed.name.lstrip("_").startswith(("large_language_models_live", "companion"))
        if not own and installed.suffix != ".pth" and not installed.name.startswith("pip"):
            (links / installed.name).symlink_to(installed)
    find = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = subprocess.run(find, capture_output=True, text=True, check=True).stdout.strip()
    (Path(site) / "borrowed.pth").write_text(f"{links}\n")
    return python


def execute(python: Path, repository_at: Path, *sources: str) -> subprocess.CompletedProcess[str]:
    """Run the cells in that environment's kernel, from an empty folder, with no package index."""
    folder = Path(python.parents[2], "empty")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    settings: Mapping[str, str] = {
        "IPYTHONDIR": str(folder.parent / "ipython"),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_BUILD_ISOLATION": "0",  # pip reads the variable as the value of "isolate", so 0 means: do not
        "PIP_NO_INDEX": "1",
    }
    inherited = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return subprocess.run(
        [str(python), "-c", EXECUTE],
        cwd=folder,
        env={**inherited, **instead_of_address(repository_at), **settings},
        input=json.dumps(sources),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.fixture(scope="module")
def bootstrap() -> str:
    """The cell as it stands in the first notebook of the book."""
    cells = nbformat.read(notebooks(ROOT)[0], as_version=4).cells
    return next(cell.source for cell in cells if cell.cell_type == "code")


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clone_of_working_tree(tmp_path_factory.mktemp("clone"))


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, clone: Path, bootstrap: str) -> tuple[Path, Path]:
    """An environment in which the cell has run once, and where the package then was."""
    python = fresh_environment(tmp_path_factory.mktemp("fresh"))
    result = execute(python, clone, bootstrap, WHERE)
    assert result.returncode == 0, result.stderr
    return python, Path(json.loads(result.stdout)[1][0]["text"].strip())


def test_it_installs_the_package_where_it_is_missing(installed: tuple[Path, Path]):
    python, package = installed
    assert package.is_relative_to(python.parents[1])


def test_the_installed_package_is_whole(installed: tuple[Path, Path]):
    _, package = installed
    missing = [
        name for name in kept_files() if name.startswith("companion/") and not (package.parents[1] / name).exists()
    ]
    assert missing == []


def test_it_is_silent_where_the_package_is_there(installed: tuple[Path, Path], clone: Path, bootstrap: str):
    result = execute(installed[0], clone, bootstrap, WHERE)
    assert result.returncode == 0, result.stderr
    outputs = json.loads(result.stdout)
    assert outputs[0] == []
    assert outputs[1][0]["text"].strip() == str(installed[1])


def test_a_failed_installation_is_seen(tmp_path: Path, bootstrap: str):
    result = execute(fresh_environment(tmp_path), tmp_path / "nowhere", bootstrap, WHERE)
    assert result.returncode != 0
    assert "No module named 'companion'" in result.stderr
