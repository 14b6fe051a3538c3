"""From a block of a page to the cell of the notebook that it was made of."""

from docutils import nodes

LINES = 10_000  # between the first lines of two cells, as myst-nb counts them


def cell_of(block: nodes.Element, before: int) -> int:
    """Return the place of a block's cell in the notebook; that of the block before it where the block does not say."""
    source = int(block.get("cell_index", (block.line or 0) // LINES - 1))
    return before if source < 0 else source
