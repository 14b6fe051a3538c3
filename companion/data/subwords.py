"""Subwords by hand: BPE, WordPiece and the unigram model, small enough to read beside their formulas.

Chapter: ``book/concepts/tokenization.ipynb``. Sources: Sennrich et al. 2016, section 3.2 (BPE); Schuster & Nakajima
2012 and Devlin et al. 2019 (WordPiece); Kudo 2018, section 3 (unigram). :mod:`companion.data.tokenization` does the same
in earnest.

Training starts from ``words``: word -> how often it occurs. A word is any string: a real word, a word with the space
before it, a Chinese sentence, or bytes written as characters.
"""

import math
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from itertools import combinations, pairwise
from random import Random

Pair = tuple[str, str]
Words = Mapping[str, int]
LogP = Mapping[str, float]  # piece -> natural logarithm of its probability
INSIDE = "##"  # WordPiece marks a piece that does not begin its word
KEEP = 0.8  # share of the pieces that outlives a round of the unigram model's pruning
TINY = 1e-12  # the least count of a piece: one that no word needs now may still be needed by an unseen word


def merge(pieces: Sequence[str], pair: Pair, joined: str) -> list[str]:
    """Write ``joined`` for each occurrence of ``pair``, from left to right."""
    merged: list[str] = []
    for piece in pieces:
        if merged and (merged[-1], piece) == pair:
            merged[-1] = joined
        else:
            merged.append(piece)
    return merged


def pair_counts(spelled: Mapping[str, Sequence[str]], words: Words) -> Counter[Pair]:
    """Count how often two pieces stand side by side; ``spelled`` is word -> its pieces."""
    counts: Counter[Pair] = Counter()
    for word, pieces in spelled.items():
        for pair in pairwise(pieces):
            counts[pair] += words[word]
    return counts


def learn_bpe(words: Words, merges: int) -> list[Pair]:
    """Learn merges: start from characters, and join the most frequent pair, again and again.

    Among equals the pair of the older pieces wins; characters are as old as their code points are small. Learning ends
    early when every word has become one piece.

    Returns:
        at most ``merges`` pairs, in the order of joining.
    """
    spelled = {word: list(word) for word in words}
    age = {character: n for n, character in enumerate(sorted(set("".join(words))))}
    learned: list[Pair] = []
    while len(learned) < merges and (counts := pair_counts(spelled, words)):
        best = max(counts, key=lambda pair: (counts[pair], -age[pair[0]], -age[pair[1]]))
        joined = "".join(best)
        spelled = {word: merge(pieces, best, joined) for word, pieces in spelled.items()}
        age.setdefault(joined, len(age))
        learned.append(best)
    return learned


def encode_bpe(word: str, merges: Sequence[Pair]) -> list[str]:
    """Cut a word: from its characters on, make the merge that was learned first among those possible, and repeat."""
    rank = {pair: n for n, pair in enumerate(merges)}
    pieces = list(word)
    while possible := [pair for pair in pairwise(pieces) if pair in rank]:
        first = min(possible, key=rank.__getitem__)
        pieces = merge(pieces, first, "".join(first))
    return pieces


def learn_wordpiece(words: Words, vocab_size: int) -> list[str]:
    """Learn word beginnings and, marked by ``##``, what follows inside words.

    Joins the pair with the largest ``count(ab) / (count(a) count(b))``, the usual reading of a rule whose code was
    never published; among equals the more frequent pair, then the pair of the older pieces. Learning ends early when
    every word has become one piece. ValueError when ``vocab_size`` has no room for the characters.
    """
    spelled = {word: [word[0], *(INSIDE + character for character in word[1:])] for word in words if word}
    age = {piece: n for n, piece in enumerate(sorted({piece for pieces in spelled.values() for piece in pieces}))}
    _check_room(len(age), vocab_size)
    while len(age) < vocab_size and (pairs := pair_counts(spelled, words)):
        count: Counter[str] = Counter()
        for word, pieces in spelled.items():
            for piece in pieces:
                count[piece] += words[word]
        score = {(a, b): both / (count[a] * count[b]) for (a, b), both in pairs.items()}
        best = max(score, key=lambda pair: (score[pair], pairs[pair], -age[pair[0]], -age[pair[1]]))
        joined = best[0] + best[1].removeprefix(INSIDE)
        spelled = {word: merge(pieces, best, joined) for word, pieces in spelled.items()}
        age.setdefault(joined, len(age))
    return list(age)


def encode_wordpiece(word: str, vocabulary: Container[str], unknown: str = "[UNK]") -> list[str]:
    """Cut a word greedily, longest piece first; one with a part that no piece fits is ``unknown`` as a whole."""
    pieces: list[str] = []
    start = 0
    while start < len(word):
        mark = INSIDE if start else ""
        fitting = (end for end in range(len(word), start, -1) if mark + word[start:end] in vocabulary)
        end = next(fitting, None)
        if end is None:
            return [unknown]
        pieces.append(mark + word[start:end])
        start = end
    return pieces


def decode_wordpiece(pieces: Iterable[str]) -> str:
    """Put the pieces of one word together again."""
    return "".join(piece.removeprefix(INSIDE) for piece in pieces)


# The unigram model: pieces are drawn independently, so log p(x_1 … x_n) = log p(x_1) + … + log p(x_n)


def segmentations(word: str, pieces: Container[str]) -> list[list[str]]:
    """List every way to cut a word into pieces: up to ``2 ** (len(word) - 1)`` of them."""
    if not word:
        return [[]]
    heads = [word[:end] for end in range(1, len(word) + 1) if word[:end] in pieces]
    return [[head, *rest] for head in heads for rest in segmentations(word[len(head) :], pieces)]


def forward(word: str, log_p: LogP) -> list[float]:
    """Sum over all ways from the start to each place: ``alpha_j = log sum_i exp(alpha_i + log p(word[i:j]))``.

    Returns:
        len(word) + 1 numbers; the last is the word's log-probability, all segmentations together.
    """
    return _sweep(word, log_p, _log_sum)


def backward(word: str, log_p: LogP) -> list[float]:
    """Sum over all ways from each place to the end: ``beta_i = log sum_j exp(log p(word[i:j]) + beta_j)``."""
    beta = [0.0]  # of the end, then of each place before it
    for tail in (word[start:] for start in reversed(range(len(word)))):
        ways = [log_p[tail[:n]] + beta[-n] for n in range(1, len(tail) + 1) if tail[:n] in log_p]
        beta.append(_log_sum(ways))
    return beta[::-1]


def encode_unigram(word: str, log_p: LogP) -> list[str]:
    """Find the likeliest segmentation (Viterbi): :func:`forward` with a maximum for the sum; ValueError without one."""
    best = _sweep(word, log_p, lambda ways: max(ways, default=-math.inf))
    return _walk_back(word, log_p, best, lambda ways: ways.index(max(ways)))


def sample_unigram(word: str, log_p: LogP, generator: Random, alpha: float = 1.0) -> list[str]:
    """Draw a segmentation s with probability proportional to ``p(s) ** alpha``; ValueError when there is none."""
    powered = {piece: alpha * value for piece, value in log_p.items() if piece in word}

    def draw(ways: list[float]) -> int:
        return generator.choices(range(len(ways)), [math.exp(way - max(ways)) for way in ways])[0]

    return _walk_back(word, powered, forward(word, powered), draw)


def em_step(words: Words, log_p: LogP) -> tuple[dict[str, float], float]:
    """Improve the probabilities once: count each piece over all segmentations, and divide by the sum.

    ``c(x) = sum over words and places with word[i:j] = x of exp(alpha_i + log p(x) + beta_j - alpha_n)``, times the
    word's own count; then ``p(x) = c(x) / sum c``. ValueError when no pieces make up one of the words.

    Returns:
        the new log-probabilities, and the log-likelihood of the words under the old ones, which no step lowers.
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
    """Return, for each piece of two characters or more, the log-likelihood that the words lose without it."""
    whole = {word: forward(word, log_p)[-1] for word in words}
    losses = {}
    for piece in (piece for piece in log_p if len(piece) > 1):
        rest = {other: value for other, value in log_p.items() if other != piece}
        losses[piece] = sum(n * (whole[w] - forward(w, rest)[-1]) for w, n in words.items() if piece in w)
    return losses


def learn_unigram(words: Words, vocab_size: int) -> dict[str, float]:
    """Learn pieces and their log-probabilities: begin with all that repeat, and drop those that are missed least.

    Characters always stay, so that every word can be cut. ValueError when there is no room for them.
    """
    counts: Counter[str] = Counter()
    for word, times in words.items():
        for start, end in combinations(range(len(word) + 1), 2):
            counts[word[start:end]] += times
    letters = sorted(piece for piece in counts if len(piece) == 1)
    _check_room(len(letters), vocab_size)
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


def _check_room(characters: int, vocab_size: int) -> None:
    if vocab_size < characters:
        raise ValueError(f"the characters alone need {characters} pieces; vocab_size is {vocab_size}")
