"""Losses: what a model is trained to do; batches with their targets and their visibility, and the loss over them.

Each objective has a module: ``causal`` (next token), ``mixture_of_experts`` (the same, with load balancing),
``masked``, ``sentences``, ``permutation``, ``spans``, ``denoising``, ``contrastive``, ``preference``,
``classification`` (fine-tuning, with the batches of :mod:`companion.data.labelled`). A batch is a named tuple of
tensors with ``inputs``, ``targets`` (``IGNORED`` where nothing is asked) and ``visible``, boolean (batch, query, key),
True = this query may see this key. Chapter: ``book/algorithms/denoising.ipynb``.
"""

from companion.losses.causal import causal_loss

__all__ = ["causal_loss"]
