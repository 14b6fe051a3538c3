"""Equations of ``book/background/rise.ipynb``."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import between, tokens, whole
from companion.models.gpt import GPT, GPTConfig
from companion.training.flops import (
    best_split,
    doubling_time,
    forward_flops,
    parameters_in_products,
    training_flops,
)

COST = Symbol("C", "training FLOPs: additions and multiplications")
PARAMETERS = Symbol("N", "active parameters: those that a token meets in matrix products")
TOKENS = Symbol("D", "training tokens, repetitions counted")


def _counted(run: Callable[[], Any]) -> float:
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        run()
    return float(counter.get_total_flops())


def _draw_matrices(generator: Generator) -> dict[str, Any]:
    return {"sizes": [whole(generator, 1, 7) for _ in range(4)], "d": whole(generator, 1, 9)}


def _flops_by_hand(sizes: list[int], d: int) -> float:
    total = 0
    for _token in range(d):
        for rows, columns in pairwise(sizes):
            for _parameter in range(rows * columns):
                total += 2  # forward: multiply, add
                total += 2  # backward: the gradient of what came in
                total += 2  # and that of the parameter itself
    return float(total)


def _flops_companion(sizes: list[int], d: int) -> float:
    return training_flops(sum(a * b for a, b in pairwise(sizes)), d)


def _flops_torch(sizes: list[int], d: int) -> float:
    layers = nn.Sequential(*(nn.Linear(a, b, bias=False) for a, b in pairwise(sizes)))
    x = torch.ones(d, sizes[0], requires_grad=True)
    return _counted(lambda: layers(x).sum().backward())


def _draw_gpt(generator: Generator) -> dict[str, Any]:
    n_heads = whole(generator, 1, 3)
    config = GPTConfig(7, 9, n_layers=whole(generator, 1, 3), n_heads=n_heads, d_model=4 * n_heads)
    return {"model": GPT(config), "ids": tokens(generator, 7, 1, whole(generator, 1, 9))}


def _forward_by_hand(model: GPT, ids: Tensor) -> float:
    c, n = model.config, ids.size(1)
    total = 0
    for _layer in range(c.n_layers):
        total += 4 * 2 * c.d_model * c.d_model  # query, key, value, output
        total += 2 * 2 * c.d_model * 4 * c.d_model  # into the feed-forward network and out of it
        total += n * 2 * c.d_model  # a score with each of n keys, all heads together
        total += n * 2 * c.d_model  # and a sum over n values
    return float(total + 2 * c.d_model * c.vocab_size)  # the logits


def _forward_companion(model: GPT, ids: Tensor) -> float:
    c = model.config
    return float(forward_flops(parameters_in_products(model), c.n_layers, ids.size(1), c.d_model))


def _forward_torch(model: GPT, ids: Tensor) -> float:
    c = model.config
    blocks = [nn.TransformerEncoderLayer(c.d_model, c.n_heads, 4 * c.d_model) for _ in range(c.n_layers)]
    layers = nn.Sequential(*blocks, nn.Linear(c.d_model, c.vocab_size, bias=False))
    return _counted(lambda: layers(torch.ones(ids.size(1), 1, c.d_model))) / ids.size(1)


def _draw_budget(generator: Generator) -> dict[str, float]:
    return {"c": math.exp(between(generator, 1, 9)), "r": between(generator, 0.5, 40)}


def _split_by_hand(c: float, r: float) -> tuple[float, float]:
    n = (c / (6 * r)) ** 0.5
    return n, r * n


def _split_companion(c: float, r: float) -> tuple[float, float]:
    return best_split(c, r)


def _split_torch(c: float, r: float) -> tuple[Tensor, Tensor]:
    # log N + log D = log(C / 6) and log D - log N = log r
    left = torch.tensor([[1.0, 1.0], [-1.0, 1.0]])
    right = torch.tensor([c / 6, r]).log()
    n, d = torch.linalg.solve(left, right).exp()
    return n, d


def _draw_series(generator: Generator) -> dict[str, list[float]]:
    n = whole(generator, 3, 8)
    when = [i + between(generator, 0, 0.9) for i in range(n)]
    return {"when": when, "amounts": [math.exp(t + between(generator, -1, 1)) for t in when]}


def _doubling_by_hand(when: list[float], amounts: list[float]) -> float:
    n = len(when)
    logs = [math.log(amount) for amount in amounts]
    middle, height = sum(when) / n, sum(logs) / n
    above = sum((t - middle) * (log - height) for t, log in zip(when, logs, strict=True))
    return math.log(2) * sum((t - middle) ** 2 for t in when) / above


def _doubling_companion(when: list[float], amounts: list[float]) -> float:
    return doubling_time(when, amounts)


def _doubling_torch(when: list[float], amounts: list[float]) -> Tensor:
    design = torch.stack([torch.ones(len(when)), torch.tensor(when)], 1)
    line: Tensor = torch.linalg.lstsq(design, torch.tensor(amounts)[:, None].log()).solution[:, 0]
    return line[1].reciprocal() * math.log(2)


EQUATIONS = (
    Equation(
        label="eq-rise-flops",
        symbols=(COST, PARAMETERS, TOKENS),
        draw=_draw_matrices,
        by_hand=_flops_by_hand,
        companion=_flops_companion,
        library=_flops_torch,
    ),
    Equation(
        label="eq-rise-forward",
        symbols=(
            Symbol("c", "FLOPs of the forward pass, per token"),
            PARAMETERS,
            Symbol(r"n_{\text{layers}}", "number of layers (blocks)"),
            Symbol("n", "context length: tokens that attention looks over"),
            Symbol("d", "width of the residual stream"),
        ),
        draw=_draw_gpt,
        by_hand=_forward_by_hand,
        companion=_forward_companion,
        library=_forward_torch,
    ),
    Equation(
        label="eq-rise-split",
        symbols=(
            Symbol(r"N^\star", "compute-optimal number of parameters"),
            COST,
            Symbol("r", "tokens per parameter; about 20 in Chinchilla's runs"),
            Symbol(r"D^\star", "compute-optimal number of tokens"),
        ),
        draw=_draw_budget,
        by_hand=_split_by_hand,
        companion=_split_companion,
        library=_split_torch,
    ),
    Equation(
        label="eq-rise-doubling",
        symbols=(
            Symbol("t_2", "doubling time, in years"),
            Symbol("b", "slope of the least-squares line through the logarithms"),
            Symbol("t_i", "date of model $i$, in years"),
            Symbol(r"\bar t", "mean of the dates"),
            Symbol("C_i", "training FLOPs of model $i$"),
            Symbol("m", "number of models"),
        ),
        draw=_draw_series,
        by_hand=_doubling_by_hand,
        companion=_doubling_companion,
        library=_doubling_torch,
    ),
)
