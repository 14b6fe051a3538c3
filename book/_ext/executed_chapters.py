"""Run what has no outputs yet, and show the outputs on the pages.

Before Sphinx reads a page its notebook is executed, unless a file of :mod:`stored_outputs` has the outputs of this code
and of the package as it is; a page is read again when these change. Several notebooks run at a time, each within
:mod:`cell_limits`. One that fails is run once: its page shows how far it came, all others are whole, and the build fails.
Cells that need a published model which is not in the cache are left out (:mod:`fetched_cells`).
`tools/run_notebooks.py` fills the same store from a run under nbmake, and an address in ``outputs_address``, or in the
variable OUTPUTS, names outputs from elsewhere (:mod:`shared_outputs`).
"""

import json
import os
import re
from pathlib import Path
from typing import Any

import nbformat
from docutils import nodes
from nbformat import NotebookNode
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

from closure import closure_of, fingerprint, forget
from fetched_cells import put_boxes, with_empty_figures
from package_map import modules
from shared_outputs import NotFetched, unpack
from side_by_side import Failure, run_all
from stored_outputs import FOLDER, Chapter, keep_only, read, shown
from words import word

FAILED = "failed.json"  # beside the pages: what the command that builds them says at its end
TITLE, REST = "This chapter did not run to its end", "Cell {cell} of {cells} failed; what follows it has no outputs."
WORDS = (TITLE, REST)

logger = logging.getLogger(__name__)


class Chapters:
    """The pages with code of one build, and those whose run failed in it."""

    def __init__(self) -> None:
        """Begin without any."""
        self.found: dict[str, Chapter] = {}
        self.failed: dict[str, tuple[Failure, NotebookNode]] = {}

    def find(self, app: Sphinx, env: BuildEnvironment, *_changes: set[str]) -> list[str]:
        """Find the pages with code; return those whose outputs are not the ones that were read last."""
        forget()
        root, folder = Path(app.srcdir), store(app)
        for docname in sorted(env.found_docs):
            if (chapter := read(root, Path(env.doc2path(docname)))) is not None:
                self.found[docname] = chapter
        # An executed page comes to myst-nb as a notebook file, whatever it is written in.
        reader: tuple[str, dict[str, Any], bool] = ("myst_nb.core.read.standard_nb_read", {}, False)
        formats = {str(one.path): reader for one in self.found.values()}
        app.env.mystnb_config = app.env.mystnb_config.copy(custom_formats=formats)  # type: ignore[attr-defined]
        missing = [one for one in self.found.values() if not (folder / one.name).exists()]
        if address := os.environ.get("OUTPUTS") or app.config.outputs_address:
            take(str(address), folder, missing)
        last = getattr(env, "shown_outputs", {})
        now = {name: state(folder, one) for name, one in self.found.items()}
        return [name for name, outputs in now.items() if outputs is None or outputs != last.get(name)]

    def execute(self, app: Sphinx, env: BuildEnvironment, docnames: list[str]) -> None:
        """Run the notebooks that are about to be read and have no outputs, and note what each page will show."""
        folder = store(app)
        chosen = {name: self.found[name] for name in docnames if name in self.found}
        missing = {name: one for name, one in chosen.items() if not (folder / one.name).exists()}
        if missing:
            logs = folder.parent / "logs"
            logs.mkdir(parents=True, exist_ok=True)
            with (logs / "kernels.log").open("wb") as log:
                self.failed = run_all(missing, folder, log)
        for name, (failure, notebook) in self.failed.items():
            text = "cell %d of %d failed: %s\n%s"
            told = "\n".join(f"    {line}" for line in failure.traceback.splitlines())
            logger.warning(
                text, failure.cell, len(notebook.cells), failure.error, told, location=name, type="execution"
            )
        told_last = [
            {"chapter": name, "cell": failure.cell, "error": failure.error}
            for name, (failure, _) in self.failed.items()
        ]
        summary = {"chapters": len(self.found), "failed": told_last}
        (folder.parent / FAILED).write_text(json.dumps(summary), encoding="utf-8")
        noted = {name: state(folder, one) for name, one in chosen.items()}
        env.shown_outputs = getattr(env, "shown_outputs", {}) | noted  # type: ignore[attr-defined]

    def show(self, app: Sphinx, docname: str, source: list[str]) -> None:
        """Put the outputs into the text of a page, before it is parsed."""
        if docname in self.found:
            failed = docname in self.failed
            page = with_box(*self.failed[docname]) if failed else self.whole(app, docname)
            source[0] = nbformat.writes(with_empty_figures(page, self.found[docname].out))

    def whole(self, app: Sphinx, docname: str) -> NotebookNode:
        """Return the cells of a page, with the outputs of its run."""
        chapter = self.found[docname]
        return shown(chapter.notebook, nbformat.read(store(app) / chapter.name, as_version=4))

    def leave_out(self, app: Sphinx, doctree: nodes.document, docname: str) -> None:
        """Put boxes in the place of the cells that are left out of a page about to be written."""
        if docname in self.found:
            put_boxes(doctree, self.found[docname].out)

    def tidy(self, app: Sphinx, error: Exception | None) -> None:
        """Remove the outputs of earlier states after a build in which nothing failed."""
        if error is None and not self.failed:
            keep_only(store(app), {chapter.name for chapter in self.found.values()})


def page_shown(app: Sphinx, docname: str) -> NotebookNode | None:
    """Return the cells of a page with code and their outputs; None for any other page, and where the run failed."""
    chapters: Chapters = app.chapters  # type: ignore[attr-defined]
    return chapters.whole(app, docname) if docname in chapters.found and docname not in chapters.failed else None


def store(app: Sphinx) -> Path:
    """Return the folder of the outputs."""
    return Path(app.outdir).parent / FOLDER


def state(folder: Path, chapter: Chapter) -> str | None:
    """Return what tells the outputs of a page from all others; None when there are none."""
    path = folder / chapter.name
    return fingerprint(folder, [], [path]) if path.exists() else None


def take(address: str, folder: Path, missing: list[Chapter]) -> None:
    """Store the missing outputs that a file elsewhere has, and say how many these are."""
    if not missing:
        return
    try:
        count = unpack(address, folder, missing)
    except NotFetched as error:
        logger.info("▸ No outputs from %s, so all are made here: %s", address, error)
    else:
        logger.info("▸ Outputs of %d of %d chapters come from %s", count, len(missing), address)


def with_box(failure: Failure, notebook: NotebookNode) -> NotebookNode:
    """Return a notebook that stopped, with a box below its title that says where and why."""
    longest = max((len(run) for run in re.findall("`+", failure.error)), default=0)
    inner, outer = "`" * max(3, longest + 1), "`" * max(4, longest + 2)
    rest = word(REST).format(cell=failure.cell, cells=len(notebook.cells))
    box = [f"{outer}{{admonition}} {word(TITLE)}", ":class: error", "", rest, ""]
    box += [f"{inner}text", failure.error, inner, outer]
    first = notebook.cells[0]
    if first.cell_type == "markdown":
        title, _, below = first.source.partition("\n")
        first.source = "\n".join([title, "", *box, "", below])
    else:
        notebook.cells.insert(0, nbformat.v4.new_markdown_cell("\n".join(box)))
    return notebook


def note_equations(app: Sphinx, doctree: nodes.document) -> None:
    """Note that a page shows the checks of its equations: it is read again when what they compute changes."""
    root = Path(app.srcdir)
    labels = {block["label"] for block in doctree.findall(nodes.math_block) if block.get("label")}
    names = [name for name, module in modules(root).items() if module.gathered and module.labels & labels]
    for path in closure_of(root, names):
        app.env.note_dependency(str(path))


def note_extensions(app: Sphinx, config: Config) -> None:
    """Make the extensions of the book part of the configuration: when one changes, every page is read again."""
    root = Path(app.srcdir)
    found = sorted((root / "book" / "_ext").rglob("*"))
    sources = [path for path in found if path.is_file() and "__pycache__" not in path.parts]
    config.book_extensions_fingerprint = fingerprint(root, [], sources)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.setup_extension("words")
    app.add_config_value("book_extensions_fingerprint", "", "env", [str])
    app.add_config_value("outputs_address", "", "", [str])
    app.chapters = chapters = Chapters()  # type: ignore[attr-defined]
    app.connect("config-inited", note_extensions)
    app.connect("env-get-outdated", chapters.find)
    app.connect("env-before-read-docs", chapters.execute)
    app.connect("source-read", chapters.show)
    app.connect("doctree-read", note_equations)
    app.connect("doctree-resolved", chapters.leave_out, priority=950)  # plain_notebooks takes the whole page before
    app.connect("build-finished", chapters.tidy)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
