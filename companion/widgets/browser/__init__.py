"""What a page without a kernel needs: a host for the front end, and the model itself in a worker.

Chapter: ``book/concepts/attention.ipynb``.
"""

from pathlib import Path

SCRIPTS = Path(__file__).parent  # each of pages/, book.js and live_worker.js are joined; see companion.widgets.bundle
