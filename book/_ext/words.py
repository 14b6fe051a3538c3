"""Words that the book's extensions add to the pages, in the language of the book.

They pass through one message catalogue, ``book_words``, in the folders of ``locale_dirs``. Each extension calls
:func:`add_catalog` when it is set up.
"""

from pathlib import Path

from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.locale import get_translation

CATALOG = "book_words"

translated = get_translation(CATALOG)


def word(text: str) -> str:
    """Return a text that is added to the pages in the language of the book."""
    return str(translated(text))


def find_catalog(app: Sphinx, config: Config) -> None:
    """Look for the catalogue where the translations of the chapters are."""
    for folder in config.locale_dirs:
        app.add_message_catalog(CATALOG, str(Path(app.confdir) / folder))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.connect("config-inited", find_catalog)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
