"""``{reading-time}``: how long some chapters take to read, from the words of their text.

Its argument names pages by their place under ``book/``. What is counted is text, formulas among it, and no code; who
runs the cells and does the exercises needs longer.
"""

from pathlib import Path
from typing import Any

import nbformat
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxRole

from words import word

WORDS_PER_MINUTE = 150  # of a text to be understood; a novel is read at 200 to 300
MINUTES = "about {minutes} minutes"
HOURS = "about {hours} hours"
WORDS = (MINUTES, HOURS)

logger = logging.getLogger(__name__)


class ReadingTime(SphinxRole):
    """The role: a text such as *about 2 hours*."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return the text; a page that is not there is a warning."""
        folder, count = Path(self.env.srcdir) / "book", 0
        for name in self.text.split():
            path = next((path for path in folder.glob(f"{name}.*") if path.suffix in (".ipynb", ".md")), None)
            if path is None:
                logger.warning("reading-time: there is no page %r", name, location=self.get_location())
            else:
                self.env.note_dependency(str(path))
                count += count_words(path)
        return [nodes.Text(spoken(count / WORDS_PER_MINUTE))], []


def count_words(path: Path) -> int:
    """Return the number of words of a page's Markdown."""
    if path.suffix == ".md":
        return len(path.read_text(encoding="utf-8").split())
    cells = nbformat.read(path, as_version=4).cells
    return sum(len(cell.source.split()) for cell in cells if cell.cell_type == "markdown")


def spoken(minutes: float) -> str:
    """Return a duration in tens of minutes, or from an hour and a half on in half hours."""
    if minutes < 90:
        return word(MINUTES).format(minutes=max(10, round(minutes / 10) * 10))
    return word(HOURS).format(hours=f"{round(minutes / 30) / 2:g}".replace(".5", "½"))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the role."""
    app.setup_extension("words")
    app.add_role("reading-time", ReadingTime())
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
