"""The n-gram model: count what followed the last n - 1 tokens, and smooth.

Chapter: ``book/concepts/language_model.ipynb``. Sources: Kneser & Ney 1995 (the shorter histories count different
contexts); Chen & Goodman 1999 (the interpolated form, which their comparison found best; with one discount an order,
where their "modified" form has three).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from companion.data.batch import IGNORED, fill_ignored
from companion.nn.checks import check_ids, check_sizes


@dataclass(frozen=True)
class NGramConfig:
    """The sizes of an n-gram model.

    Attributes:
        vocab_size: tokens in the vocabulary.
        order: n; the model sees the n - 1 tokens before the one that it predicts.
        smoothing: "kneser-ney" (interpolated, one discount an order) or "add-k".
        add_k: what "add-k" adds to each count.
    """

    vocab_size: int
    order: int
    smoothing: str = "kneser-ney"
    add_k: float = 1.0

    def __post_init__(self) -> None:
        """Raise ValueError on a size below 1, an unknown smoothing, or nothing to add."""
        check_sizes(self, ("vocab_size", "order"))
        if self.smoothing not in ("kneser-ney", "add-k"):
            raise ValueError(f"smoothing must be 'kneser-ney' or 'add-k'; got {self.smoothing!r}")
        if not self.add_k > 0:
            raise ValueError(f"add_k must be above 0, or unseen tokens have no probability; got {self.add_k}")


class NGram(nn.Module):
    """An n-gram model over token ids, with nothing to train: :meth:`count` reads the text once.

    The k-grams of each k are a level of a trie, kept as one sorted tensor: the key of a k-gram is
    ``vocab_size * (place of its first k - 1 tokens in the level before) + (its last token)``. So the place of the
    k-gram that ends at position t follows from that of the (k - 1)-gram that ends at t - 1, by one binary search for
    all positions at once, and no two k-grams share a key.
    """

    def __init__(self, config: NGramConfig) -> None:
        """Make a model that has read nothing yet."""
        super().__init__()
        self.config = config
        self._levels = cast(Sequence[_Level], nn.ModuleList())

    def count(self, rows: Tensor) -> "NGram":
        """Count the n-grams of each row, and forget what was counted before.

        Args:
            rows: (rows, length) ids, each row a text of its own, filled up with ``IGNORED`` at its end. Its first
                token is given, not predicted. One long text is one row.

        Returns:
            this model.

        Raises:
            ValueError: on rows of the wrong rank or without anything to predict, or an id outside the vocabulary.
        """
        check_ids(fill_ignored(rows), self.config.vocab_size)
        real = rows != IGNORED
        if not real[:, 1:].any():
            raise ValueError(f"rows must have a token after the first; got shape {tuple(rows.shape)}")
        places: list[Tensor] = [torch.zeros_like(rows)]
        keys: list[Tensor] = []
        for _ in range(self.config.order):
            known = (_before(places[-1], len(keys)) >= 0) & real
            grams = _before(places[-1], len(keys)) * self.config.vocab_size + rows
            level, found = grams[known].unique(return_inverse=True)
            keys.append(level)
            places.append(torch.full_like(rows, -1).masked_scatter(known, found))
        counts = [self._count(places, k, level.numel()) for k, level in enumerate(keys, start=1)]
        sizes = [1, *(level.numel() for level in keys[:-1])]
        levels = zip(keys, counts, sizes, strict=True)
        trie = nn.ModuleList(_Level(self.config.vocab_size, *level) for level in levels)
        self._levels = cast(Sequence[_Level], trie)  # moves to another device with the module
        return self

    def _count(self, places: list[Tensor], k: int, size: int) -> Tensor:
        """How often each k-gram counts, (size,): its occurrences, or the different tokens before it.

        A k-gram at the start of a row has no token before it; there each occurrence counts.
        """
        own = places[k]
        if k == self.config.order or self.config.smoothing == "add-k":
            predicted = own[:, 1:] if k == 1 else own  # a row's first token is not predicted
            return torch.bincount(predicted[predicted >= 0], minlength=size)
        longer = places[k + 1]
        ends_with = own.new_empty(int(longer.max()) + 1)
        ends_with[longer[longer >= 0]] = own[longer >= 0]  # (k + 1)-gram -> the k-gram that it ends with
        first = own[:, k - 1 : k] if k > 1 else own[:, :0]
        return torch.bincount(torch.cat([ends_with, first[first >= 0]]), minlength=size)

    def forward(self, ids: Tensor) -> Tensor:
        """Score every token of the vocabulary as the next one, at each position.

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
        """Return log p(token | those before it in its row) for each token but the first.

        The same numbers as :meth:`forward` gives, without those of all other tokens.

        Args:
            ids: (batch, length), filled up with ``IGNORED``.

        Returns:
            (batch, length - 1), NaN where a row is padded.
        """
        reads, following = fill_ignored(ids)[:, :-1], fill_ignored(ids)[:, 1:, None]
        log_probs = self._probabilities(reads, following)[..., 0].log()
        return log_probs.masked_fill(ids[:, 1:] == IGNORED, torch.nan)

    def seen(self, ids: Tensor) -> Tensor:
        """Return how many of the last n - 1 tokens, at each position, were met in this order when counting.

        Args:
            ids: (batch, length).

        Returns:
            (batch, length) whole numbers, 0 to n - 1: the longest history that something followed.
        """
        histories = self._histories(ids)
        met = [level.totals[place] > 0 for level, place in zip(self._levels, histories, strict=True)]
        return torch.stack(met).sum(0) - 1  # the empty history always is

    def _histories(self, ids: Tensor) -> list[Tensor]:
        """For k = 0 … n - 1, the place of the k-gram that ends at each position: n times (batch, length)."""
        if not self._levels:
            raise RuntimeError("this model has read nothing yet: call count(rows) first")
        check_ids(ids, self.config.vocab_size)
        places = [torch.zeros_like(ids)]
        for k, level in enumerate(self._levels[:-1]):
            places.append(level.find(_before(places[-1], k), ids))
        return places

    def _probabilities(self, ids: Tensor, tokens: Tensor) -> Tensor:
        """p(token | the ids up to each position), (batch, length, tokens); ``tokens`` broadcasts against that."""
        histories = self._histories(ids)
        position = torch.arange(ids.size(1), device=ids.device)[:, None]  # (length, 1)
        size, k = self.config.vocab_size, self.config.add_k
        result = torch.full((1, 1, 1), 1 / size, device=ids.device)
        for length, (level, history) in enumerate(zip(self._levels, histories, strict=True)):
            place = history[..., None]
            counts, totals, kinds = level.counts[level.find(place, tokens)], level.totals[place], level.kinds[place]
            if self.config.smoothing == "add-k":
                longer = (counts + k) / (totals + k * size)
                result = torch.where(position >= length - 1, longer, result)  # a row's start has less history
            else:
                # p(w | h) = max(c(h w) - D, 0) / c(h) + D N(h) / c(h) * p(w | h without its first token)
                left = torch.where(totals > 0, level.discount * kinds / totals.clamp(min=1), 1.0)
                result = (counts - level.discount).clamp(min=0) / totals.clamp(min=1) + left * result
        return result


class _Level(nn.Module):
    """All k-grams, and what follows the (k - 1)-grams that they begin with.

    Every tensor has one entry more, zero, for what was never seen: its place is -1.
    """

    keys: Tensor  # (k-grams + 1,), sorted; the last is larger than any key
    counts: Tensor  # (k-grams + 1,)
    totals: Tensor  # ((k - 1)-grams + 1,), sum of the counts that follow
    kinds: Tensor  # ((k - 1)-grams + 1,), how many different tokens follow

    def __init__(self, vocab_size: int, keys: Tensor, counts: Tensor, histories: int) -> None:
        super().__init__()
        self.vocab_size = vocab_size
        history = keys // vocab_size
        empty = counts.new_zeros(histories + 1)
        tensors = {
            "keys": torch.cat([keys, keys.new_tensor([torch.iinfo(keys.dtype).max])]),
            "counts": F.pad(counts, (0, 1)),
            "totals": empty.index_add(0, history, counts),
            "kinds": empty.index_add(0, history, (counts > 0).long()),
        }
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor, persistent=False)
        once, twice = int((counts == 1).sum()), int((counts == 2).sum())
        # D = n_1 / (n_1 + 2 n_2); one more of each keeps it between 0 and 1 where there are none
        self.discount = (once + 1) / (once + 2 * twice + 2)

    def find(self, history: Tensor, token: Tensor) -> Tensor:
        """The place of history + token among the k-grams, -1 when unseen."""
        key = history * self.vocab_size + token
        place = torch.searchsorted(self.keys, key)
        return torch.where((history >= 0) & (self.keys[place] == key), place, -1)


def _before(places: Tensor, k: int) -> Tensor:
    """The place of the k-gram that ends one position earlier; the empty one, k = 0, ends everywhere."""
    return F.pad(places[:, :-1], (1, 0), value=0 if k == 0 else -1)
