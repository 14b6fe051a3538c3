"""The directive ``coverage``: what the book promises to teach, and where each promise is kept.

With the name of a part it lists that part's rows of ``book/appendix/coverage.yml``; without, it says how many promises
are kept. A place, an equation or a module that is not there is a warning, and so fails the build.
"""

import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from docutils.statemachine import StringList
from myst_parser.mdit_to_docutils.base import default_slugify
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from words import word

BOOK = Path(__file__).parents[1]
SOURCE = BOOK / "appendix" / "coverage.yml"
MATHEMATICS = re.compile(r"\$[^$]+\$")
SUMMARY = "{kept} of {all} promises are kept. What is missing says so."
EQUATIONS, CODE, TESTS, MISSING, MISREADING = "equations", "code", "tests", "Not yet:", "common misreading"
WORDS = (SUMMARY, EQUATIONS, CODE, TESTS, MISSING, MISREADING)


class Coverage(SphinxDirective):
    """``coverage``: the rows of a part, or how many promises of the whole book are kept."""

    optional_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Return the rows, or the one sentence."""
        self.env.note_dependency(str(SOURCE))
        if not self.arguments:
            return self.parsed(summary())
        chosen = [row for row in rows() if row["part"] == self.arguments[0]]
        if not chosen:
            parts = sorted({row["part"] for row in rows()})
            raise self.error(f"no part of the curriculum is called {self.arguments[0]!r}; there are {parts}")
        return [node for row in chosen for node in self.row(row)]

    def row(self, row: dict[str, Any]) -> list[nodes.Node]:
        """Return a row: its number and topic, and a list of its promises."""
        options = self.config.html_theme_options
        tests = f"{options['repository_url']}/blob/{options['repository_branch']}/tests"
        text = [f"**{row['row']} · {row['topic']}**" if row["row"] != "A" else "", ""]
        text += [f"- {promise(one, tests)}" for one in row["promises"]]
        found = self.parsed("\n".join(text))
        promises = found[-1]
        promises["classes"].append("coverage")
        for item, one in zip(promises, row["promises"], strict=True):
            item["classes"].append("coverage-missing" if "missing" in one else "coverage-kept")
        return found

    def parsed(self, text: str) -> list[nodes.Node]:
        """Return Markdown as nodes."""
        holder = nodes.Element()
        self.state.nested_parse(StringList(text.splitlines(), str(SOURCE)), self.content_offset, holder)
        return list(holder.children)


@cache
def rows() -> list[dict[str, Any]]:
    """Return the rows of the curriculum as they are written in the source."""
    found: list[dict[str, Any]] = yaml.safe_load(SOURCE.read_text(encoding="utf-8"))
    return found


def summary() -> str:
    """Return how many promises there are and how many are kept."""
    promises = [one for row in rows() for one in row["promises"]]
    kept = sum("missing" not in one for one in promises)
    return word(SUMMARY).format(kept=kept, all=len(promises))


def promise(one: dict[str, Any], tests: str) -> str:
    """Return a promise, and in a paragraph of its own where it is kept, as Markdown for an item of a list."""
    said = one["says"] + (f" ({word(MISREADING)})" if one.get("misreading") else "")
    if "missing" in one:
        return f"{said}\n\n  {word(MISSING)} {one['missing']}"
    kept = places(one["where"])
    if one.get("equations"):
        kept.append(f"{word(EQUATIONS)} " + " ".join(f"{{eq}}`{label}`" for label in one["equations"]))
    if one.get("code"):
        kept.append(f"{word(CODE)} " + ", ".join(f"{{py:mod}}`{name}`" for name in one["code"]))
    if one.get("tests"):
        kept.append(f"{word(TESTS)} " + ", ".join(f"[`{name}`]({tests}/{name}.py)" for name in one["tests"]))
    return f"{said}\n\n  " + "  \n  ".join(kept)


def places(where: list[str]) -> list[str]:
    """Return chapters and their sections (``concepts/attention § Many heads``) as links, a line for each chapter."""
    sections: dict[str, list[str]] = {}
    for chapter, _, section in (place.partition(" § ") for place in where):
        path = next(f"../{chapter}{end}" for end in (".ipynb", ".md") if (BOOK / f"{chapter}{end}").exists())
        anchor = default_slugify(MATHEMATICS.sub("", section))  # as MyST makes it of a heading
        sections.setdefault(path, []).extend([f"[{section}]({path}#{anchor})"] if section else [])
    return [f"[]({path})" + (" › " if links else "") + ", ".join(links) for path, links in sections.items()]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.setup_extension("words")
    app.add_directive("coverage", Coverage)
    app.add_css_file("coverage.css")
    return {"version": "1", "env_version": 1, "parallel_read_safe": True, "parallel_write_safe": True}
