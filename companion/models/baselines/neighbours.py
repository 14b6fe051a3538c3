"""A baseline for gaps in a text: guess a token from the one on its left and the one on its right, by counting.

Chapter: ``book/algorithms/xlnet.ipynb``.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from companion.data.batch import IGNORED
from companion.losses.permutation import Permuted

TRUST = 5.0  # the counts of a context outweigh those of the shorter one from this many on


class Neighbours(nn.Module):
    """What stands between two words, counted; with nothing to train.

    ``p(x | l, r) = (count(l x r) + 5 p(x | l)) / (count(l, r) + 5)``, where ``p(x | l)`` is smoothed likewise by
    ``p(x)``. A neighbour that comes later in the order is not known, and counts as a token of its own. It is asked
    like :class:`companion.models.xlnet.XLNet`, so the same loss judges both.
    """

    logits: Tensor  # (vocab + 1, vocab + 1, vocab), log p(x | l, r)

    def __init__(self, vocab_size: int) -> None:
        """Make a model that has read nothing yet: every token is as likely as any other.

        Args:
            vocab_size: tokens in the vocabulary, at least 1.
        """
        super().__init__()
        if vocab_size < 1:
            raise ValueError(f"vocab_size must be at least 1; got {vocab_size}")
        self.vocab_size = vocab_size
        self.register_buffer("logits", torch.zeros(vocab_size + 1, vocab_size + 1, vocab_size).log_softmax(-1))

    def count(self, batches: Iterable[Permuted]) -> "Neighbours":
        """Count what stands between which neighbours, where the batches ask; what was counted before is forgotten.

        Returns:
            this model.
        """
        counts = torch.zeros_like(self.logits)
        for batch in batches:
            left, right = self._context(batch.inputs, batch.order, batch.predict)
            asked = batch.targets != IGNORED
            place = (left[asked], right[asked], batch.targets[asked])
            counts.index_put_(place, torch.ones(1), accumulate=True)
        single = counts.sum((0, 1)) + 1.0
        by_left = _smoothed(counts.sum(1), single / single.sum())  # (vocab + 1, vocab)
        self.logits = _smoothed(counts, by_left[:, None]).log()
        return self

    def forward(self, ids: Tensor, *, order: Tensor, targets: Tensor) -> Tensor:
        """Score every token at each target.

        Args:
            ids: (batch, length).
            order: (batch, length), the rank of each position.
            targets: (batch, k) positions; of their neighbours, those of lower rank are known.

        Returns:
            log-probabilities (batch, k, vocab_size).
        """
        return self.logits[self._context(ids, order, targets)]

    def _context(self, ids: Tensor, order: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The tokens on the left and on the right, each (batch, k); ``vocab_size`` where none is known."""
        rank = order.gather(1, targets)
        found = []
        for step in (-1, 1):
            inside = (targets + step >= 0) & (targets + step < ids.size(1))
            place = (targets + step).clamp(0, ids.size(1) - 1)
            known = inside & (order.gather(1, place) < rank)
            found.append(ids.gather(1, place).masked_fill(~known, self.vocab_size))
        return found[0], found[1]


def _smoothed(counts: Tensor, shorter: Tensor) -> Tensor:
    return (counts + TRUST * shorter) / (counts.sum(-1, keepdim=True) + TRUST)
