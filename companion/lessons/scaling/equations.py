"""Equations of ``book/algorithms/scaling.ipynb``."""

import math
from typing import Any

import torch
from torch import Generator, Tensor

from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import between, distribution, whole
from companion.training.scaling import ScalingLaw, lifetime_flops

PARAMETERS, TOKENS = Symbol("N", "number of parameters"), Symbol("D", "number of tokens that are trained on")
SIZE_SCALE = Symbol("A", "scale of what the limited model costs")
SIZE_EXPONENT = Symbol(r"\alpha", "exponent of the parameters")
DATA_SCALE = Symbol("B", "scale of what the limited text costs")
DATA_EXPONENT = Symbol(r"\beta", "exponent of the tokens")


def _draw_law(generator: Generator) -> dict[str, Any]:
    return {
        "e": between(generator, 0.5, 2),
        "a": between(generator, 5, 20),
        "alpha": between(generator, 0.2, 0.6),
        "b": between(generator, 5, 20),
        "beta": between(generator, 0.2, 0.6),
        "n": between(generator, 1e3, 1e5),
        "d": between(generator, 1e4, 1e6),
    }


def _loss_by_hand(e: float, a: float, alpha: float, b: float, beta: float, n: float, d: float) -> float:
    of_size, of_data = float(a / n**alpha), float(b / d**beta)
    return e + of_size + of_data


def _loss_companion(e: float, a: float, alpha: float, b: float, beta: float, n: float, d: float) -> float:
    return ScalingLaw(e, a, alpha, b, beta).loss(n, d)


def _loss_torch(e: float, a: float, alpha: float, b: float, beta: float, n: float, d: float) -> Tensor:
    logs = torch.tensor([math.log(e), math.log(a) - alpha * math.log(n), math.log(b) - beta * math.log(d)])
    return logs.logsumexp(0).exp()


def _draw_budget(generator: Generator) -> dict[str, Any]:
    drawn = _draw_law(generator)
    return {name: drawn[name] for name in ("a", "alpha", "b", "beta")} | {"c": between(generator, 60, 6000)}


def _optimum_by_hand(a: float, alpha: float, b: float, beta: float, c: float) -> list[float]:
    g = (alpha * a / (beta * b)) ** (1 / (alpha + beta))
    return [g * (c / 6) ** (beta / (alpha + beta)), 1 / g * (c / 6) ** (alpha / (alpha + beta))]


def _optimum_companion(a: float, alpha: float, b: float, beta: float, c: float) -> list[float]:
    return list(ScalingLaw(1.0, a, alpha, b, beta).optimum(c))


def _optimum_searched(a: float, alpha: float, b: float, beta: float, c: float) -> list[float]:
    low, high = -20.0, 20.0  # ln N; where the slope of the loss changes its sign
    for _ in range(200):
        middle = (low + high) / 2
        falls = a * alpha * math.exp(-alpha * middle) > b * beta * math.exp(-beta * (math.log(c / 6) - middle))
        low, high = (middle, high) if falls else (low, middle)
    return [math.exp(low), c / 6 / math.exp(low)]


def _draw_embeddings(generator: Generator) -> dict[str, Any]:
    return {name: whole(generator, 1, 9) for name in ("layers", "width", "vocabulary")}


def _embeddings_by_hand(layers: int, width: int, vocabulary: int) -> float:
    body, ratio = 12.0 * layers * width**2, width / layers
    omega = vocabulary * (ratio / 12) ** (1 / 3)
    return float(body + omega * body ** (1 / 3))


def _embeddings_counted(layers: int, width: int, vocabulary: int) -> float:
    total = float(vocabulary * width)
    for _ in range(layers):
        total += 4 * width * width + 2 * width * 4 * width  # attention, feed-forward
    return total


def _draw_exact(generator: Generator) -> dict[str, Any]:
    return {"p": float(distribution(generator, 2)[0]), "k": whole(generator, 1, 12)}


def _exact_by_hand(p: float, k: int) -> float:
    probability = 1.0
    for _ in range(k):
        probability *= p
    return probability


def _exact_torch(p: float, k: int) -> Tensor:
    log_prob: Tensor = torch.distributions.Binomial(k, torch.tensor(p)).log_prob(torch.tensor(float(k)))
    return log_prob.exp()


def _draw_lifetime(generator: Generator) -> dict[str, Any]:
    return {name: between(generator, 1, 9) for name in ("n", "d", "served")}


def _lifetime_by_hand(n: float, d: float, served: float) -> float:
    return 6 * n * d + 2 * n * served


def _lifetime_companion(n: float, d: float, served: float) -> float:
    return lifetime_flops(n, d, served)


def _lifetime_torch(n: float, d: float, served: float) -> Tensor:
    return torch.tensor([6 * d, 2 * served]).sum() * n


EQUATIONS = (
    Equation(
        label="eq-scaling-law",
        symbols=(
            Symbol("L(N, D)", "loss of a model of $N$ parameters after $D$ tokens, in nats per token"),
            Symbol("E", "irreducible loss"),
            SIZE_SCALE,
            PARAMETERS,
            SIZE_EXPONENT,
            DATA_SCALE,
            TOKENS,
            DATA_EXPONENT,
        ),
        draw=_draw_law,
        by_hand=_loss_by_hand,
        companion=_loss_companion,
        library=_loss_torch,
    ),
    Equation(
        label="eq-scaling-optimum",
        symbols=(
            Symbol(r"N^\star", "compute-optimal number of parameters"),
            Symbol(r"D^\star", "compute-optimal number of tokens"),
            Symbol("G", "factor that the two scales set"),
            Symbol("C", "budget, in operations"),
            SIZE_EXPONENT,
            DATA_EXPONENT,
            SIZE_SCALE,
            DATA_SCALE,
        ),
        draw=_draw_budget,
        by_hand=_optimum_by_hand,
        companion=_optimum_companion,
        library=_optimum_searched,
        library_name="bisection",
    ),
    Equation(
        label="eq-scaling-embeddings",
        symbols=(
            Symbol("N", "all parameters"),
            Symbol(r"N_{\text{body}}", "parameters without the token embedding"),
            Symbol(r"\omega", "constant of a family of models"),
            Symbol("V", "number of tokens in the vocabulary"),
            Symbol("r", r"width divided by number of layers, the same for the whole family"),
        ),
        draw=_draw_embeddings,
        by_hand=_embeddings_by_hand,
        library=_embeddings_counted,
        library_name="a count over the layers",
    ),
    Equation(
        label="eq-scaling-exact",
        symbols=(
            Symbol(r"P(\text{all } k \text{ right})", "probability that $k$ tokens in a row are all right"),
            Symbol("p", "probability that one is right"),
            Symbol("k", "number of tokens"),
        ),
        draw=_draw_exact,
        by_hand=_exact_by_hand,
        library=_exact_torch,
    ),
    Equation(
        label="eq-scaling-lifetime",
        symbols=(
            Symbol(r"C_{\text{life}}", "operations of training and of all use"),
            PARAMETERS,
            TOKENS,
            Symbol(r"D_{\text{use}}", "number of tokens that the model reads and writes in use"),
        ),
        draw=_draw_lifetime,
        by_hand=_lifetime_by_hand,
        companion=_lifetime_companion,
        library=_lifetime_torch,
    ),
)
