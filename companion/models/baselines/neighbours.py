"""A count-based baseline for masked tokens: predict a token from its left and its right neighbour.

Chapter: ``book/algorithms/xlnet.ipynb``.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from companion.data.batch import IGNORED
from companion.losses.permutation import Permuted

TRUST = 5.0  # a context seen this often weighs as much as the shorter one


class Neighbours(nn.Module):
    """Counts of the tokens between two neighbours, with nothing to train.

    ``p(x | l, r) = (count(l x r) + 5 p(x | l)) / (count(l, r) + 5)``, where ``p(x | l)`` is smoothed likewise by
    ``p(x)``. A neighbour that comes later in the factorisation order is unknown, and counts as a token of its own. The
    arguments are those of :class:`companion.models.xlnet.XLNet`, so the same loss measures both.

    Example:
        >>> model = Neighbours(vocab_size=4)  # nothing counted: all tokens are equally likely
        >>> ids, order = torch.tensor([[0, 1, 2]]), torch.tensor([[0, 2, 1]])
        >>> model(ids, order=order, targets=torch.tensor([[1]])).exp().tolist()
        [[[0.25, 0.25, 0.25, 0.25]]]
    """

    logits: Tensor  # (vocab + 1, vocab + 1, vocab), log p(x | l, r)

    def __init__(self, vocab_size: int) -> None:
        """Make a model without counts: every token is as likely as any other.

        Args:
            vocab_size: number of tokens in the vocabulary, at least 1.

        Raises:
            ValueError: when it is below 1.
        """
        super().__init__()
        if vocab_size < 1:
            raise ValueError(f"vocab_size must be at least 1; got {vocab_size}")
        self.vocab_size = vocab_size
        self.register_buffer("logits", torch.zeros(vocab_size + 1, vocab_size + 1, vocab_size).log_softmax(-1))

    def count(self, batches: Iterable[Permuted]) -> "Neighbours":
        """Count the targets of the batches between their neighbours; earlier counts are forgotten.

        Returns:
            this model.
        """
        counts = torch.zeros_like(self.logits)
        for batch in batches:
            left, right = self._context(batch.inputs, batch.order, batch.predict)
            real = batch.targets != IGNORED
            index = (left[real], right[real], batch.targets[real])
            counts.index_put_(index, torch.ones(1), accumulate=True)
        single = counts.sum((0, 1)) + 1.0
        by_left = _smoothed(counts.sum(1), single / single.sum())  # (vocab + 1, vocab)
        self.logits = _smoothed(counts, by_left[:, None]).log()
        return self

    def forward(self, ids: Tensor, *, order: Tensor, targets: Tensor) -> Tensor:
        """Return the log-probabilities of every token at each target.

        Args:
            ids: (batch, length) token ids.
            order: (batch, length), the rank of each position in the factorisation order.
            targets: (batch, k) positions to predict; of their neighbours, those of lower rank are known.

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
            neighbour = (targets + step).clamp(0, ids.size(1) - 1)
            known = inside & (order.gather(1, neighbour) < rank)
            found.append(ids.gather(1, neighbour).masked_fill(~known, self.vocab_size))
        return found[0], found[1]


def _smoothed(counts: Tensor, shorter: Tensor) -> Tensor:
    return (counts + TRUST * shorter) / (counts.sum(-1, keepdim=True) + TRUST)
