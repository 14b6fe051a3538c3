"""BPE and WordPiece by hand, small enough to read beside their formulas.

Chapter: ``book/concepts/tokenization.ipynb``. Sources: Sennrich et al. 2016, section 3.2 (BPE); Schuster & Nakajima
2012 and Devlin et al. 2019 (WordPiece). :mod:`companion.data.tokenization` has the fast versions.

Training starts from ``words``: word -> its count. A word is any string: a real word, a word with the space before it, a
Chinese sentence, or bytes written as characters.
"""

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from itertools import pairwise

from companion.data.checks import check_list

Pair = tuple[str, str]
Words = Mapping[str, int]
INSIDE = "##"  # WordPiece marks a piece that does not begin its word


def merge(pieces: Sequence[str], pair: Pair, joined: str) -> list[str]:
    """Pieces with each occurrence of ``pair`` replaced by ``joined``, from left to right.

    >>> merge(["l", "o", "l", "o"], ("l", "o"), "lo")
    ['lo', 'lo']
    """
    merged: list[str] = []
    for piece in pieces:
        if merged and (merged[-1], piece) == pair:
            merged[-1] = joined
        else:
            merged.append(piece)
    return merged


def pair_counts(spelled: Mapping[str, Sequence[str]], words: Words) -> Counter[Pair]:
    """Counts of adjacent pairs of pieces; ``spelled`` is word -> its pieces.

    >>> pair_counts({"low": ["l", "o", "w"]}, {"low": 3})
    Counter({('l', 'o'): 3, ('o', 'w'): 3})
    """
    counts: Counter[Pair] = Counter()
    for word, pieces in spelled.items():
        for pair in pairwise(pieces):
            counts[pair] += words[word]
    return counts


def learn_bpe(words: Words, merges: int) -> list[Pair]:
    """Merges of byte-pair encoding: start from characters, and merge the most frequent pair, again and again.

    Ties go to the pair of the older pieces; characters are as old as their code points are small. Learning ends early
    when every word has become one piece.

    >>> learn_bpe({"low": 5, "lower": 2}, merges=2)
    [('l', 'o'), ('lo', 'w')]

    Returns:
        at most ``merges`` pairs, in the order of merging.
    """
    check_list("words", words)
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
    """Pieces of a word: from its characters on, apply the possible merge that was learned first, and repeat.

    >>> encode_bpe("slow", [("l", "o"), ("lo", "w")])
    ['s', 'low']
    """
    check_list("merges", merges)
    check_list("each merge", *merges)
    rank = {pair: n for n, pair in enumerate(merges)}
    pieces = list(word)
    while possible := [pair for pair in pairwise(pieces) if pair in rank]:
        first = min(possible, key=rank.__getitem__)
        pieces = merge(pieces, first, "".join(first))
    return pieces


def learn_wordpiece(words: Words, vocab_size: int) -> list[str]:
    """WordPiece vocabulary: word beginnings and, marked by ``##``, pieces inside words.

    Merges the pair with the largest ``count(ab) / (count(a) count(b))``, the usual reading of a rule whose code was
    never published; ties go to the more frequent pair, then to the pair of the older pieces. Learning ends early when
    every word has become one piece.

    >>> learn_wordpiece({"low": 5, "lower": 2}, vocab_size=8)
    ['##e', '##o', '##r', '##w', 'l', '##er', '##ow', 'low']

    Raises:
        ValueError: when ``vocab_size`` has no room for the characters.
    """
    check_list("words", words)
    spelled = {word: [word[0], *(INSIDE + character for character in word[1:])] for word in words if word}
    age = {piece: n for n, piece in enumerate(sorted({piece for pieces in spelled.values() for piece in pieces}))}
    check_room(len(age), vocab_size)
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
    """Pieces of a word by greedy longest match; a word with a part that no piece fits is ``unknown`` as a whole.

    >>> encode_wordpiece("lower", {"low", "##e", "##er"}), encode_wordpiece("lows", {"low", "##e", "##er"})
    (['low', '##er'], ['[UNK]'])
    """
    check_list("vocabulary", vocabulary)
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
    """The word that its pieces spell.

    >>> decode_wordpiece(["low", "##er"])
    'lower'
    """
    return "".join(piece.removeprefix(INSIDE) for piece in pieces)


def check_room(characters: int, vocab_size: int) -> None:
    """Raise ValueError when a vocabulary has no room for its characters."""
    if vocab_size < characters:
        raise ValueError(f"the characters alone need {characters} pieces; vocab_size is {vocab_size}")
