"""Equations of ``book/concepts/tokenization.ipynb``: the unigram model and how it is fitted."""

import math
from itertools import product
from typing import Any

import torch
from torch import Generator, Tensor

from companion.data.unigram import em_step, forward, segmentations
from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import cuts, distribution, pieces, tokens, whole, word

PIECE = Symbol("p(x)", "probability of the piece $x$")


WORD = Symbol("w_{i:j}", "characters of $w$ after the $i$-th up to the $j$-th")


ALPHA = Symbol(r"\alpha_j", "forward probability: of all segmentations of the first $j$ characters of $w$")


def _vocabulary(g: Generator, words: list[str]) -> dict[str, float]:
    """All letters and some longer substrings, each with a probability."""
    known = [piece for piece in pieces(words) if len(piece) == 1 or whole(g, 0, 2)]
    return dict(zip(known, distribution(g, len(known)).tolist(), strict=True))


def _one_word(g: Generator) -> dict[str, Any]:
    w = word(g, "abc", whole(g, 2, 7))
    return {"w": w, "p": _vocabulary(g, [w])}


def _unigram_by_hand(w: str, p: dict[str, float]) -> float:
    total = 0.0
    for cut_here in product([False, True], repeat=len(w) - 1):  # every way to cut between two characters, or not
        breaks = tuple(i for i, cut in enumerate(cut_here, start=1) if cut)
        chance = 1.0
        for start, end in cuts(len(w), breaks):
            chance *= p.get(w[start:end], 0.0)
        total += chance
    return total


def _unigram_companion(w: str, p: dict[str, float]) -> float:
    return sum(math.prod(p[x] for x in way) for way in segmentations(w, p))


def _unigram_torch(w: str, p: dict[str, float]) -> Tensor:
    return _all_ways(w, {piece: torch.tensor(value) for piece, value in p.items()})[-1]


def _all_ways(w: str, p: dict[str, Tensor]) -> Tensor:
    """Sum over walks from position 0 to each position: a row of ``(I - T)^-1``, T the steps between positions."""
    n = len(w)
    steps = [[p.get(w[i:j], torch.zeros(())) if i < j else torch.zeros(()) for j in range(n + 1)] for i in range(n + 1)]
    matrix = torch.eye(n + 1) - torch.stack([torch.stack(row) for row in steps])
    walks: Tensor = torch.linalg.solve(matrix.T, torch.eye(n + 1)[0])
    return walks


def _forward_by_hand(w: str, p: dict[str, float]) -> Tensor:
    alpha = [1.0]
    for j in range(1, len(w) + 1):
        alpha.append(sum(alpha[i] * p.get(w[i:j], 0.0) for i in range(j)))
    return torch.tensor(alpha)  # the last is p(w)


def _forward_companion(w: str, p: dict[str, float]) -> Tensor:
    return torch.tensor(forward(w, {piece: math.log(value) for piece, value in p.items()})).exp()


def _forward_torch(w: str, p: dict[str, float]) -> Tensor:
    return _all_ways(w, {piece: torch.tensor(value) for piece, value in p.items()})


def _em_by_hand(words: dict[str, int], p: dict[str, float]) -> Tensor:
    c = dict.fromkeys(p, 0.0)
    for w, n_w in words.items():
        n = len(w)
        alpha, beta = [1.0] + n * [0.0], n * [0.0] + [1.0]
        for j in range(1, n + 1):
            alpha[j] = sum(alpha[i] * p.get(w[i:j], 0.0) for i in range(j))
        for i in range(n - 1, -1, -1):
            beta[i] = sum(p.get(w[i:j], 0.0) * beta[j] for j in range(i + 1, n + 1))
        for i in range(n):
            for j in range(i + 1, n + 1):
                if w[i:j] in p:
                    c[w[i:j]] += n_w * alpha[i] * p[w[i:j]] * beta[j] / alpha[n]
    return torch.tensor([c[x] / sum(c.values()) for x in p])


def _em_companion(words: dict[str, int], p: dict[str, float]) -> Tensor:
    better, _ = em_step(words, {piece: math.log(value) for piece, value in p.items()})
    return torch.tensor([better[x] for x in p]).exp()


def _em_torch(words: dict[str, int], p: dict[str, float]) -> Tensor:
    log_p = torch.tensor(list(p.values())).log().requires_grad_()
    known = dict(zip(p, log_p.exp(), strict=True))
    likelihood = torch.stack([n_w * _all_ways(w, known)[-1].log() for w, n_w in words.items()]).sum()
    (counts,) = torch.autograd.grad(likelihood, log_p)  # how often x is used, on average, is this derivative
    return counts / counts.sum()


def _text(g: Generator) -> dict[str, Any]:
    words = {word(g, "abc", whole(g, 2, 6)): int(n) + 1 for n in tokens(g, 5, 4)}
    return {"words": words, "p": _vocabulary(g, list(words))}


EQUATIONS = (
    Equation(
        label="eq-tokenization-unigram",
        symbols=(
            Symbol("w", "a word"),
            Symbol("S(w)", "segmentations of $w$ into pieces of the vocabulary"),
            Symbol("x_1, \\dots, x_k", "pieces of a segmentation"),
            PIECE,
        ),
        draw=_one_word,
        by_hand=_unigram_by_hand,
        companion=_unigram_companion,
        library=_unigram_torch,
    ),
    Equation(
        label="eq-tokenization-forward",
        symbols=(ALPHA, WORD, Symbol("p(x), p(w_{i:j})", PIECE.meaning), Symbol("|w|", "number of characters of $w$")),
        draw=_one_word,
        by_hand=_forward_by_hand,
        companion=_forward_companion,
        library=_forward_torch,
    ),
    Equation(
        label="eq-tokenization-em",
        symbols=(
            Symbol("c(x)", "expected count of the piece $x$"),
            Symbol("n_w", "count of the word $w$"),
            WORD,
            ALPHA,
            Symbol(r"\beta_j", "backward probability: of all segmentations of what follows character $j$"),
            PIECE,
        ),
        draw=_text,
        by_hand=_em_by_hand,
        companion=_em_companion,
        library=_em_torch,
    ),
)
