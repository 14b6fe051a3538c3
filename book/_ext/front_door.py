"""Write the page at the root of the built site, which leads to the book's first page.

The redirect that the contents' extension would write names no icon, so that a browser which is slow to leave it asks
for a `favicon.ico` that is not there. This one has an empty icon, for which nothing is asked.
"""

from html import escape
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

DOOR = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<link rel="icon" href="data:,">
<meta http-equiv="refresh" content="0; url={first}">
</head>
<body><p><a href="{first}">{title}</a></p></body>
</html>
"""


def write_front_door(app: Sphinx) -> None:
    """Write `index.html` at the root, unless the book's first page is there itself."""
    if app.builder.format != "html" or app.config.root_doc == "index":
        return
    first = app.builder.get_target_uri(app.config.root_doc)
    page = DOOR.format(title=escape(app.config.html_title), first=first)
    (Path(app.outdir) / "index.html").write_text(page, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.connect("builder-inited", write_front_door)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
