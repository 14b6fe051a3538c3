"""Exercises of ``book/algorithms/t5.ipynb``."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from companion.lessons.exercise_check import Exercise, Mistake
from companion.metrics.text import bleu, ngrams
from companion.nn.relative_bias import relative_bucket

MARKS = ["<X>", "<Y>", "<Z>", "<A>"]
Spans = Sequence[tuple[int, int]]
Two = tuple[list[str], list[str]]


def _words(text: str) -> list[str]:
    return text.split()


def _corrupted(words: list[str], spans: Spans, marks: Sequence[str]) -> Two:
    source, target, place = [], [], 0
    for mark, (start, length) in zip(marks, spans, strict=False):
        source += [*words[place:start], mark]
        target += [mark, *words[start : start + length]]
        place = start + length
    return source + words[place:], [*target, marks[len(spans)]]


def _mark_a_word(words: list[str], spans: Spans, marks: Sequence[str]) -> Two:
    single = [(i, 1) for start, length in spans for i in range(start, start + length)]
    return _corrupted(words, single, [*marks, *(f"<{i}>" for i in range(len(words)))])


def _one_mark(words: list[str], spans: Spans, marks: Sequence[str]) -> Two:
    return _corrupted(words, spans, [marks[0]] * (len(spans) + 1))


def _no_last_mark(words: list[str], spans: Spans, marks: Sequence[str]) -> Two:
    source, target = _corrupted(words, spans, marks)
    return source, target[:-1]


def _restored(words: list[str], spans: Spans, marks: Sequence[str]) -> Two:
    return _corrupted(words, spans, marks)[0], list(words)


SPAN_CORRUPTION = Exercise(
    name="span-corruption",
    task=(
        "From words (a list), spans, pairs (start, length) from left to right, and marks (sentinels in order), return "
        "a pair of lists: what the encoder reads and what the decoder writes, both without an end token."
    ),
    reference=_corrupted,
    cases=lambda: [
        (_words("Thank you for inviting me to your party last week ."), [(2, 2), (8, 1)], MARKS),
        (_words("Tom is in the garden . He feels calm ."), [(0, 3), (4, 2), (8, 2)], MARKS),
    ],
    mistakes=(
        Mistake(_mark_a_word, "You put a sentinel for each word. One stands for a whole span, however long it is."),
        Mistake(_one_mark, "You use one sentinel for all gaps. Then nobody knows which words belong into which."),
        Mistake(
            _no_last_mark, "One sentinel is missing: the target ends with the next one, which says that it is over."
        ),
        Mistake(
            _restored, "You ask for the whole text, as BART does. T5 asks for the spans alone, each after its mark."
        ),
    ),
)


def _bucket(distance: Tensor, n_buckets: int, max_distance: int) -> Tensor:
    return relative_bucket(distance, both_ways=True, n_buckets=n_buckets, max_distance=max_distance)


def _linear_far(distance: Tensor, n_buckets: int, max_distance: int) -> Tensor:
    half = n_buckets // 2
    return half * (distance > 0) + distance.abs().clamp(max=half - 1)


RELATIVE_BUCKET = Exercise(
    name="relative-bucket",
    task=(
        "From distance (n,), whole numbers, key minus query, n_buckets and max_distance, return the encoder's buckets "
        "(n,), whole numbers."
    ),
    reference=_bucket,
    cases=lambda: [
        (torch.arange(-20, 21), 8, 16),
        (torch.tensor([0, -1, 1, -7, 7, -8, 8, -13, 30, -127, 128, 900]), 32, 128),
    ],
    mistakes=(
        Mistake(
            lambda distance, n, far: _bucket(-distance, n, far),
            "Your directions are swapped: the second half of the buckets is for keys that come *after* the query.",
        ),
        Mistake(
            lambda distance, n, far: _bucket(-distance.abs(), n, far),
            "You give both directions the same buckets. Half of them are for keys that come later.",
        ),
        Mistake(
            lambda distance, n, far: relative_bucket(distance, both_ways=False, n_buckets=n, max_distance=far),
            "Those are the decoder's buckets, where no key comes later. The encoder looks both ways.",
        ),
        Mistake(
            _linear_far,
            "You cut the distances off where the buckets run out. Only the near ones have a bucket each; from there on "
            "the buckets widen with the logarithm.",
        ),
    ),
)


def _projections() -> list[tuple[Tensor, ...]]:
    draw = torch.Generator().manual_seed(0)
    sizes = ((3, 4, 6), (2, 5, 3))
    return [
        tuple(torch.randn(shape, generator=draw) for shape in ((n, d), (d, d_ff), (d, d_ff), (d_ff, d)))
        for n, d, d_ff in sizes
    ]


def _gelu(x: Tensor) -> Tensor:
    return F.gelu(x, approximate="tanh")


GATED_GELU = Exercise(
    name="gated-gelu",
    task=(
        "From x (n, d), w1 and v (d, d_ff) and w2 (d_ff, d), return T5 1.1's feed-forward network (n, d); GELU is "
        'F.gelu(…, approximate="tanh").'
    ),
    reference=lambda x, w1, v, w2: (_gelu(x @ w1) * (x @ v)) @ w2,
    cases=_projections,
    mistakes=(
        Mistake(
            lambda x, w1, v, w2: (x @ w1 * _gelu(x @ v)) @ w2,
            "You bend the wrong factor: GELU is applied to x w1, and x v is left straight.",
        ),
        Mistake(
            lambda x, w1, v, w2: (_gelu(x @ w1) + x @ v) @ w2,
            "You add the two. A gate multiplies: what it sets to 0 does not come through.",
        ),
        Mistake(
            lambda x, w1, v, w2: _gelu(x @ w1) @ w2, "That is a plain feed-forward network: the gate x v is missing."
        ),
        Mistake(
            lambda x, w1, v, w2: _gelu((x @ w1) * (x @ v)) @ w2,
            "You multiply first and bend the product. Bend x w1 alone, then multiply.",
        ),
    ),
)


def _clipped(candidate: list[str], reference: list[str], n: int) -> float:
    found = ngrams(candidate, n)
    return (found & ngrams(reference, n)).total() / found.total()


def _unclipped(candidate: list[str], reference: list[str], n: int) -> float:
    found, there = ngrams(candidate, n), ngrams(reference, n)
    return sum(count for gram, count in found.items() if gram in there) / found.total()


def _kinds(candidate: list[str], reference: list[str], n: int) -> float:
    found = set(ngrams(candidate, n))
    return len(found & set(ngrams(reference, n))) / len(found)


CLIPPED_PRECISION = Exercise(
    name="clipped-precision",
    task="From candidate and reference, lists of words, and n, return the clipped precision of n-grams, a number.",
    reference=_clipped,
    cases=lambda: [
        (_words("the the the the the the the"), _words("the cat is on the mat"), 1),
        (
            _words("Tom is in the park . Tom is in the park ."),
            _words("Tom is in the park . He is calm . Anna too ."),
            2,
        ),
        (_words("a b a b c"), _words("a b c a"), 1),
    ],
    mistakes=(
        Mistake(
            _unclipped,
            "You count every n-gram that occurs in the reference. Count each at most as often as it occurs there.",
        ),
        Mistake(
            lambda candidate, reference, n: _clipped(reference, candidate, n),
            "You divide by the n-grams of the reference: that is recall. Precision divides by the candidate's.",
        ),
        Mistake(_kinds, "You count each kind of n-gram once. They are counted as often as they come, up to the clip."),
    ),
)

Texts = list[list[str]]


def _mean_of_sentences(candidates: Texts, references: Texts) -> float:
    return sum(bleu([c], [r]).score for c, r in zip(candidates, references, strict=True)) / len(candidates)


def _without_penalty(candidates: Texts, references: Texts) -> float:
    found = bleu(candidates, references)
    return found.score / found.brevity_penalty


def _arithmetic(candidates: Texts, references: Texts) -> float:
    found = bleu(candidates, references)
    return 100 * found.brevity_penalty * sum(found.precisions) / 4


def _always_a_penalty(candidates: Texts, references: Texts) -> float:
    ratio = sum(map(len, references)) / sum(map(len, candidates))
    return _without_penalty(candidates, references) * math.exp(1 - ratio)


def _corpora() -> list[tuple[Texts, Texts]]:
    long = _words("Tom is in the park . Anna goes to the cave .")
    short = _words("Tom is in the park . Anna goes to the park")
    longer = _words("Tom is in the park . He goes to the cave . Anna too .")
    calm, sad = _words("Lily feels calm now ."), _words("Lily feels calm and sad .")
    return [([short, calm], [long, sad]), ([longer, sad], [long, calm])]


CORPUS_BLEU = Exercise(
    name="corpus-bleu",
    task="From candidates and references, lists of texts, each a list of words, return BLEU up to 4-grams, 0 to 100.",
    reference=lambda candidates, references: bleu(candidates, references).score,
    cases=_corpora,
    mistakes=(
        Mistake(
            _mean_of_sentences,
            "You average the scores of the texts. Sum the counts over the corpus first, then divide once.",
        ),
        Mistake(_without_penalty, "The brevity penalty is missing: a text of few sure words would score too high."),
        Mistake(_arithmetic, "You average the precisions. BLEU averages their logarithms: it is a geometric mean."),
        Mistake(
            _always_a_penalty,
            "Your length factor can be above 1. Candidates longer than the references get no reward for it.",
        ),
    ),
)


EXERCISES = (
    SPAN_CORRUPTION,
    RELATIVE_BUCKET,
    GATED_GELU,
    CLIPPED_PRECISION,
    CORPUS_BLEU,
)
