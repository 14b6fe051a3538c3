"""Training: the loop and its settings, the state that a resumed run goes on from, optimizers, schedules, FLOPs.

Chapters: ``book/algorithms/gpt.ipynb``, ``book/concepts/optimization.ipynb``.
"""

from companion.training.loop import fit
from companion.training.settings import Checkpoint, Evaluation, Optimization, Runtime

__all__ = ["Checkpoint", "Evaluation", "Optimization", "Runtime", "fit"]
