"""Small books that are built inside the tests' own process, and leave nothing behind for the next one."""

import io
import re
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util.docutils import docutils_namespace, patch_docutils


def write(source: Path, pages: dict[str, str], extensions: list[str], markdown: list[str]) -> None:
    """Write pages by their file names, and a configuration with extensions of the book and of MyST's Markdown."""
    for name, text in pages.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text)
    (source / "conf.py").write_text(
        f"extensions = {['myst_parser', *extensions]}\nmyst_enable_extensions = {markdown}\n"
    )


def build(
    source: Path, output: Path, builder: str = "html", *, parallel: int = 1, conf: bool = True, **settings
) -> str:
    """Build into ``output / builder``; return the warnings. Without ``conf`` the settings are all there is."""
    warnings = io.StringIO()
    suffixes = Config.config_values["source_suffix"].default
    before = dict(suffixes)  # a parser of notebooks adds itself to the default, for every book to come
    folders = (str(source), str(source) if conf else None, str(output / builder), str(output / f"{builder}-doctrees"))
    try:
        with patch_docutils(), docutils_namespace():
            Sphinx(*folders, builder, settings, status=None, warning=warnings, parallel=parallel).build()
    finally:
        suffixes.clear()
        suffixes.update(before)
    return re.sub(r"\x1b\[[\d;]*m", "", warnings.getvalue())
