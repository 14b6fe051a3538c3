"""What is said of a checkpoint that cannot be used.

Chapter: ``book/algorithms/gpt.ipynb``.
"""


class CheckpointError(ValueError):
    """An unusable checkpoint; the message names the file or the tensor, and what is allowed.

    A file can hold any character, and a terminal obeys some: those that cannot be seen are written as Python does.

    >>> print(CheckpointError("an unexpected tensor \\x1b[31m"))
    an unexpected tensor \\x1b[31m
    """

    def __init__(self, message: str) -> None:
        """Make the message visible."""
        visible = (letter if letter.isprintable() else repr(letter)[1:-1] for letter in message)
        super().__init__("".join(visible))
