"""Chunks of a long text: the windows of words that a search can return.

Chapter: ``book/algorithms/retrieval.ipynb``.
"""

from companion.nn.checks import check_integer


def chunks(length: int, size: int, overlap: int = 0) -> list[range]:
    """Windows of a text of ``length`` words, as ranges of positions; the last one may be shorter.

    >>> chunks(10, size=4)
    [range(0, 4), range(4, 8), range(8, 10)]
    >>> chunks(10, size=4, overlap=2)
    [range(0, 4), range(2, 6), range(4, 8), range(6, 10)]

    Args:
        length: number of words of the text, at least 1.
        size: number of words of a chunk, at least 1.
        overlap: number of words that a chunk has in common with the one before it, below ``size``.

    Raises:
        ValueError: when a number is outside its range.
    """
    check_integer("length", length)
    check_integer("size", size)
    check_integer("overlap", overlap, least=0, most=size - 1)
    last = max(0, length - overlap - 1)
    return [range(start, min(start + size, length)) for start in range(0, last + 1, size - overlap)]
