"""Word vectors from the words around each word: skip-gram with negative sampling, and counts made into vectors.

Chapter: ``book/concepts/foundations.ipynb``. Sources: Mikolov et al. 2013, "Distributed Representations of Words and
Phrases and their Compositionality" (skip-gram, negative sampling, subsampling); Levy & Goldberg 2014, "Neural Word
Embedding as Implicit Matrix Factorization" (positive PMI and its singular vectors).
"""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from companion.nn.checks import check_numbers

BOUNDARY = -1  # stands between two texts, so that no pair crosses from one to the other


def keep_probabilities(frequencies: Tensor, threshold: float = 1e-3) -> Tensor:
    """Probability of keeping an occurrence of each word, ``sqrt(threshold / f)``, 1 for rare words: (vocab,).

    >>> keep_probabilities(torch.tensor([96.0, 4.0]), threshold=0.06)
    tensor([0.2500, 1.0000])

    Args:
        frequencies: how often each word occurs (vocab,).
        threshold: relative frequency above which occurrences are dropped.
    """
    return (threshold * frequencies.sum() / frequencies).sqrt().clamp(max=1)


def word_pairs(texts: Sequence[Tensor], window: int, keep: Tensor, generator: Generator) -> Tensor:
    """Pairs of a word and a word near it, in random order: (pairs, 2).

    Frequent words are dropped first, so that the window reaches further over what is left. Two words at distance d of
    at most ``window`` are then a pair with probability ``1 - (d - 1) / window``, as if each word drew its window.

    >>> texts, keep = [torch.tensor([0, 1]), torch.tensor([2])], torch.ones(3)
    >>> sorted(word_pairs(texts, 1, keep, torch.Generator()).tolist())
    [[0, 1], [1, 0]]

    Args:
        texts: ids of each text (length,).
        window: largest distance of two words of a pair.
        keep: probability of keeping an occurrence of each word (vocab,).
        generator: source of what is dropped, and of the order.
    """
    stream = _joined(texts, window)
    kept = (stream == BOUNDARY) | (torch.rand(len(stream), generator=generator) < keep[stream])
    pairs = []
    for distance, one, other in _near(stream[kept], window):
        chosen = torch.rand(len(one), generator=generator) < 1 - (distance - 1) / window
        pair = torch.stack([one[chosen], other[chosen]], dim=1)
        pairs += [pair, pair.flip(1)]
    found = torch.cat(pairs)
    return found[torch.randperm(len(found), generator=generator)]


class SkipGram(nn.Module):
    """Two tables of vectors, trained to tell the words near a word from words drawn at random.

    Attributes:
        word: vector of each word, the embedding that is kept (vocab, d).
        context: vector of each word as a neighbour of others (vocab, d).

    Example:
        >>> model = SkipGram(vocab_size=5, d_model=2, seed=0)
        >>> one = torch.tensor([0])
        >>> model(one, torch.tensor([1]), noise=torch.tensor([2, 3])).item()  # no context has a direction yet: 6 log 2
        4.15888...
    """

    def __init__(self, vocab_size: int, d_model: int, seed: int, negatives: int = 5) -> None:
        """Small random word vectors, and context vectors of 0.

        Args:
            vocab_size: number of words.
            d_model: length of a vector.
            seed: of the initial word vectors.
            negatives: weight of the noise words beside one true pair, the paper's k.

        Raises:
            ValueError: on a size below 1.
        """
        super().__init__()
        if min(vocab_size, d_model, negatives) < 1:
            raise ValueError(f"all sizes must be at least 1; got {vocab_size=}, {d_model=}, {negatives=}")
        generator = Generator().manual_seed(seed)
        self.word = nn.Parameter(0.1 * torch.randn(vocab_size, d_model, generator=generator))
        self.context = nn.Parameter(torch.zeros(vocab_size, d_model))
        self.negatives = negatives

    def forward(self, word: Tensor, context: Tensor, noise: Tensor) -> Tensor:
        """Mean over the pairs of ``-log sigmoid(u · v) - k mean(log sigmoid(-u · v_noise))``, in nats.

        Args:
            word: ids (pairs,).
            context: ids of the words found near them (pairs,).
            noise: ids drawn at random, the same for all pairs (m,).
        """
        u = self.word[word]  # (pairs, d)
        near = F.logsigmoid((u * self.context[context]).sum(1))  # (pairs,)
        far = F.logsigmoid(-u @ self.context[noise].T)  # (pairs, m)
        return -near.mean() - self.negatives * far.mean()


def co_occurrences(texts: Sequence[Tensor], window: int, vocab_size: int) -> Tensor:
    """How often each word stands near each other, weighted ``1 - (d - 1) / window`` by distance d: (vocab, vocab).

    >>> co_occurrences([torch.tensor([0, 1, 1])], window=2, vocab_size=2)
    tensor([[0.0000, 1.5000],
            [1.5000, 2.0000]])
    """
    counts = torch.zeros(vocab_size * vocab_size)
    for distance, one, other in _near(_joined(texts, window), window):
        found = torch.bincount(one * vocab_size + other, minlength=vocab_size * vocab_size)
        counts += found * (1 - (distance - 1) / window)
    table = counts.view(vocab_size, vocab_size)
    return table + table.T


def positive_pmi(counts: Tensor) -> Tensor:
    """Positive pointwise mutual information, ``max(0, log p(w, c) / (p(w) p(c)))``; 0 where nothing was counted.

    >>> positive_pmi(torch.tensor([[0.0, 2.0], [2.0, 0.0]]))  # each knows the other only: log 2
    tensor([[0.0000, 0.6931],
            [0.6931, 0.0000]])
    """
    expected = counts.sum(1, keepdim=True) * counts.sum(0, keepdim=True) / counts.sum()
    return torch.where(counts > 0, (counts / expected).log(), 0.0).clamp(min=0)


def singular_vectors(matrix: Tensor, d_model: int) -> Tensor:
    """Rows of the best rank-``d_model`` approximation ``U S V^T``, as ``U sqrt(S)``: (rows, d_model).

    >>> singular_vectors(torch.tensor([[4.0, 0.0], [0.0, 1.0]]), d_model=1).abs()
    tensor([[2.],
            [0.]])
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # of the random projection that finds the subspace
        u, s, _ = torch.svd_lowrank(matrix, q=min(d_model + 10, *matrix.shape), niter=4)
    return u[:, :d_model] * s[:d_model].sqrt()


def nearest(vectors: Tensor, query: Tensor, k: int, left_out: Sequence[int] = ()) -> list[int]:
    """Ids of the ``k`` vectors with the largest cosine to a query, the nearest first.

    >>> nearest(torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]), torch.tensor([2.0, 0.1]), k=2, left_out=[0])
    [1, 2]

    Args:
        vectors: one for each word (vocab, d).
        query: any vector (d,).
        k: how many.
        left_out: ids that are no answer.
    """
    cosine = F.cosine_similarity(vectors, query[None])
    check_numbers("cosines", cosine)
    cosine[list(left_out)] = -torch.inf
    return cosine.topk(k).indices.tolist()


def analogies(vectors: Tensor, pairs: Tensor, leave_out: bool) -> Tensor:
    """Answers to ``a : b = c : ?`` for all ordered pairs of pairs, the word nearest to ``b - a + c``: (n, n).

    >>> vectors = torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
    >>> analogies(vectors, torch.tensor([[0, 1], [2, 3]]), leave_out=True)[0, 1].item()
    3

    Args:
        vectors: one for each word (vocab, d); only their directions count.
        pairs: ids of n pairs in one relation (n, 2); row i of the answers has pair i as its example.
        leave_out: whether the three words of the question are no answer, as is usual when analogies are scored.
    """
    units = F.normalize(vectors, dim=1)
    first = pairs[:, 0]
    rows = []
    for a, b in pairs.tolist():
        cosine = (units[b] - units[a] + units[first]) @ units.T  # (n, vocab), but for the queries' lengths
        if leave_out:
            cosine[:, [a, b]] = -torch.inf
            cosine[torch.arange(len(first)), first] = -torch.inf
        rows.append(cosine.argmax(1))
    return torch.stack(rows)


def _joined(texts: Sequence[Tensor], window: int) -> Tensor:
    gap = torch.full((window,), BOUNDARY)
    return torch.cat([part for text in texts for part in (text, gap)])


def _near(stream: Tensor, window: int) -> Iterator[tuple[int, Tensor, Tensor]]:
    """For each distance, the words that have another so far behind them, and those others."""
    for distance in range(1, window + 1):
        one, other = stream[:-distance], stream[distance:]
        inside = (one != BOUNDARY) & (other != BOUNDARY)
        yield distance, one[inside], other[inside]
