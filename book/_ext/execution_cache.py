"""Key the notebooks' execution cache on the package that they import.

The cache of myst-nb compares the text of the cells and nothing else, so an edit to `companion/` would leave every
page as it was. Here each state of the package has a cache folder of its own. The folder's name is part of the
configuration, so Sphinx reads every page again when it changes; a change to the extensions of the book does the
same, without running a notebook again.

What the cache lacks is executed before Sphinx reads the pages, as many notebooks at a time as there are processors,
four at most. A notebook that fails is left to Sphinx, which runs it again and reports it. `tools/run_notebooks.py`
fills the same cache from a run under nbmake.
"""

import hashlib
import os
import shutil
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn, JupyterCacheAbstract
from jupyter_cache.executors.utils import ExecutionResult, single_nb_execution
from nbformat import NotebookNode
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

logger = logging.getLogger(__name__)


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


def cache_folder(root: Path, build: Path) -> Path:
    """Return the cache folder of this state of the package, for pages that are built into ``build``."""
    return build / ".jupyter_cache" / fingerprint(root, [*files_below(root / "companion"), root / "requirements.txt"])


def choose_cache(app: Sphinx, config: Config) -> None:
    """Point myst-nb at the cache folder of this state of the package; remove the folders of earlier states."""
    root = Path(app.srcdir)
    cache = cache_folder(root, Path(app.outdir).parent)
    for old in cache.parent.glob("*"):
        if old != cache:
            shutil.rmtree(old)
    config.nb_execution_cache_path = str(cache)
    extensions = root / "book" / "_ext"
    config.book_extensions_fingerprint = fingerprint(root, files_below(extensions))


def execute_notebooks(app: Sphinx, _env: BuildEnvironment, docnames: list[str]) -> None:
    """Run, side by side, the notebooks that are about to be read and are not in the cache."""
    cache = get_cache(app.config.nb_execution_cache_path)
    paths = [path for name in docnames if (path := Path(app.env.doc2path(name))).suffix == ".ipynb"]
    missing = {path: notebook for path in paths if not _is_cached(cache, notebook := nbformat.read(path, as_version=4))}
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        running = {
            pool.submit(execute, notebook, app.config.nb_execution_timeout): path for path, notebook in missing.items()
        }
        for done in as_completed(running):
            path, result = running[done], done.result()
            if result.err is None:
                logger.info("Executed %s in %.0f s", path.stem, result.time)
                remember(cache, path, missing[path], result.time)


def remember(cache: JupyterCacheAbstract, path: Path, notebook: NotebookNode, seconds: float | None = None) -> None:
    """Put an executed notebook into the cache, under the path of its source."""
    record = cache.add_nb_to_project(str(path))
    bundle = CacheBundleIn(notebook, record.uri, data={"execution_seconds": seconds})
    cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)


def execute(notebook: NotebookNode, timeout: int) -> ExecutionResult:
    """Run a notebook in place, in an empty folder of its own."""
    with TemporaryDirectory() as folder:
        return single_nb_execution(notebook, cwd=folder, allow_errors=False, timeout=timeout)


def _is_cached(cache: JupyterCacheAbstract, notebook: NotebookNode) -> bool:
    try:
        cache.match_cache_notebook(notebook)
    except KeyError:
        return False
    return True


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension; a change of either value makes Sphinx read every page again."""
    app.add_config_value("book_extensions_fingerprint", "", "env", [str])
    app.connect("config-inited", choose_cache)
    app.connect("env-before-read-docs", execute_notebooks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
