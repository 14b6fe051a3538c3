"""Key the notebooks' execution cache on the package that they import.

The cache of myst-nb compares the text of the cells and nothing else, so an edit to `companion/` would leave every
page as it was. Here each state of the package has a cache folder of its own. The folder's name is part of the
configuration, so Sphinx reads every page again when it changes; a change to the extensions of the book does the
same, without running a notebook again.
"""

import hashlib
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config


def files_below(folder: Path) -> list[Path]:
    """Every file below the folder that is source, in a fixed order."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def fingerprint(root: Path, paths: Iterable[Path]) -> str:
    """A short hash of the names and the bytes of the files."""
    digest = hashlib.sha256()
    for path in paths:
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def choose_cache(app: Sphinx, config: Config) -> None:
    """Point myst-nb at the cache folder of this state of the package; remove the folders of earlier states."""
    root = Path(app.srcdir)
    caches = Path(app.outdir).parent / ".jupyter_cache"
    cache = caches / fingerprint(root, [*files_below(root / "companion"), root / "requirements.txt"])
    for old in caches.glob("*"):
        if old != cache:
            shutil.rmtree(old)
    config.nb_execution_cache_path = str(cache)
    extensions = root / "book" / "_ext"
    config.book_extensions_fingerprint = fingerprint(root, files_below(extensions))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension; a change of either value makes Sphinx read every page again."""
    app.add_config_value("book_extensions_fingerprint", "", "env", [str])
    app.connect("config-inited", choose_cache)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
