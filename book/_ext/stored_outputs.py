"""The outputs of each notebook, in files whose names say what they were made from: ``<stem>-<key>.ipynb``.

The key is a hash over the notebook's code cells, which of them are left out (:mod:`fetched_cells`), the files that this
code depends on (:mod:`closure`) and ``requirements.txt``. Text is not part of it: a page is made of today's cells with
the outputs of the code.
"""

import json
import os
import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import NamedTuple

import nbformat
from myst_nb.core.config import NbParserConfig
from myst_nb.core.read import create_nb_reader
from myst_parser.config.main import MdParserConfig
from nbformat import NotebookNode

from closure import closure, fingerprint
from fetched_cells import NOT_RUN, LeftOut, left_out, to_run

FOLDER = "outputs"  # beside the pages
MEASURED = Path("benchmarks", "results", "pages.json")
TAGS = ("raises-exception", NOT_RUN)  # of a cell: those that change what its run leaves
MADE = ("language_info", "widgets")  # of a notebook: the metadata that its run writes
NAME = re.compile(r"(.+)-[0-9a-f]{16}\.ipynb")
EXERCISE, SOLUTION = re.compile(r'^exercise\("', re.MULTILINE), "hide-cell"  # a line of code; a tag


class Chapter(NamedTuple):
    """A page with code.

    Attributes:
        path: its file.
        notebook: its cells as they are written.
        name: of the file with its outputs.
        out: its cells that are left out of a run, because what they need is not in the cache.
    """

    path: Path
    notebook: NotebookNode
    name: str
    out: LeftOut


def read(root: Path, path: Path) -> Chapter | None:
    """Return the page in a file, or None where it has no code to run.

    Raises:
        ValueError: when a cell's tag names nothing that can be fetched.
    """
    text = path.read_text(encoding="utf-8")
    # colon_fence: what stands inside a fence is no cell of the page
    reader = create_nb_reader(str(path), MdParserConfig(enable_extensions={"colon_fence"}), NbParserConfig(), text)
    if reader is None:
        return None
    notebook = reader.read(text)
    try:
        out = left_out(notebook)
    except ValueError as error:
        raise type(error)(f"{path}: {error}") from None
    return Chapter(path, notebook, f"{path.stem}-{key(root, notebook, out)}.ipynb", out)


def chapters(root: Path) -> list[Chapter]:
    """Return every page of the book that has code to run."""
    paths = sorted(path for end in ("ipynb", "md") for path in (root / "book").rglob(f"*.{end}"))
    inside = [path for path in paths if not any(p.startswith((".", "_")) for p in path.relative_to(root).parts)]
    return [chapter for path in inside if (chapter := read(root, path)) is not None]


def key(root: Path, notebook: NotebookNode, out: LeftOut) -> str:
    """Return the hash of all that the outputs of a notebook depend on."""
    cells = [(cell.source, run_tags(cell)) for cell in code(to_run(notebook, out))]
    files = [*closure(root, [source for source, _ in cells]), root / "requirements.txt"]
    return fingerprint(root, [json.dumps(cells)], files)


def run_tags(cell: NotebookNode) -> list[str]:
    """Return the tags of a cell that change what its run leaves."""
    return [tag for tag in TAGS if tag in cell.metadata.get("tags", [])]


def code(notebook: NotebookNode) -> Iterator[NotebookNode]:
    """Yield the code cells of a notebook."""
    return (cell for cell in notebook.cells if cell.cell_type == "code")


def save(folder: Path, name: str, executed: NotebookNode) -> None:
    """Write an executed notebook, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{name}.partial"
    partial.write_text(nbformat.writes(executed), encoding="utf-8")
    os.replace(partial, folder / name)


def is_exercise(cell: NotebookNode) -> bool:
    """Whether a cell is an exercise as its reader finds it."""
    return bool(EXERCISE.search(cell.source)) and SOLUTION not in cell.metadata.get("tags", [])


def shown(written: NotebookNode, executed: NotebookNode) -> NotebookNode:
    """Return the cells as they are written, with the outputs of an executed notebook of the same code.

    An exercise has none: what its check says before a reader has done it is no answer to anybody.
    """
    page = deepcopy(written)
    for cell, run in zip(code(page), code(executed), strict=True):
        cell.outputs = [] if is_exercise(cell) else run.outputs
        cell.execution_count = run.get("execution_count")
    page.metadata |= {name: executed.metadata[name] for name in MADE if name in executed.metadata}
    return page


def seconds(folder: Path) -> dict[str, float]:
    """Return how long the notebooks took when they were run last, by their stems."""
    found = {}
    for path in sorted(folder.glob("*.ipynb"), key=lambda path: path.stat().st_mtime):
        if name := NAME.fullmatch(path.name):
            found[name[1]] = nbformat.read(path, as_version=4).metadata.get("seconds", 0.0)
    return found


def expected(root: Path) -> dict[str, float]:
    """Return how long the notebooks of a book will take, by their stems: as they did here, or as they were measured."""
    measured = root / MEASURED
    found = json.loads(measured.read_text(encoding="utf-8")) if measured.exists() else {}
    before: dict[str, float] = found.get("notebook_seconds", {})
    return before | seconds(root / "_build" / FOLDER)


def keep_only(folder: Path, names: set[str]) -> None:
    """Remove the outputs that no page shows."""
    for path in folder.glob("*.ipynb"):
        if path.name not in names:
            path.unlink()
