"""Losses: the training objectives, each with its batch (inputs, targets, attention mask) and the loss over it.

Each objective has a module: ``causal`` (next token), ``multi_token`` (and those after it), ``mixture_of_experts``
(next token, with load balancing), ``masked``, ``sentences``, ``permutation``, ``spans``, ``denoising``,
``contrastive``, ``preference``, ``group_relative`` (answers with a reward), ``classification`` (fine-tuning, with the
batches of :mod:`companion.data.labelled`). A batch is a named tuple of tensors with ``inputs``, ``targets``
(``IGNORED`` at positions without a target) and ``visible``, boolean (batch, query, key), True = this query may attend
to this key.
Chapter: ``book/algorithms/denoising.ipynb``.
"""

from companion.losses.causal import causal_loss

__all__ = ["causal_loss"]
