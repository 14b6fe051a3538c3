"""Equations of ``book/formulas/metrics.ipynb``: BLEU, ROUGE, calibration and intervals."""

import math
from collections import Counter
from itertools import combinations
from typing import Any

import sacrebleu
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import distribution, normal, tokens, whole
from companion.metrics.classification import calibration
from companion.metrics.confidence import interval
from companion.metrics.text import bleu, longest_common_subsequence, rouge_l, rouge_n

Texts = list[list[str]]


def _translations(g: Generator) -> dict[str, Any]:
    wanted = [[str(word) for word in tokens(g, 6, whole(g, 8, 12)).tolist()] for _ in range(3)]
    kept = [text[: whole(g, 5, 9)] for text in wanted]  # so that each has runs of four in common
    ends = [[str(word) for word in tokens(g, 6, whole(g, 0, 5)).tolist()] for _ in wanted]
    return {"written": [a + b for a, b in zip(kept, ends, strict=True)], "wanted": wanted}


def _of_sacrebleu(written: Texts, wanted: Texts) -> Any:
    sides = [[" ".join(text) for text in side] for side in (written, wanted)]
    return sacrebleu.corpus_bleu(sides[0], [sides[1]], tokenize="none", smooth_method="none", force=True)


def _clipped_by_hand(written: Texts, wanted: Texts) -> Tensor:
    precisions = []
    for n in (1, 2, 3, 4):
        matched = total = 0
        for candidate, reference in zip(written, wanted, strict=True):
            starts = range(len(candidate) - n + 1)
            found = Counter(tuple(candidate[i : i + n]) for i in starts)
            there = Counter(tuple(reference[i : i + n]) for i in range(len(reference) - n + 1))
            matched += sum(min(times, there[gram]) for gram, times in found.items())
            total += len(starts)
        precisions.append(matched / total)
    return torch.tensor(precisions)


def _clipped_companion(written: Texts, wanted: Texts) -> Tensor:
    return torch.tensor(bleu(written, wanted).precisions)


def _clipped_sacrebleu(written: Texts, wanted: Texts) -> Tensor:
    return torch.tensor(_of_sacrebleu(written, wanted).precisions) / 100


def _brevity_by_hand(written: Texts, wanted: Texts) -> float:
    c, r = sum(map(len, written)), sum(map(len, wanted))
    return 1.0 if c >= r else math.exp(1 - r / c)


def _brevity_companion(written: Texts, wanted: Texts) -> float:
    return bleu(written, wanted).brevity_penalty


def _brevity_sacrebleu(written: Texts, wanted: Texts) -> float:
    return float(_of_sacrebleu(written, wanted).bp)


def _two_texts(g: Generator) -> dict[str, list[int]]:
    return {"a": tokens(g, 3, whole(g, 3, 8)).tolist(), "b": tokens(g, 3, whole(g, 3, 8)).tolist()}


def _rouge_by_hand(a: list[int], b: list[int]) -> float:
    found = Counter(tuple(a[i : i + 2]) for i in range(len(a) - 1))
    there = Counter(tuple(b[i : i + 2]) for i in range(len(b) - 1))
    matched = sum(min(times, there[gram]) for gram, times in found.items())
    if not matched:
        return 0.0
    precision, recall = matched / (len(a) - 1), matched / (len(b) - 1)
    return 2 * precision * recall / (precision + recall)


def _rouge_companion(a: list[int], b: list[int]) -> float:
    return rouge_n(a, b, n=2)


def _rouge_torch(a: list[int], b: list[int]) -> Tensor:
    counts = []
    for text in (torch.tensor(a), torch.tensor(b)):
        counts.append(torch.bincount(3 * text[:-1] + text[1:], minlength=9))  # each pair of three words has a number
    return 2 * torch.minimum(*counts).sum() / torch.stack(counts).sum()


def _rouge_l_by_hand(a: list[int], b: list[int]) -> tuple[int, float]:
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            same = a[i - 1] == b[j - 1]  # words are counted from 1 on the page, from 0 here
            table[i][j] = table[i - 1][j - 1] + 1 if same else max(table[i - 1][j], table[i][j - 1])
    longest = table[len(a)][len(b)]
    return longest, 2 * longest / (len(a) + len(b))


def _rouge_l_companion(a: list[int], b: list[int]) -> tuple[int, float]:
    return longest_common_subsequence(a, b), rouge_l(a, b)


def _rouge_l_by_list(a: list[int], b: list[int]) -> tuple[int, float]:
    ours, theirs = ({s for n in range(len(text) + 1) for s in combinations(text, n)} for text in (a, b))
    longest = max(map(len, ours & theirs))
    if not longest:
        return 0, 0.0
    return longest, 2 / (len(a) / longest + len(b) / longest)


def _sure(g: Generator) -> dict[str, Any]:
    return {"p": distribution(g, 40, 3), "y": tokens(g, 3, 40), "bins": whole(g, 2, 10)}


def _ece_by_hand(p: Tensor, y: Tensor, bins: int) -> float:
    total = 0.0
    for b in range(1, bins + 1):
        surplus = 0.0
        for i in range(len(p)):
            sure = float(max(p[i]))
            if (b - 1) / bins < sure <= b / bins:
                surplus += float(p[i, y[i]] == max(p[i])) - sure
        total += abs(surplus)
    return total / len(p)


def _ece_companion(p: Tensor, y: Tensor, bins: int) -> float:
    return calibration(p, y, bins).error


def _ece_torch(p: Tensor, y: Tensor, bins: int) -> Tensor:
    sure, said = p.max(-1)
    inside = F.one_hot(torch.bucketize(sure, torch.linspace(0, 1, bins + 1)[1:-1]), bins).double()  # (n, bins)
    counts = inside.sum(0).clamp(min=1)
    gaps = (said.eq(y).double() @ inside - sure @ inside) / counts  # accuracy less confidence, bin by bin
    return (inside.mean(0) * gaps.abs()).sum()


def _interval_by_hand(a: Tensor) -> tuple[float, float]:
    n = 5
    mean = sum(float(a_k) for a_k in a) / n
    s = math.sqrt(sum((float(a_k) - mean) ** 2 for a_k in a) / (n - 1))
    x = 2 * math.cos((2 * math.pi - math.acos(-0.95)) / 3)  # solves x^3 - 3 x + 1.9 = 0
    t = 2 * x / math.sqrt(1 - x**2)
    return mean - t * s / math.sqrt(n), mean + t * s / math.sqrt(n)


def _interval_companion(a: Tensor) -> tuple[float, float]:
    found = interval(a.tolist())
    return found.low, found.high


def _interval_by_integration(a: Tensor) -> tuple[Tensor, Tensor]:
    t = torch.tensor(2.0)
    for _ in range(8):  # Newton's method on the area under the density, which Simpson's rule measures
        x = torch.linspace(0, 1, 2001) * t
        density = 0.375 * (1 + x.square() / 4) ** -2.5
        area = t / 6000 * (density[:-1:2].sum() + 4 * density[1::2].sum() + density[2::2].sum())  # h / 3
        t = t - (area - 0.475) / density[-1]
    half = t * a.std() / 5**0.5
    return a.mean() - half, a.mean() + half


EQUATIONS = (
    Equation(
        label="eq-metrics-clipped",
        symbols=(
            Symbol("p_n", "clipped precision of $n$-grams, runs of $n$ tokens"),
            Symbol("C", "a candidate: generated text"),
            Symbol("h", "an $n$-gram"),
            Symbol(r"\#_C(h), \#_R(h)", "count in the candidate, and in its reference"),
        ),
        draw=_translations,
        by_hand=_clipped_by_hand,
        companion=_clipped_companion,
        library=_clipped_sacrebleu,
        library_name="sacrebleu",
    ),
    Equation(
        label="eq-metrics-brevity",
        symbols=(
            Symbol(r"\mathrm{BP}", "brevity penalty"),
            Symbol("c", "number of tokens in all candidates"),
            Symbol("r", "number of tokens in all references"),
        ),
        draw=_translations,
        by_hand=_brevity_by_hand,
        companion=_brevity_companion,
        library=_brevity_sacrebleu,
        library_name="sacrebleu",
    ),
    Equation(
        label="eq-metrics-rouge",
        symbols=(
            Symbol("M_n", "clipped matches: $n$-grams of both texts, each as often as in both"),
            Symbol("c_n, r_n", "number of $n$-grams in the candidate, and in the reference"),
        ),
        draw=_two_texts,
        by_hand=_rouge_by_hand,
        companion=_rouge_companion,
        library=_rouge_torch,
    ),
    Equation(
        label="eq-metrics-rouge-l",
        symbols=(
            Symbol(r"\ell_{ij}", r"length of the longest common subsequence of $a_1 \dots a_i$ and $b_1 \dots b_j$"),
            Symbol("a_i, b_j", "token $i$ of the candidate, token $j$ of the reference"),
            Symbol("c, r", "number of tokens of the candidate, and of the reference"),
        ),
        draw=_two_texts,
        by_hand=_rouge_l_by_hand,
        companion=_rouge_l_companion,
        library=_rouge_l_by_list,
        library_name="a list of all subsequences",
    ),
    Equation(
        label="eq-metrics-ece",
        symbols=(
            Symbol("n", "number of predictions"),
            Symbol("B", "number of bins of equal width"),
            Symbol("c_i", "confidence of prediction $i$: the largest of its probabilities"),
            Symbol("z_i", "1 if prediction $i$ is right, else 0"),
        ),
        draw=_sure,
        by_hand=_ece_by_hand,
        companion=_ece_companion,
        library=_ece_torch,
    ),
    Equation(
        label="eq-metrics-interval",
        symbols=(
            Symbol(r"\bar a", "mean of the five scores"),
            Symbol("s", "sample standard deviation, with $n - 1$ in the denominator"),
            Symbol("n", "number of seeds; here five"),
            Symbol("t", "quantile: 95 % of Student's distribution with 4 degrees of freedom lie between $-t$ and $t$"),
        ),
        draw=lambda g: {"a": normal(g, 5)},
        by_hand=_interval_by_hand,
        companion=_interval_companion,
        library=_interval_by_integration,
        library_name="numerical integration",
    ),
)
