"""Run every notebook under nbmake, once, and leave what it wrote for the book to show.

The copies that are run lie in `.executed`, with their outputs; `make book` finds those in its cache, so that the
pages show the run that passed, and nothing is run twice. Words on the command line go to pytest.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
from jupyter_cache import get_cache
from nbformat import NotebookNode

from notebooks import ROOT, notebooks

sys.path.insert(0, str(ROOT / "book" / "_ext"))
from execution_cache import cache_folder, remember

TIMEOUT = 300  # seconds a cell


def copies(root: Path, sources: list[Path]) -> dict[Path, Path]:
    """Copy the notebooks to `.executed`; return copy -> source."""
    folder = root / ".executed"
    shutil.rmtree(folder, ignore_errors=True)
    made = {folder / source.relative_to(root): source for source in sources}
    for copy, source in made.items():
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, copy)
    return made


def run(root: Path, sources: list[Path], options: list[str]) -> int:
    """Run the notebooks and, when all passed, put their outputs into the cache of the book; return pytest's code."""
    made = copies(root, sources)
    nbmake = ["--nbmake", f"--nbmake-timeout={TIMEOUT}", "--overwrite"]
    code = subprocess.call([sys.executable, "-m", "pytest", *options, *nbmake, *map(str, made)], cwd=root)
    if code == 0:
        folder = cache_folder(root, root / "_build")
        folder.parent.mkdir(parents=True, exist_ok=True)
        cache = get_cache(folder)
        for copy, source in made.items():
            remember(cache, source, as_in_source(nbformat.read(copy, as_version=4), source))
    return code


def as_in_source(executed: NotebookNode, source: Path) -> NotebookNode:
    """Return an executed notebook with no metadata but its source's: the cache's key hangs on that, not on outputs."""
    written = nbformat.read(source, as_version=4)
    executed.metadata.kernelspec = written.metadata.kernelspec
    for cell, own in zip(executed.cells, written.cells, strict=True):
        cell.metadata = own.metadata
    return executed


if __name__ == "__main__":
    sys.exit(run(ROOT, notebooks(ROOT), sys.argv[1:]))
