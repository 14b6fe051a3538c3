"""Read the pages of the contents and no others, in a folder of any name.

The extension of the contents looks for the others by a pattern that begins with the path of the book: brackets in it
match something else, and a page that lies about would be read.
"""

from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config


def read_only_these(_app: Sphinx, config: Config) -> None:
    """Name the files of the contents as the only sources."""
    names = list(config.external_site_map)
    config.include_patterns = [*names, *(f"{name}{suffix}" for name in names for suffix in config.source_suffix)]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension, to run after the contents are read."""
    app.connect("config-inited", read_only_these, priority=950)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
