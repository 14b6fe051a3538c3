"""Training: the loop, the state that a resumed run goes on from, optimizers, schedules, FLOPs.

Chapters: ``book/algorithms/gpt.ipynb``, ``book/concepts/optimization.ipynb``.
"""

from companion.training.loop import fit

__all__ = ["fit"]
