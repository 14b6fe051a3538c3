"""What is said of a checkpoint that cannot be used.

Chapter: ``book/algorithms/gpt.ipynb``.
"""


class CheckpointError(ValueError):
    """An unusable checkpoint; the message names the file or the tensor, and what is allowed."""
