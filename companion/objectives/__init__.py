"""What a model is trained to do: batches with their targets and their visibility, and the losses over them.

Each objective has a module: ``causal`` (next token), ``balanced`` (the same, with experts), ``masked``,
``sentences``, ``permutation``, ``spans``, ``denoising``, ``contrastive``, ``preference``. A batch is a named tuple of
tensors with ``inputs``, ``targets`` (``IGNORED`` where nothing is asked) and ``visible``, boolean (batch, query, key),
True = this query may see this key. Fine-tuning has ``labels``, with the batches of :mod:`companion.data.labelled`.
Chapter: ``book/algorithms/denoising.ipynb``.
"""

from companion.objectives.batches import IGNORED, readable
from companion.objectives.causal import causal_loss

__all__ = ["IGNORED", "causal_loss", "readable"]
