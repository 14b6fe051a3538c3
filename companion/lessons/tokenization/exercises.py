"""Exercises of ``book/concepts/tokenization.ipynb``."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations, pairwise

from companion.data.subwords import Pair, decode_wordpiece, encode_bpe, encode_wordpiece, merge
from companion.data.unigram import forward, segmentations
from companion.lessons.exercise_check import Exercise, Mistake
from companion.metrics.language_model import bits_per_character


def _bytes_by(steps: Mapping[int, int]) -> Callable[[str], int]:
    """Count bytes a character: the number that belongs to the largest step that its code point reaches."""
    return lambda text: sum(steps[max(step for step in steps if ord(c) >= step)] for c in text)


UTF8_BYTES = Exercise(
    name="utf8-bytes",
    task="From a text, return how many bytes UTF-8 spends on it, by looking at its code points.",
    reference=lambda text: len(text.encode()),
    cases=lambda: [("a naïve café",), ("语言模型 GPT",), ("ok 🙂",), ("𝄞 in ré",)],
    mistakes=(
        Mistake(
            len,
            "These are characters. Only the first 128 of them, the ASCII ones, take a single byte.",
        ),
        Mistake(
            _bytes_by({0: 1, 0x80: 2}),
            "Two bytes hold 11 bits of a code point, enough up to U+07FF. What about 语, which is U+8BED?",
        ),
        Mistake(
            _bytes_by({0: 1, 0x80: 3}),
            "Not all that is beyond ASCII takes three bytes: up to U+07FF, as for é, two are enough.",
        ),
        Mistake(
            _bytes_by({0: 1, 0x80: 2, 0x800: 3}),
            "Right up to U+FFFF. Emoji and some rarer characters lie beyond it.",
        ),
    ),
)


def _most_frequent(
    words: Mapping[tuple[str, ...], int],
    pairs: Callable[..., Iterable[Pair]] = pairwise,
    weigh: bool = True,
) -> Pair:
    counts: Counter[Pair] = Counter()
    for pieces, times in words.items():
        for pair in pairs(pieces):
            counts[pair] += times if weigh else 1
    return max(counts, key=counts.__getitem__)


def _across_borders(words: Mapping[tuple[str, ...], int]) -> Pair:
    return _most_frequent({tuple(piece for pieces, times in words.items() for piece in pieces * times): 1})


PAIR_TO_MERGE = Exercise(
    name="pair-to-merge",
    task="From words, a dict from tuples of pieces to counts, return the pair of neighbours that occurs most often.",
    reference=_most_frequent,
    cases=lambda: [
        ({("g", "o"): 9, ("t", "a", "l", "k"): 2, ("w", "a", "l", "k"): 2, ("s", "a", "l", "e"): 1},),
        ({("n", "a", "n", "a", "n", "a"): 4, ("n", "o"): 5, ("n", "o", "d"): 5, ("n", "o", "t"): 1},),
        ({("c", "a", "t"): 4, ("c", "u", "t"): 4, ("c", "a", "r"): 3},),
        ({("a",): 9, ("t", "o"): 5, ("t", "i"): 4},),
    ],
    mistakes=(
        Mistake(
            lambda words: _most_frequent(words, weigh=False),
            "You count each word once. A pair counts as often as its word occurs.",
        ),
        Mistake(
            lambda words: _most_frequent(words, pairs=lambda pieces: set(pairwise(pieces))),
            "You count a pair once a word. In a word like banana the same pair stands at two places, and both count.",
        ),
        Mistake(
            lambda words: _most_frequent(words, pairs=lambda pieces: combinations(pieces, 2)),
            "Your pairs need not be neighbours. Only pieces that touch can be joined.",
        ),
        Mistake(
            _across_borders,
            "You put the words in a row and count across their borders. No piece may reach into the next word.",
        ),
    ),
)


def _first_place_only(word: str, merges: Sequence[Pair]) -> list[str]:
    pieces = list(word)
    for pair in merges:
        places = [n for n, neighbours in enumerate(pairwise(pieces)) if neighbours == pair]
        if places:
            pieces[places[0] : places[0] + 2] = ["".join(pair)]
    return pieces


def _leftmost_first(word: str, merges: Sequence[Pair]) -> list[str]:
    pieces = list(word)
    while possible := [pair for pair in pairwise(pieces) if pair in merges]:
        pieces = merge(pieces, possible[0], "".join(possible[0]))
    return pieces


def _longest_first(word: str, merges: Sequence[Pair]) -> list[str]:
    return _match(word, {*word, *map("".join, merges)}, mark="")


def _match(word: str, vocabulary: set[str], mark: str = "##", shortest: bool = False) -> list[str]:
    pieces: list[str] = []
    start = 0
    while start < len(word):
        lengths = sorted(range(start + 1, len(word) + 1), reverse=not shortest)
        candidates = (((mark if start else "") + word[start:end], end) for end in lengths)
        piece, start = next(((piece, end) for piece, end in candidates if piece in vocabulary), ("", len(word)))
        pieces.append(piece)
    return pieces if all(pieces) else ["[UNK]"]


APPLY_MERGES = Exercise(
    name="apply-merges",
    task="From a word and merges, pairs in the order in which BPE learned them, return the list of the word's pieces.",
    reference=encode_bpe,
    cases=lambda: [
        ("talking", [("a", "l"), ("al", "k"), ("i", "n"), ("t", "alk"), ("in", "g")]),
        ("banana", [("a", "n"), ("b", "an"), ("an", "a")]),
        ("abcd", [("b", "c"), ("a", "b"), ("c", "d"), ("bc", "d")]),
        ("abc", [("a", "b"), ("b", "c")]),
        ("abc", [("b", "c"), ("a", "bc"), ("a", "b")]),
    ],
    mistakes=(
        Mistake(
            _first_place_only,
            "A merge applies at every place where its pair stands, not only at the first.",
        ),
        Mistake(
            _leftmost_first,
            "You take the leftmost pair that can be merged. The one that was learned first goes first.",
        ),
        Mistake(
            lambda word, merges: encode_bpe(word, merges[::-1]),
            "You begin with the merge that was learned last. Begin with the one that was learned first.",
        ),
        Mistake(
            _longest_first,
            "You match the longest piece from the left: that is WordPiece. BPE repeats its merges in their order.",
        ),
    ),
)


def _unknown_rest(word: str, vocabulary: set[str]) -> list[str]:
    starts = (encode_wordpiece(word[:end], vocabulary) for end in range(len(word), 0, -1))
    known = next(pieces for pieces in starts if pieces != ["[UNK]"])
    return known if decode_wordpiece(known) == word else [*known, "[UNK]"]


LONGEST_MATCH = Exercise(
    name="longest-match",
    task=(
        "From a word and a WordPiece vocabulary, a set of strings, return the list of pieces that greedy longest match "
        'finds; ["[UNK]"] when some part fits nothing.'
    ),
    reference=encode_wordpiece,
    cases=lambda: [
        ("walking", {"walk", "wal", "##k", "##king", "##ing", "ing", "##i", "##n", "##g", "w"}),
        ("talks", {"t", "talk", "##alk", "##s", "##a", "##l", "##k", "ta"}),
        ("looked", {"look", "##ed", "##e", "lo", "##o", "##k", "##d", "##oked", "l"}),
        ("talkzed", {"talk", "t", "##ed", "##alk", "ed"}),
    ],
    mistakes=(
        Mistake(
            lambda word, vocabulary: _match(word, vocabulary, mark=""),
            "You look every piece up bare. One that does not begin the word stands in the vocabulary behind ##.",
        ),
        Mistake(
            _unknown_rest,
            "You keep the pieces before the part that fits nothing. BERT gives the whole word up for one [UNK].",
        ),
        Mistake(
            lambda word, vocabulary: _match(word, vocabulary, shortest=True),
            "You take the shortest piece that fits. Try the longest first, and shorten it until one fits.",
        ),
    ),
)


def _ways(word: str, p: Mapping[str, float]) -> list[float]:
    return [math.prod(p[piece] for piece in pieces) for pieces in segmentations(word, p)]


def _greedy(word: str, p: Mapping[str, float]) -> float:
    return math.prod(p[piece] for piece in _match(word, set(p), mark=""))


WORD_PROBABILITY = Exercise(
    name="word-probability",
    task=(
        "From a word and p, a dict from pieces to probabilities, return the probability of the word under the unigram "
        "model, all its segmentations together."
    ),
    reference=lambda word, p: math.exp(forward(word, {piece: math.log(value) for piece, value in p.items()})[-1]),
    cases=lambda: [
        ("ab", {"a": 0.3, "b": 0.2, "ab": 0.5}),
        ("abab", {"a": 0.1, "b": 0.2, "ab": 0.3, "aba": 0.15, "ba": 0.25}),
        ("aaaa", {"a": 0.5, "aa": 0.3, "aaa": 0.2}),
    ],
    mistakes=(
        Mistake(
            lambda word, p: max(_ways(word, p)),
            "This is the likeliest segmentation alone. The word can come about in every other way as well.",
        ),
        Mistake(
            lambda word, p: sum(sum(p[piece] for piece in pieces) for pieces in segmentations(word, p)),
            "You add the probabilities of one segmentation's pieces. They are drawn one after the other: multiply.",
        ),
        Mistake(
            _greedy,
            "You follow the longest piece only. Sum over every way to cut the word.",
        ),
    ),
)

BITS_PER_CHARACTER = Exercise(
    name="bits-per-character",
    task=(
        "From a model's mean loss in nats per token, and how many tokens and characters the text has, return its bits "
        "per character."
    ),
    reference=bits_per_character,
    cases=lambda: [(3.0, 200, 800), (1.5, 800, 800), (6.0, 100, 700)],
    mistakes=(
        Mistake(
            lambda nats, tokens, characters: nats * tokens / characters,
            "These are nats per character. A bit is log 2 of a nat, about 0.69.",
        ),
        Mistake(
            lambda nats, tokens, characters: nats / math.log(2) * characters / tokens,
            "The fraction stands on its head. The total is nats times tokens; share it among the characters.",
        ),
        Mistake(
            lambda nats, tokens, characters: nats / math.log(2),
            "These are bits per token, which no two tokenizers share. How many tokens go to a character?",
        ),
    ),
)


def _groups(digits: str) -> list[str]:
    return [digits[start : start + 3] for start in range(0, len(digits), 3)]


def _from_the_right(digits: str) -> list[str]:
    short = len(digits) % 3
    return [*([digits[:short]] if short else []), *_groups(digits[short:])]


DIGIT_GROUPS = Exercise(
    name="digit-groups",
    task="From `digits`, a string, return the list of its groups of three, from the left; the last may be shorter.",
    reference=_groups,
    cases=lambda: [("1234567",), ("100000",), ("42",), ("1000",)],
    mistakes=(
        Mistake(
            _from_the_right,
            "You begin at the right, as people do when they read a number. This rule begins at the left.",
        ),
        Mistake(list, "Those are single digits, as Qwen3 cuts. Here three go together."),
        Mistake(
            lambda digits: [group for group in _groups(digits) if len(group) == 3],
            "The last group is lost when it is short. Every digit must come back.",
        ),
        Mistake(
            lambda digits: [digits[i : i + 3] for i in range(max(1, len(digits) - 2))],
            "Your groups overlap: each digit belongs to one of them.",
        ),
    ),
)


EXERCISES = (
    UTF8_BYTES,
    PAIR_TO_MERGE,
    APPLY_MERGES,
    LONGEST_MATCH,
    WORD_PROBABILITY,
    BITS_PER_CHARACTER,
    DIGIT_GROUPS,
)
