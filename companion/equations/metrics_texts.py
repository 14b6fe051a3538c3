"""The equations of ``book/formulas/metrics.ipynb`` about texts: BLEU and ROUGE."""

import math
from collections import Counter
from itertools import combinations
from typing import Any

import sacrebleu
import torch
from torch import Generator, Tensor

from companion.equations.checking import Equation, Symbol
from companion.equations.drawing import tokens, whole
from companion.text_metrics import bleu, longest_common_subsequence, rouge_l, rouge_n

Texts = list[list[str]]


def _translations(g: Generator) -> dict[str, Any]:
    wanted = [[str(word) for word in tokens(g, 6, whole(g, 8, 12)).tolist()] for _ in range(3)]
    kept = [text[: whole(g, 5, 9)] for text in wanted]  # so that each has runs of four in common
    ends = [[str(word) for word in tokens(g, 6, whole(g, 0, 5)).tolist()] for _ in wanted]
    return {"written": [a + b for a, b in zip(kept, ends, strict=True)], "wanted": wanted}


def _of_sacrebleu(written: Texts, wanted: Texts) -> Any:
    sides = [[" ".join(text) for text in side] for side in (written, wanted)]
    return sacrebleu.corpus_bleu(sides[0], [sides[1]], tokenize="none", smooth_method="none", force=True)


def _clipped_hand(written: Texts, wanted: Texts) -> Tensor:
    precisions = []
    for n in (1, 2, 3, 4):
        matched = asked = 0
        for candidate, reference in zip(written, wanted, strict=True):
            places = range(len(candidate) - n + 1)
            found = Counter(tuple(candidate[i : i + n]) for i in places)
            there = Counter(tuple(reference[i : i + n]) for i in range(len(reference) - n + 1))
            matched += sum(min(times, there[gram]) for gram, times in found.items())
            asked += len(places)
        precisions.append(matched / asked)
    return torch.tensor(precisions)


def _clipped_ours(written: Texts, wanted: Texts) -> Tensor:
    return torch.tensor(bleu(written, wanted).precisions)


def _clipped_torch(written: Texts, wanted: Texts) -> Tensor:
    return torch.tensor(_of_sacrebleu(written, wanted).precisions) / 100


def _brevity_hand(written: Texts, wanted: Texts) -> float:
    c, r = sum(map(len, written)), sum(map(len, wanted))
    return 1.0 if c >= r else math.exp(1 - r / c)


def _brevity_ours(written: Texts, wanted: Texts) -> float:
    return bleu(written, wanted).brevity_penalty


def _brevity_torch(written: Texts, wanted: Texts) -> float:
    return float(_of_sacrebleu(written, wanted).bp)


def _two_texts(g: Generator) -> dict[str, list[int]]:
    return {"a": tokens(g, 3, whole(g, 3, 8)).tolist(), "b": tokens(g, 3, whole(g, 3, 8)).tolist()}


def _rouge_hand(a: list[int], b: list[int]) -> float:
    found = Counter(tuple(a[i : i + 2]) for i in range(len(a) - 1))
    there = Counter(tuple(b[i : i + 2]) for i in range(len(b) - 1))
    matched = sum(min(times, there[gram]) for gram, times in found.items())
    if not matched:
        return 0.0
    precision, recall = matched / (len(a) - 1), matched / (len(b) - 1)
    return 2 * precision * recall / (precision + recall)


def _rouge_ours(a: list[int], b: list[int]) -> float:
    return rouge_n(a, b, n=2)


def _rouge_torch(a: list[int], b: list[int]) -> Tensor:
    counts = []
    for text in (torch.tensor(a), torch.tensor(b)):
        counts.append(torch.bincount(3 * text[:-1] + text[1:], minlength=9))  # each pair of three words has a number
    return 2 * torch.minimum(*counts).sum() / torch.stack(counts).sum()


def _rouge_l_hand(a: list[int], b: list[int]) -> tuple[int, float]:
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            same = a[i - 1] == b[j - 1]  # words are counted from 1 on the page, from 0 here
            table[i][j] = table[i - 1][j - 1] + 1 if same else max(table[i - 1][j], table[i][j - 1])
    longest = table[len(a)][len(b)]
    return longest, 2 * longest / (len(a) + len(b))


def _rouge_l_ours(a: list[int], b: list[int]) -> tuple[int, float]:
    return longest_common_subsequence(a, b), rouge_l(a, b)


def _rouge_l_torch(a: list[int], b: list[int]) -> tuple[int, float]:
    ours, theirs = ({s for n in range(len(text) + 1) for s in combinations(text, n)} for text in (a, b))
    longest = max(map(len, ours & theirs))
    if not longest:
        return 0, 0.0
    return longest, 2 / (len(a) / longest + len(b) / longest)


EQUATIONS = (
    Equation(
        "eq-metrics-clipped",
        (
            Symbol("p_n", "clipped precision of $n$-grams, runs of $n$ tokens"),
            Symbol("C", "a candidate: a text that was written"),
            Symbol("h", "an $n$-gram"),
            Symbol(r"\#_C(h), \#_R(h)", "how often it stands in the candidate, and in its reference"),
        ),
        _translations,
        _clipped_hand,
        _clipped_ours,
        _clipped_torch,
        library="sacrebleu",
    ),
    Equation(
        "eq-metrics-brevity",
        (
            Symbol(r"\mathrm{BP}", "brevity penalty"),
            Symbol("c", "tokens in all candidates"),
            Symbol("r", "tokens in all references"),
        ),
        _translations,
        _brevity_hand,
        _brevity_ours,
        _brevity_torch,
        library="sacrebleu",
    ),
    Equation(
        "eq-metrics-rouge",
        (
            Symbol("M_n", "clipped matches: $n$-grams that both texts have, each as often as in both"),
            Symbol("c_n, r_n", "$n$-grams in the candidate, and in the reference"),
        ),
        _two_texts,
        _rouge_hand,
        _rouge_ours,
        _rouge_torch,
    ),
    Equation(
        "eq-metrics-rouge-l",
        (
            Symbol(r"\ell_{ij}", r"longest subsequence that $a_1 \dots a_i$ and $b_1 \dots b_j$ share; its length"),
            Symbol("a_i, b_j", "token $i$ of the candidate, token $j$ of the reference"),
            Symbol("c, r", "tokens of the candidate, and of the reference"),
        ),
        _two_texts,
        _rouge_l_hand,
        _rouge_l_ours,
        _rouge_l_torch,
        library="a list of all subsequences",
    ),
)
