"""The n-gram language model, with interpolated Kneser-Ney or add-k smoothing.

Chapter: ``book/concepts/language_model.ipynb``. Sources: Kneser & Ney 1995 (lower orders count distinct contexts); Chen
& Goodman 1999 (the interpolated form, which their comparison found best; with one discount per order, where their
"modified" form has three).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from companion.data.batch import IGNORED, fill_ignored
from companion.nn.checks import check_ids, check_sizes
from companion.nn.field_types import check_field_types


@dataclass(frozen=True)
class NGramConfig:
    """The sizes of an n-gram model.

    Attributes:
        vocab_size: number of tokens in the vocabulary.
        order: n; the context is the n - 1 tokens before the predicted one.
        smoothing: "kneser-ney" (interpolated, one discount per order) or "add-k".
        add_k: number that "add-k" adds to each count.
    """

    vocab_size: int
    order: int
    smoothing: str = "kneser-ney"
    add_k: float = 1.0

    def __post_init__(self) -> None:
        """Raise ValueError on a size below 1, an unknown smoothing, or an ``add_k`` that is not above 0."""
        check_field_types(self)
        check_sizes(self, ("vocab_size", "order"))
        if self.smoothing not in ("kneser-ney", "add-k"):
            raise ValueError(f"smoothing must be 'kneser-ney' or 'add-k'; got {self.smoothing!r}")
        if not self.add_k > 0:
            raise ValueError(f"add_k must be above 0, or unseen tokens have no probability; got {self.add_k}")


class NGram(nn.Module):
    """An n-gram model over token ids, with nothing to train: :meth:`count` reads the text once.

    The k-grams of each k are a level of a trie, kept as one sorted tensor: the key of a k-gram is
    ``vocab_size * (index of its first k - 1 tokens in the level before) + (its last token)``. So the index of the
    k-gram that ends at position t follows from that of the (k - 1)-gram that ends at t - 1, by one binary search for
    all positions at once, and no two k-grams share a key.

    Example:
        >>> model = NGram(NGramConfig(vocab_size=3, order=2, smoothing="add-k"))
        >>> model = model.count(torch.tensor([[0, 1, 0, 1, 2]]))
        >>> model(torch.tensor([[0]])).exp()  # after 0 came 1, twice: (2 + 1) / (2 + 3)
        tensor([[[0.2000, 0.6000, 0.2000]]])
    """

    def __init__(self, config: NGramConfig) -> None:
        """Make a model without counts."""
        super().__init__()
        self.config = config
        self._levels = cast(Sequence[_Level], nn.ModuleList())

    def count(self, rows: Tensor) -> "NGram":
        """Count the n-grams of each row; earlier counts are forgotten.

        Args:
            rows: (rows, length) ids, each row a text of its own, padded with ``IGNORED`` at its end. Its first token is
                context only, not predicted. One long text is one row.

        Returns:
            this model.

        Raises:
            ValueError: on rows of the wrong rank or without anything to predict, or an id outside the vocabulary.
        """
        check_ids(fill_ignored(rows), self.config.vocab_size)
        real = rows != IGNORED
        if not real[:, 1:].any():
            raise ValueError(f"rows must have a token after the first; got shape {tuple(rows.shape)}")
        indices: list[Tensor] = [torch.zeros_like(rows)]
        keys: list[Tensor] = []
        for _ in range(self.config.order):
            known = (_before(indices[-1], len(keys)) >= 0) & real
            grams = _before(indices[-1], len(keys)) * self.config.vocab_size + rows
            level, found = torch.unique(grams[known], return_inverse=True)
            keys.append(level)
            indices.append(torch.full_like(rows, -1).masked_scatter(known, found))
        counts = [self._count(indices, k, level.numel()) for k, level in enumerate(keys, start=1)]
        sizes = [1, *(level.numel() for level in keys[:-1])]
        levels = zip(keys, counts, sizes, strict=True)
        trie = nn.ModuleList(_Level(self.config.vocab_size, *level) for level in levels)
        self._levels = cast(Sequence[_Level], trie)  # moves to another device with the module
        return self

    def _count(self, indices: list[Tensor], k: int, size: int) -> Tensor:
        """The count of each k-gram, (size,): its occurrences, or the number of distinct tokens before it.

        A k-gram at the start of a row has no token before it; there each occurrence counts.
        """
        own = indices[k]
        if k == self.config.order or self.config.smoothing == "add-k":
            predicted = own[:, 1:] if k == 1 else own  # a row's first token is not predicted
            return torch.bincount(predicted[predicted >= 0], minlength=size)
        longer = indices[k + 1]
        ends_with = own.new_empty(int(longer.max()) + 1)
        ends_with[longer[longer >= 0]] = own[longer >= 0]  # (k + 1)-gram -> the k-gram that it ends with
        first = own[:, k - 1 : k] if k > 1 else own[:, :0]
        return torch.bincount(torch.cat([ends_with, first[first >= 0]]), minlength=size)

    def forward(self, ids: Tensor) -> Tensor:
        """Return the log-probabilities of the next token, at each position.

        Args:
            ids: (batch, length).

        Returns:
            log-probabilities (batch, length, vocab_size), which are logits as well.

        Raises:
            ValueError: on ids of the wrong rank or outside the vocabulary.
            RuntimeError: when nothing has been counted.
        """
        return self._probabilities(ids, torch.arange(self.config.vocab_size, device=ids.device)).log()

    def log_probs(self, ids: Tensor) -> Tensor:
        """Return the log-probability of each token but the first, given those before it in its row.

        The same numbers as :meth:`forward`'s, without those of all other tokens.

        Args:
            ids: (batch, length), padded with ``IGNORED``.

        Returns:
            (batch, length - 1), NaN where a row is padded.
        """
        context, following = fill_ignored(ids)[:, :-1], fill_ignored(ids)[:, 1:, None]
        log_probs = self._probabilities(context, following)[..., 0].log()
        return log_probs.masked_fill(ids[:, 1:] == IGNORED, torch.nan)

    def longest_context(self, ids: Tensor) -> Tensor:
        """Return the length of the longest context, at each position, that was followed by a token when counting.

        Args:
            ids: (batch, length).

        Returns:
            (batch, length) integers, 0 to n - 1.
        """
        contexts = self._contexts(ids)
        met = [level.totals[index] > 0 for level, index in zip(self._levels, contexts, strict=True)]
        return torch.stack(met).sum(0) - 1  # the empty context always is

    def _contexts(self, ids: Tensor) -> list[Tensor]:
        """For k = 0 … n - 1, the index of the k-gram that ends at each position: n times (batch, length)."""
        if not self._levels:
            raise RuntimeError("this model has no counts yet: call count(rows) first")
        check_ids(ids, self.config.vocab_size)
        indices = [torch.zeros_like(ids)]
        for k, level in enumerate(self._levels[:-1]):
            indices.append(level.find(_before(indices[-1], k), ids))
        return indices

    def _probabilities(self, ids: Tensor, tokens: Tensor) -> Tensor:
        """p(token | the ids up to each position), (batch, length, tokens); ``tokens`` broadcasts against that."""
        contexts = self._contexts(ids)
        position = torch.arange(ids.size(1), device=ids.device)[:, None]  # (length, 1)
        size, k = self.config.vocab_size, self.config.add_k
        result = torch.full((1, 1, 1), 1 / size, device=ids.device)
        for length, (level, context) in enumerate(zip(self._levels, contexts, strict=True)):
            index = context[..., None]
            counts, totals, kinds = level.counts[level.find(index, tokens)], level.totals[index], level.kinds[index]
            if self.config.smoothing == "add-k":
                longer = (counts + k) / (totals + k * size)
                result = torch.where(position >= length - 1, longer, result)  # a row's start has a shorter context
            else:
                # p(w | h) = max(c(h w) - D, 0) / c(h) + D N(h) / c(h) * p(w | h without its first token)
                left = torch.where(totals > 0, level.discount * kinds / totals.clamp(min=1), 1.0)
                result = (counts - level.discount).clamp(min=0) / totals.clamp(min=1) + left * result
        return result


class _Level(nn.Module):
    """All k-grams, and what follows the (k - 1)-grams that they begin with, their contexts.

    Every tensor has one entry more, zero, for k-grams that were never seen: their index is -1.
    """

    keys: Tensor  # (k-grams + 1,), sorted; the last is larger than any key
    counts: Tensor  # (k-grams + 1,)
    totals: Tensor  # ((k - 1)-grams + 1,), sum of the counts that follow
    kinds: Tensor  # ((k - 1)-grams + 1,), how many distinct tokens follow

    def __init__(self, vocab_size: int, keys: Tensor, counts: Tensor, contexts: int) -> None:
        super().__init__()
        self.vocab_size = vocab_size
        context = keys // vocab_size
        empty = counts.new_zeros(contexts + 1)
        tensors = {
            "keys": torch.cat([keys, keys.new_tensor([torch.iinfo(keys.dtype).max])]),
            "counts": F.pad(counts, (0, 1)),
            "totals": empty.index_add(0, context, counts),
            "kinds": empty.index_add(0, context, (counts > 0).long()),
        }
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor, persistent=False)
        once, twice = int((counts == 1).sum()), int((counts == 2).sum())
        # D = n_1 / (n_1 + 2 n_2); one more of each keeps it between 0 and 1 where there are none
        self.discount = (once + 1) / (once + 2 * twice + 2)

    def find(self, context: Tensor, token: Tensor) -> Tensor:
        """The index of context + token among the k-grams, -1 when unseen."""
        key = context * self.vocab_size + token
        index = torch.searchsorted(self.keys, key)
        return torch.where((context >= 0) & (self.keys[index] == key), index, -1)


def _before(indices: Tensor, k: int) -> Tensor:
    """The index of the k-gram that ends one position earlier; the empty one, k = 0, ends everywhere."""
    return F.pad(indices[:, :-1], (1, 0), value=0 if k == 0 else -1)
