"""The unigram model of subwords by hand, small enough to read beside its formulas.

Pieces are drawn independently, so ``log p(x_1 … x_n) = log p(x_1) + … + log p(x_n)``. Chapter:
``book/concepts/tokenization.ipynb``. Source: Kudo 2018, section 3. :mod:`companion.data.tokenization` has the fast
version. Training starts from ``words`` as in :mod:`companion.data.subwords`.
"""

import math
from collections import Counter
from collections.abc import Callable, Container, Mapping
from itertools import combinations
from random import Random

from companion.data.checks import check_list
from companion.data.subwords import Words, check_room

LogP = Mapping[str, float]  # piece -> natural logarithm of its probability
KEEP = 0.8  # fraction of the pieces that a round of the unigram model's pruning keeps
TINY = 1e-12  # least expected count of a piece: one that no word needs now may be needed by an unseen word


def segmentations(word: str, pieces: Container[str]) -> list[list[str]]:
    """All segmentations of a word into pieces, up to ``2 ** (len(word) - 1)`` of them.

    >>> segmentations("low", {"l", "o", "w", "lo"})
    [['l', 'o', 'w'], ['lo', 'w']]
    """
    check_list("pieces", pieces)
    if not word:
        return [[]]
    heads = [word[:end] for end in range(1, len(word) + 1) if word[:end] in pieces]
    return [[head, *rest] for head in heads for rest in segmentations(word[len(head) :], pieces)]


def forward(word: str, log_p: LogP) -> list[float]:
    """Forward log-probabilities, of each prefix of a word: ``alpha_j = log sum_i exp(alpha_i + log p(word[i:j]))``.

    >>> log_p = {"a": math.log(0.5), "b": math.log(0.3), "ab": math.log(0.2)}
    >>> [round(math.exp(alpha), 2) for alpha in forward("ab", log_p)]  # 0.35 = 0.5 * 0.3 + 0.2
    [1.0, 0.5, 0.35]

    Returns:
        len(word) + 1 numbers; the last is the word's log-probability, summed over all segmentations.
    """
    return _sweep(word, log_p, _log_sum)


def backward(word: str, log_p: LogP) -> list[float]:
    """Backward log-probabilities, of each suffix of a word: ``beta_i = log sum_j exp(log p(word[i:j]) + beta_j)``."""
    beta = [0.0]  # of the empty suffix, then of longer ones
    for tail in (word[start:] for start in reversed(range(len(word)))):
        ways = [log_p[tail[:n]] + beta[-n] for n in range(1, len(tail) + 1) if tail[:n] in log_p]
        beta.append(_log_sum(ways))
    return beta[::-1]


def encode_unigram(word: str, log_p: LogP) -> list[str]:
    """The likeliest segmentation of a word (Viterbi): :func:`forward` with a maximum for the sum.

    >>> encode_unigram("ab", {"a": math.log(0.5), "b": math.log(0.3), "ab": math.log(0.2)})
    ['ab']

    Raises:
        ValueError: when no pieces make up the word.
    """
    best = _sweep(word, log_p, lambda ways: max(ways, default=-math.inf))
    return _walk_back(word, log_p, best, lambda ways: ways.index(max(ways)))


def sample_unigram(word: str, log_p: LogP, generator: Random, alpha: float = 1.0) -> list[str]:
    """A random segmentation s of a word, drawn with probability proportional to ``p(s) ** alpha``.

    >>> log_p = {"a": math.log(0.5), "b": math.log(0.3), "ab": math.log(0.2)}
    >>> sample_unigram("ab", log_p, Random(0), alpha=100)  # so large an alpha leaves only the likeliest
    ['ab']

    Raises:
        ValueError: when no pieces make up the word.
    """
    powered = {piece: alpha * value for piece, value in log_p.items() if piece in word}

    def draw(ways: list[float]) -> int:
        return generator.choices(range(len(ways)), [math.exp(way - max(ways)) for way in ways])[0]

    return _walk_back(word, powered, forward(word, powered), draw)


def em_step(words: Words, log_p: LogP) -> tuple[dict[str, float], float]:
    """One step of expectation–maximisation: expected counts of the pieces over all segmentations, normalised.

    ``c(x) = sum over words and spans with word[i:j] = x of exp(alpha_i + log p(x) + beta_j - alpha_n)``, times the
    word's own count; then ``p(x) = c(x) / sum c``.

    >>> log_p, likelihood = em_step({"ab": 1}, {"a": math.log(0.5), "b": math.log(0.3), "ab": math.log(0.2)})
    >>> {piece: round(math.exp(value), 2) for piece, value in log_p.items()}, round(math.exp(likelihood), 2)
    ({'a': 0.3, 'b': 0.3, 'ab': 0.4}, 0.35)

    Returns:
        the new log-probabilities, and the log-likelihood of the words under the old ones, which no step lowers.

    Raises:
        ValueError: when no pieces make up one of the words.
    """
    counts = dict.fromkeys(log_p, TINY)
    likelihood = 0.0
    for word, times in words.items():
        alpha, beta = forward(word, log_p), backward(word, log_p)
        likelihood += times * _possible(alpha[-1], word)
        for start, end in combinations(range(len(word) + 1), 2):
            if (piece := word[start:end]) in log_p:
                counts[piece] += times * math.exp(alpha[start] + log_p[piece] + beta[end] - alpha[-1])
    total = sum(counts.values())
    return {piece: math.log(c / total) for piece, c in counts.items()}, likelihood


def removal_losses(words: Words, log_p: LogP) -> dict[str, float]:
    """Log-likelihood that the words lose without a piece, for each piece of two characters or more."""
    whole = {word: forward(word, log_p)[-1] for word in words}
    losses = {}
    for piece in (piece for piece in log_p if len(piece) > 1):
        rest = {other: value for other, value in log_p.items() if other != piece}
        losses[piece] = sum(n * (whole[w] - forward(w, rest)[-1]) for w, n in words.items() if piece in w)
    return losses


def learn_unigram(words: Words, vocab_size: int) -> dict[str, float]:
    """Unigram vocabulary, piece -> log-probability: begin with all repeated substrings, prune those missed least.

    Characters always stay, so that every word can be cut.

    >>> sorted(learn_unigram({"low": 5, "lower": 2}, vocab_size=6))
    ['e', 'l', 'low', 'o', 'r', 'w']

    Raises:
        ValueError: when ``vocab_size`` has no room for the characters.
    """
    counts: Counter[str] = Counter()
    for word, times in words.items():
        for start, end in combinations(range(len(word) + 1), 2):
            counts[word[start:end]] += times
    letters = sorted(piece for piece in counts if len(piece) == 1)
    check_room(len(letters), vocab_size)
    log_p = {piece: math.log(n / counts.total()) for piece, n in counts.items() if n > 1 or len(piece) == 1}
    while True:
        for _ in range(2):
            log_p, _ = em_step(words, log_p)
        if len(log_p) <= vocab_size:
            return log_p
        losses = removal_losses(words, log_p)
        missed = sorted(losses, key=lambda piece: (-losses[piece], piece))
        room = max(vocab_size, int(KEEP * len(log_p))) - len(letters)
        log_p = {piece: log_p[piece] for piece in letters + missed[:room]}


def _sweep(word: str, log_p: LogP, gather: Callable[[list[float]], float]) -> list[float]:
    reached = [0.0]
    for end in range(1, len(word) + 1):
        reached.append(gather([reached[i] + log_p[word[i:end]] for i in range(end) if word[i:end] in log_p]))
    return reached


def _walk_back(word: str, log_p: LogP, reached: list[float], choose: Callable[[list[float]], int]) -> list[str]:
    _possible(reached[-1], word)
    pieces: list[str] = []
    while word:
        starts = [start for start in range(len(word)) if word[start:] in log_p]
        start = starts[choose([reached[start] + log_p[word[start:]] for start in starts])]
        pieces.insert(0, word[start:])
        word = word[:start]
    return pieces


def _log_sum(values: list[float]) -> float:
    high = max(values, default=-math.inf)
    return high + math.log(sum(math.exp(value - high) for value in values)) if high > -math.inf else high


def _possible(log_likelihood: float, word: str) -> float:
    if log_likelihood == -math.inf:
        raise ValueError(f"no pieces make up {word!r}")
    return log_likelihood
