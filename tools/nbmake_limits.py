"""A plugin of pytest: nbmake runs notebooks within the limits of the book, not within one on the wall clock."""

import sys

from nbmake import nb_run

from notebooks import ROOT

sys.path.insert(0, str(ROOT / "book" / "_ext"))
from cell_limits import LimitedClient

nb_run.NotebookClient = LimitedClient
