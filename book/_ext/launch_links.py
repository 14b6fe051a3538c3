"""Offer Colab only on pages that Colab can open: it reads `.ipynb` files and no text notebook."""

from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx


def drop_launch_button(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Take the theme's launch buttons off a page whose source is not a notebook file."""
    if doctree is None or Path(app.env.doc2path(pagename)).suffix == ".ipynb":
        return
    buttons = context["header_buttons"]
    buttons[:] = [button for button in buttons if button.get("label") != "launch-buttons"]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension, to run after the theme has added its buttons."""
    app.connect("html-page-context", drop_launch_button, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
