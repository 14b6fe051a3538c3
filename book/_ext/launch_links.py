"""Let Colab open the made notebooks: it reads ``.ipynb`` files from a branch, and no text notebook."""

from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx


def aim_launch_button(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Aim the theme's launch buttons at the branch of the made notebooks; take them off a page that has none."""
    if doctree is None:
        return
    buttons = context["header_buttons"]
    if Path(app.env.doc2path(pagename)).suffix != ".ipynb":
        buttons[:] = [button for button in buttons if button.get("label") != "launch-buttons"]
    source = f"/blob/{app.config.html_theme_options.get('repository_branch')}/"
    for group in (button for button in buttons if button.get("label") == "launch-buttons"):
        for button in group["buttons"]:
            button["url"] = button["url"].replace(source, f"/blob/{app.config.notebooks_branch}/", 1)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension, to run after the theme has added its buttons."""
    app.connect("html-page-context", aim_launch_button, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
