"""Spare a build what is done over and over for nothing.

To read the trees of all pages back took twelve to fifteen times as long while Python searched them for garbage, which
they are not, and each citation looked for its plug-in among all installed packages.
"""

import gc
from typing import Any

from pybtex.plugin import find_plugin, register_plugin
from sphinx.application import Sphinx

LAST = 900  # after the notebooks have run, which leave garbage
BACKENDS = ("plaintext", "docutils")  # what sphinxcontrib-bibtex asks pybtex for


def stop_collecting(_app: Sphinx, *_: Any) -> None:
    """Search for no garbage while pages are read and written."""
    gc.collect()
    gc.disable()


def collect_again(_app: Sphinx, _error: Exception | None) -> None:
    """Search for garbage as before, but not among what is there: one search of it took ten seconds."""
    gc.freeze()
    gc.enable()


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    for name in BACKENDS:
        register_plugin("pybtex.backends", name, find_plugin("pybtex.backends", name), force=True)
    app.connect("env-before-read-docs", stop_collecting, priority=LAST)
    app.connect("build-finished", collect_again)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
