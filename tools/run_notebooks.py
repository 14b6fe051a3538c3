"""Run under nbmake every notebook that has no outputs yet, and leave what it wrote for the book to show.

Cells that need a published model which is not in the cache are left out.

The copies that are run lie in `.executed`, with their outputs; those of the notebooks that passed go where `make book`
looks for them, so that the pages show the run that passed, and nothing is run twice. Words on the command line go to
pytest.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat

from notebooks import ROOT, notebooks

sys.path.insert(0, str(ROOT / "book" / "_ext"))
from fetched_cells import to_run
from stored_outputs import FOLDER, Chapter, expected, read, save

TOOLS = Path(__file__).resolve().parent
NBMAKE = ["--nbmake", "--nbmake-timeout=0", "-p", "nbmake_limits", "--overwrite"]  # 0: no limit but ours


def copies(root: Path, chapters: list[Chapter]) -> dict[Path, Chapter]:
    """Write what is to be run of the chapters to `.executed`; return the path of each, from the root."""
    shutil.rmtree(root / ".executed", ignore_errors=True)
    made = {Path(".executed") / chapter.path.relative_to(root): chapter for chapter in chapters}
    for copy, chapter in made.items():
        (root / copy).parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(to_run(chapter.notebook, chapter.out), root / copy)
    return made


def run(root: Path, sources: list[Path], options: list[str]) -> int:
    """Run the notebooks that have no outputs and store those of the ones that pass; return pytest's code."""
    folder = root / "_build" / FOLDER
    chapters = [chapter for path in sources if (chapter := read(root, path)) is not None]
    lasts = expected(root)
    missing = [chapter for chapter in chapters if not (folder / chapter.name).exists()]
    made = copies(root, sorted(missing, key=lambda chapter: -lasts.get(chapter.path.stem, 0.0)))  # the longest first
    if not made:
        return 0
    search = os.pathsep.join(path for path in (str(TOOLS), os.environ.get("PYTHONPATH", "")) if path)
    # Paths from the root: pytest would take a bracket above it for the parameters of a test.
    code = subprocess.call(
        [sys.executable, "-m", "pytest", *options, *NBMAKE, *map(str, made)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": search},
    )
    for copy, chapter in made.items():
        executed = nbformat.read(root / copy, as_version=4)
        if "seconds" in executed.metadata:  # all of its cells ran
            save(folder, chapter.name, executed)
    return code


if __name__ == "__main__":
    sys.exit(run(ROOT, notebooks(ROOT), sys.argv[1:]))
