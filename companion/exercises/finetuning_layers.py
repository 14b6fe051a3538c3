"""Exercises of ``book/algorithms/finetuning.ipynb`` about which layer learns, adapters, and calibration."""

import math
from typing import Any

import torch
from torch import Tensor

from companion.exercises.checking import Exercise, Mistake


def _shares(step: int, every: int, factor: float, n: int) -> list[float]:
    # of the embeddings, the n blocks, and the head
    return [factor ** (layer - n - 1) if step > (n + 1 - layer) * every else 0.0 for layer in range(n + 2)]


SHARES = Exercise(
    name="layer-shares",
    task=(
        "From the `step`, counted from 1, `every`, `factor` and the number of blocks n, return the list of n + 2 "
        "shares of the rate, embeddings first: the head trains from step 1, every so many steps the next layer below "
        "too, and each layer that trains has the share of the layer above it divided by factor."
    ),
    reference=_shares,
    cases=lambda: [(1, 10, 2.0, 3), (10, 10, 2.6, 4), (11, 10, 2.6, 2), (25, 5, 1.5, 4), (100, 7, 3.0, 2)],
    mistakes=(
        Mistake(
            lambda *case: _shares(*case)[::-1],
            "Your list begins with the head. The embeddings come first, and thaw last.",
        ),
        Mistake(
            lambda step, every, factor, n: _shares(step + 1, every, factor, n),
            "Each layer thaws a step too early. With every = 10 the second layer trains from step 11 on.",
        ),
        Mistake(
            lambda step, every, factor, n: [float(share > 0) for share in _shares(step, every, factor, n)],
            "Every layer that trains has the full rate. Divide by factor once more for each layer further down.",
        ),
        Mistake(
            lambda step, every, factor, n: _shares(10**9, every, factor, n),
            "All layers train from the first step. Those that are not thawed yet have a share of 0.",
        ),
        Mistake(
            lambda step, every, factor, n: [
                bool(s) * factor ** (-i) for i, s in enumerate(_shares(step, every, factor, n))
            ],
            "The embeddings have the largest share. It is the head's that is 1.",
        ),
    ),
)


def _lora_cases() -> list[tuple[Any, ...]]:
    generator = torch.Generator().manual_seed(3)
    cases = []
    for n, d_in, d_out, rank in ((2, 4, 3, 1), (3, 5, 5, 2), (4, 6, 7, 3)):
        shapes = ((n, d_in), (d_out, d_in), (d_out,), (rank, d_in), (d_out, rank))
        cases.append((*(torch.randn(*shape, generator=generator) for shape in shapes), 6.0))
    return cases


def _lora(x: Tensor, w: Tensor, bias: Tensor, a: Tensor, b: Tensor, scale: float) -> Tensor:
    return x @ (w + scale * b @ a).T + bias


LORA = Exercise(
    name="lora-layer",
    task=(
        "From x (n, in), the frozen w (out, in) and bias (out,), the adapter a (rank, in) and b (out, rank), and "
        "alpha, return the layer's output (n, out)."
    ),
    reference=lambda x, w, bias, a, b, alpha: _lora(x, w, bias, a, b, alpha / len(a)),
    cases=_lora_cases,
    mistakes=(
        Mistake(
            lambda x, w, bias, a, b, alpha: _lora(x, w, bias, a, b, 1.0),
            "The change is not scaled. It counts alpha / rank times.",
        ),
        Mistake(
            lambda x, w, bias, a, b, alpha: _lora(x, w, bias, a, b, alpha),
            "The change is scaled by alpha. Divide by the rank too, so that its size does not grow with it.",
        ),
        Mistake(
            lambda x, w, bias, a, b, alpha: _lora(x, 0 * w, bias, a, b, alpha / len(a)),
            "The frozen matrix is missing. The adapter is added to it.",
        ),
        Mistake(
            lambda x, w, bias, a, b, alpha: _lora(x, w, 0 * bias, a, b, alpha / len(a)),
            "The layer's bias is missing.",
        ),
    ),
)


def _sureness() -> list[tuple[Tensor, Tensor, int]]:
    generator = torch.Generator().manual_seed(4)
    cases = []
    for n, bins in ((30, 4), (50, 10), (80, 5)):
        sure = 0.05 + 0.9 * torch.rand(n, generator=generator, dtype=torch.float64) ** 0.5
        cases.append((sure, torch.rand(n, generator=generator) < sure - 0.15 + 0.3 * (sure < 0.6), bins))
    return cases


def _gaps(sure: Tensor, right: Tensor, bins: int) -> list[tuple[float, float]]:
    """Of each bin that is not empty: its share of all predictions, and by how much it is too sure."""
    found = []
    for b in range(bins):
        inside = (sure > b / bins) & (sure <= (b + 1) / bins)
        if inside.any():
            gap = sure[inside].mean() - right[inside].double().mean()
            found.append((inside.double().mean().item(), gap.item()))
    return found


ECE = Exercise(
    name="calibration-error",
    task=(
        "From the confidences `sure` (n,) of n predictions, a boolean `right` (n,) and a number of `bins` of equal "
        "width from 0 to 1, return the expected calibration error."
    ),
    reference=lambda *case: math.fsum(share * abs(gap) for share, gap in _gaps(*case)),
    cases=_sureness,
    mistakes=(
        Mistake(
            lambda *case: math.fsum(abs(gap) for _, gap in _gaps(*case)) / len(_gaps(*case)),
            "Every bin counts as much. Weigh a bin by its share of the predictions.",
        ),
        Mistake(
            lambda *case: abs(math.fsum(share * gap for share, gap in _gaps(*case))),
            "Too sure in one bin cancels too unsure in another. Take the absolute difference in each bin.",
        ),
        Mistake(
            lambda *case: max(abs(gap) for _, gap in _gaps(*case)),
            "That is the worst bin. The expected error is the mean over the predictions.",
        ),
        Mistake(
            lambda sure, right, bins: (sure - right.double()).abs().mean().item(),
            "A single prediction is right or wrong, never 80 %. Average within each bin before you compare.",
        ),
    ),
)

EXERCISES = (SHARES, LORA, ECE)
