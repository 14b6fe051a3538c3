"""Checked equations of ``book/practice/applications.ipynb``."""

from typing import Any

import torch
from torch import Generator, Tensor

from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import between, tokens, whole
from companion.metrics.classification import Scores


def _draw_triples(generator: Generator) -> dict[str, Any]:
    true = torch.rand(30, generator=generator) < 0.5
    return {"given": (true ^ (torch.rand(30, generator=generator) < 0.3)).long(), "true": true.long()}


def _triples_by_hand(given: Tensor, true: Tensor) -> list[float]:
    ours = {number for number, one in enumerate(given.tolist()) if one}
    theirs = {number for number, one in enumerate(true.tolist()) if one}
    both = len(ours & theirs)
    return [both / max(len(ours), 1), both / max(len(theirs), 1), 2 * both / max(len(ours) + len(theirs), 1)]


def _triples_companion(given: Tensor, true: Tensor) -> list[float]:
    scores = Scores.of(int((given * true).sum()), int(given.sum()), int(true.sum()))
    return [scores.precision, scores.recall, scores.f1]


def _triples_torch(given: Tensor, true: Tensor) -> list[float]:
    both = torch.dot(given.double(), true.double())
    precision, recall = both / given.sum().clamp(min=1), both / true.sum().clamp(min=1)
    return [one.item() for one in (precision, recall, 2 * precision * recall / (precision + recall))]


def _draw_path(generator: Generator) -> dict[str, Any]:
    return {"p": between(generator, 0.1, 1.0), "k": whole(generator, 1, 6)}


def _path_by_hand(p: float, k: int) -> float:
    product = 1.0
    for _ in range(k):
        product *= p
    return product


def _path_torch(p: float, k: int) -> Tensor:
    return torch.full((k,), p, dtype=torch.float64).log().sum().exp()


def _draw_chain(generator: Generator) -> dict[str, Any]:
    n = 40
    return {"found": torch.cat([torch.tensor([0, 1]), tokens(generator, 2, n)]), "right": tokens(generator, 2, n + 2)}


def _chain_by_hand(found: Tensor, right: Tensor) -> float:
    pairs = list(zip(found.tolist(), right.tolist(), strict=True))
    total = 0.0
    for outcome in (1, 0):
        then = [good for first, good in pairs if first == outcome]
        total += len(then) / len(pairs) * sum(then) / max(len(then), 1)
    return total


def _chain_torch(found: Tensor, right: Tensor) -> Tensor:
    return right.double().mean()


EQUATIONS = (
    Equation(
        label="eq-applications-triples",
        symbols=(
            Symbol("P", "precision: fraction of the extracted triples that are true"),
            Symbol("R", "recall: fraction of the true triples that were extracted"),
            Symbol("F_1", "harmonic mean of precision and recall"),
            Symbol("G", "set of the triples that were extracted"),
            Symbol("W", "set of the true triples"),
        ),
        draw=_draw_triples,
        by_hand=_triples_by_hand,
        companion=_triples_companion,
        library=_triples_torch,
    ),
    Equation(
        label="eq-applications-path",
        symbols=(
            Symbol("a_k", "accuracy of an answer that needs $k$ facts"),
            Symbol("p", "fraction of the facts that are right"),
            Symbol("k", "number of facts on the path to the answer"),
        ),
        draw=_draw_path,
        by_hand=_path_by_hand,
        library=_path_torch,
    ),
    Equation(
        label="eq-applications-chain",
        symbols=(
            Symbol("A", "event that the answer is right"),
            Symbol("F", "event that the right text was found"),
            Symbol(r"\bar F", "event that it was not"),
        ),
        draw=_draw_chain,
        by_hand=_chain_by_hand,
        library=_chain_torch,
    ),
)
