"""Copy MathJax from `node_modules` into the built pages, so that they ask no other host for it."""

import shutil
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

ASSETS = ("tex-chtml.js", "output/chtml/fonts/woff-v2", "input/tex/extensions/html.js")  # the last: `\class`


def copy_mathjax(app: Sphinx) -> None:
    """Copy the script and its fonts to `_static/mathjax`; raise ExtensionError when npm has not brought them."""
    if app.builder.format != "html":
        return
    source = Path(app.srcdir) / "node_modules" / "mathjax" / "es5"
    target = Path(app.outdir) / "_static" / "mathjax"
    for name in ASSETS:
        if not (source / name).exists():
            raise ExtensionError(f"{source / name} is missing: run `make assets` (or `npm ci --ignore-scripts`)")
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name, dirs_exist_ok=True)
        else:
            shutil.copy2(source / name, target / name)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.connect("builder-inited", copy_mathjax)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
