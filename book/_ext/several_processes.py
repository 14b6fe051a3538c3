"""Read and write the pages in several processes: Sphinx can, and `jupyter-book` has no option for it.

Where processes are forked, that is: on Linux. And only where torch computes on one thread, as the Makefile has it: the
threads of a parent are missing in its children, which would wait for them.
"""

import os
import sys
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config

from side_by_side import SIDE_BY_SIDE


def divide(app: Sphinx, _config: Config) -> None:
    """Divide the pages among processes, one for each processor up to a few."""
    if sys.platform == "linux" and os.environ.get("OMP_NUM_THREADS") == "1":
        app.parallel = min(SIDE_BY_SIDE, os.cpu_count() or 1)
    numbering = app.extensions.get("sphinx_multitoc_numbering")
    if numbering is not None:  # it numbers sections when all pages are read, and does not say that this is safe
        numbering.parallel_read_safe = True


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.connect("config-inited", divide)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
