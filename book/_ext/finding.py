"""What the search finds first: the section of a chapter that teaches a term, under all names of the term.

The glossary's source says for each term which section teaches it. That section becomes an entry of the index under the
term's English, Chinese and further names, which the search ranks above what merely mentions them. How it weighs chapters
against the appendix is in `search_scorer.js`.

Sphinx stores what it has read before it writes, and collects headings and entries while it writes. So a build in which few
pages change would forget those of all others; here they are stored at the end of a build.
"""

import pickle
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import ENV_PICKLE_FILENAME, Sphinx
from sphinx.environment import BuildEnvironment

from glossary_terms import Term, load

TERMS = Path("book", "appendix", "terms.yml")
Entry = tuple[str, str, str, str, None]  # as Sphinx has it: kind, name, anchor, whether it is the main one, no category


def entries(terms: tuple[Term, ...]) -> dict[str, list[Entry]]:
    """Return the entries of each chapter's page."""
    found: dict[str, list[Entry]] = {}
    for term in terms:
        if term.chapter is not None:
            name, _, anchor = term.chapter.partition("#")
            names = (term.term, term.chinese, *term.also)
            found.setdefault(f"book/{name}", []).extend(("single", one, anchor, "main", None) for one in names)
    return found


def changed(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Note the entries of all pages; return the pages whose entries are not those that were written last."""
    path = Path(app.srcdir) / TERMS
    now = entries(load(path)) if path.exists() else {}
    last: dict[str, list[Entry]] = getattr(env, "entries_to_find", {})
    env.entries_to_find = now  # type: ignore[attr-defined]
    return [name for name in env.found_docs if now.get(name) != last.get(name)]


def add(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Add the entries to a page about to be written."""
    found: dict[str, list[Entry]] = app.env.entries_to_find  # type: ignore[attr-defined]
    if docname in found:
        doctree += addnodes.index(entries=found[docname])


def keep(app: Sphinx, error: Exception | None) -> None:
    """Store what was collected for the search, for the next build."""
    if error is None and app.builder.format == "html":
        with Path(app.doctreedir, ENV_PICKLE_FILENAME).open("wb") as file:
            pickle.dump(app.env, file, pickle.HIGHEST_PROTOCOL)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.connect("env-updated", changed)
    app.connect("doctree-resolved", add, priority=950)  # after the notebooks are made
    app.connect("build-finished", keep, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
