"""A small English–Chinese parallel text: passages of the primer, each beside a translation made for this book.

Chapter: ``book/concepts/tokenization.ipynb``. The files lie in ``companion/data/parallel``: an English line, its
Chinese line, an empty line.
"""

from importlib import resources


def pairs() -> list[tuple[str, str]]:
    """Aligned passages of two to four sentences as (English, Simplified Chinese), in a fixed order.

    Each English passage stands, letter for letter, in a document of :func:`companion.data.prose.documents`.

    >>> len(pairs()) > 100, [len(pair) for pair in pairs()[:2]]
    (True, [2, 2])
    """
    folder = resources.files("companion.data") / "parallel"
    found = []
    for file in sorted(folder.iterdir(), key=lambda f: f.name):
        for block in file.read_text(encoding="utf8").strip().split("\n\n"):
            english, chinese = block.split("\n")
            found.append((english, chinese))
    return found
