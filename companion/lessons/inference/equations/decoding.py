"""Equations of ``book/algorithms/inference.ipynb``: guesses that are checked, and masks."""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from companion.generation.constrained import TokenMask, constrained
from companion.generation.draws import outcomes
from companion.generation.grammar import words
from companion.generation.speculative import acceptance, expected_tokens, residual, speculative_round
from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import between, distribution, normal, whole

TARGET = Symbol("p", "the target's probabilities of the next token; $p(x)$ of token $x$", "V")


DRAFT = Symbol("q", "the draft's probabilities of the same token", "V")


def _pair(g: Generator) -> dict[str, Tensor]:
    return {"p": distribution(g, 5), "q": distribution(g, 5)}


def _keep_by_hand(p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    keep = [min(1.0, float(a) / float(b)) for a, b in zip(p, q, strict=True)]
    more = [max(0.0, float(a) - float(b)) for a, b in zip(p, q, strict=True)]
    return torch.tensor(keep), torch.tensor([x / sum(more) for x in more])


def _keep_companion(p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    return acceptance(p, q), residual(p, q)


def _keep_torch(p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    return (p / q).clamp(max=1), F.normalize(F.relu(p - q), p=1, dim=0)


def _exact_by_hand(p: Tensor, q: Tensor) -> Tensor:
    keep, again = _keep_by_hand(p, q)
    rejected = 1 - sum(float(b) * float(a) for a, b in zip(keep, q, strict=True))
    return torch.stack([q[x] * keep[x] + rejected * again[x] for x in range(len(p))])


def _exact_companion(p: Tensor, q: Tensor) -> Tensor:
    def first(draw: Any) -> int:
        return speculative_round([0], lambda text, proposed: torch.stack([p, p]), lambda text: q, 1, draw).tokens[0]

    found = outcomes(first)  # the sampler itself, along every branch
    return torch.tensor([found[x] for x in range(len(p))])


def _exact_target(p: Tensor, q: Tensor) -> Tensor:
    return p


def _expected_by_hand(alpha: float, k: int) -> float:
    return float((1 - alpha ** (k + 1)) / (1 - alpha))


def _expected_companion(alpha: float, k: int) -> float:
    return expected_tokens(alpha, k)


def _expected_torch(alpha: float, k: int) -> Tensor:
    return 1 + torch.full((k,), alpha).cumprod(0).sum()  # the chance that at least so many are kept, summed


LANGUAGE = ("ac", "ad", "bd")  # texts of two letters that the mask lets through


PLACES = [tuple("abcd".index(letter) for letter in text) for text in LANGUAGE]


def _masked_inputs(g: Generator) -> dict[str, Tensor]:
    return {"first": normal(g, 4), "second": normal(g, 4, 4)}  # logits of a to d, at the start and after each letter


def _softmax(z: list[float]) -> list[float]:
    return [math.exp(x) / sum(math.exp(y) for y in z) for x in z]


def _masked_by_hand(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    start = _softmax(first.tolist())
    local, whole_text = [], []
    for x, y in PLACES:
        then = _softmax(second[x].tolist())
        allowed = {b for a, b in PLACES if a == x}
        local.append(start[x] / (start[0] + start[1]) * then[y] / sum(then[b] for b in allowed))
        whole_text.append(start[x] * then[y])
    return torch.tensor(local), torch.tensor([p / sum(whole_text) for p in whole_text])


def _masked_companion(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    def after(text: Sequence[int]) -> Tensor:
        if len(text) == 2:
            return torch.tensor([-math.inf] * 4 + [0.0])  # the end
        return F.pad(second[text[0]] if text else first, (0, 1), value=-math.inf)

    def written(*texts: str) -> Tensor:
        mask = TokenMask(words(*texts), [*"abcd", None], stop=4)
        found = outcomes(lambda draw: tuple(constrained([], after, mask, draw, longest=3)))
        return torch.tensor([found[(*place, 4)] for place in PLACES])

    unmasked = written(*(a + b for a in "abcd" for b in "abcd"))
    return written(*LANGUAGE), unmasked / unmasked.sum()


def _masked_torch(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    allowed = torch.tensor([[True, True], [False, True]])  # (a or b, c or d)
    then = second.log_softmax(1)[:2, 2:].masked_fill(~allowed, -math.inf)
    local = first[:2].log_softmax(0)[:, None] + then.log_softmax(1)
    joint = (first.log_softmax(0)[:2, None] + then).flatten().softmax(0)
    return local[allowed].exp(), joint.unflatten(0, (2, 2))[allowed]


EQUATIONS = (
    Equation(
        label="eq-inference-keep",
        symbols=(
            Symbol("a(x)", "probability that a proposed token is kept"),
            TARGET,
            DRAFT,
            Symbol("r(x)", "probability of the token that is drawn after a rejection"),
        ),
        draw=_pair,
        by_hand=_keep_by_hand,
        companion=_keep_companion,
        library=_keep_torch,
    ),
    Equation(
        label="eq-inference-exact",
        symbols=(
            DRAFT,
            Symbol("a(x)", "probability that a proposed token is kept"),
            Symbol("r(x)", "probability of the token that is drawn after a rejection"),
            TARGET,
        ),
        draw=_pair,
        by_hand=_exact_by_hand,
        companion=_exact_companion,
        library=_exact_target,
        library_name="the target",
    ),
    Equation(
        label="eq-inference-expected",
        symbols=(
            Symbol(r"\mathbb{E}[\text{tokens}]", "expected tokens per run of the target"),
            Symbol(r"\alpha", "probability that a proposal is kept, below 1"),
            Symbol("k", "number of proposals per run, `lookahead`"),
        ),
        draw=lambda g: {"alpha": between(g, 0.05, 0.95), "k": whole(g, 1, 8)},
        by_hand=_expected_by_hand,
        companion=_expected_companion,
        library=_expected_torch,
    ),
    Equation(
        label="eq-inference-mask",
        symbols=(
            Symbol(r"p_{\text{masked}}(y)", "probability that the masked sampler writes the text $y$"),
            Symbol("p(y_t \\mid y_{<t})", "the model's probability of token $t$"),
            Symbol(r"Z(y_{<t})", "the model's probability of all tokens that the mask allows next"),
            Symbol(r"p(y \mid S)", "the model's probability of $y$, given that the text is allowed"),
            Symbol("S", "set of the allowed texts"),
        ),
        draw=_masked_inputs,
        by_hand=_masked_by_hand,
        companion=_masked_companion,
        library=_masked_torch,
    ),
)
