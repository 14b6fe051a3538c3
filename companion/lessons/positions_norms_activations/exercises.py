"""Exercises of ``book/formulas/positions_norms_activations.ipynb``."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from companion.lessons.exercise_check import Exercise, Mistake
from companion.lessons.random_inputs import seeded
from companion.nn.positions import rotary, rotary_frequencies, rotate


def _turn(k: int, d: int, speed: Callable[[int], float] | None = None) -> Tensor:
    result = torch.zeros(d, d)
    for i in range(d // 2):
        angle = k * (speed(i) if speed else 10_000 ** (-2 * i / d))
        a, b = 2 * i, 2 * i + 1
        result[a, a] = result[b, b] = math.cos(angle)
        result[b, a], result[a, b] = math.sin(angle), -math.sin(angle)
    return result


def _halves(k: int, d: int) -> Tensor:
    order = torch.cat([torch.arange(0, d, 2), torch.arange(1, d, 2)])
    return _turn(k, d)[order][:, order]


SHIFT_MATRIX = Exercise(
    name="shift-matrix",
    task=(
        "From k and an even d, return the matrix R (d, d) with P[p] @ R equal to P[p + k] for every row of the "
        "sinusoidal positions P, whose base is 10000."
    ),
    reference=_turn,
    cases=lambda: [(1, 2), (3, 4), (50, 8)],
    mistakes=(
        Mistake(
            lambda k, d: _turn(-k, d),
            "Yours goes k positions back. The vectors are rows, so R stands on the right and looks transposed.",
        ),
        Mistake(_halves, "You pair dimension i with i + d / 2. Here sine and cosine of one pair are neighbours."),
        Mistake(
            lambda k, d: _turn(k, d, lambda i: 1.0),
            "You turn every pair by the same angle. Each has a speed of its own.",
        ),
        Mistake(
            lambda k, d: _turn(k, d, lambda i: 10_000 ** (-i / d)),
            "Your pairs slow down half as fast as they should: the exponent is -2 i / d, with i the pair's number.",
        ),
    ),
)


def _score(q: Tensor, k: Tensor, m: int, n: int, base: float) -> Tensor:
    rotation = rotary(torch.tensor([[m, n]]), rotary_frequencies(q.size(-1), base))
    turned = rotate(torch.stack([q, k])[None, None], rotation)[0, 0]
    return turned[0] @ turned[1]


def _neighbours(q: Tensor, k: Tensor, m: int, n: int, base: float) -> Tensor:
    q, k = (torch.cat([x[0::2], x[1::2]]) for x in (q, k))
    return _score(q, k, m, n, base)


ROTARY_SCORE = Exercise(
    name="rotary-score",
    task=(
        "From q and k (d_head,), their positions m and n and the base, return the dot product of the two after each is "
        "turned, one number; dimension i is paired with i + d_head / 2."
    ),
    reference=_score,
    cases=lambda: [
        (torch.tensor([1.0, 0.0]), torch.tensor([1.0, 0.0]), 2, 5, 100.0),
        (seeded(4), seeded(4, seed=1), 3, 1, 100.0),
        (seeded(8), seeded(8, seed=1), 40, 7, 10_000.0),
    ],
    mistakes=(
        Mistake(lambda q, k, m, n, base: q @ k, "Your score is the same wherever the two stand: nothing was turned."),
        Mistake(
            lambda q, k, m, n, base: _score(q, k, m, -n, base),
            "Yours depends on m + n. Both are turned the same way, and the dot product takes the difference.",
        ),
        Mistake(
            lambda q, k, m, n, base: _score(q, k, m, 0, base),
            "Only the query was turned, so the score depends on where it stands. The key is turned too, by n.",
        ),
        Mistake(
            lambda q, k, m, n, base: _score(q, k, n, m, base),
            "You exchanged the positions. That matters as soon as q and k point in different directions.",
        ),
        Mistake(_neighbours, "You pair neighbours. Dimension i is paired with dimension i + d_head / 2."),
    ),
)


def _norm_gradient(x: Tensor, scale: Tensor, g: Tensor, eps: float) -> Tensor:
    back = torch.func.vjp(lambda z: F.layer_norm(z, x.shape[-1:], scale, None, eps), x)[1]
    result: Tensor = back(g)[0]
    return result


def _by_parts(
    x: Tensor, scale: Tensor, g: Tensor, eps: float, mean: bool, along: bool, scaled: bool = True, divided: bool = True
) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    sigma = (centred.square().mean(-1, keepdim=True) + eps).sqrt()
    hat, u = centred / sigma, scale * g if scaled else g
    result = u.clone()
    if mean:
        result = result - u.mean(-1, keepdim=True)
    if along:
        result = result - hat * (u * hat).mean(-1, keepdim=True)
    return result / sigma if divided else result


LAYER_NORM_GRADIENT = Exercise(
    name="layer-norm-gradient",
    task=(
        "From x (…, d), scale (d,), g (…, d), the loss's gradient with respect to the output of a layer norm, and eps, "
        "return its gradient with respect to x (…, d), without autograd."
    ),
    reference=_norm_gradient,
    cases=lambda: [
        (3 * seeded(*shape) + 1, seeded(shape[-1], seed=1), seeded(*shape, seed=2), 1e-5)
        for shape in ((4,), (3, 6), (2, 3, 5))
    ],
    mistakes=(
        Mistake(
            lambda x, scale, g, eps: _by_parts(x, scale, g, eps, mean=False, along=False),
            "You treat mean and deviation as constants. Both move when x does, and each takes something away.",
        ),
        Mistake(
            lambda x, scale, g, eps: _by_parts(x, scale, g, eps, mean=True, along=False),
            "The mean's part is there. The deviation moves too: nothing may be left along the normed vector.",
        ),
        Mistake(
            lambda x, scale, g, eps: _by_parts(x, scale, g, eps, mean=False, along=True),
            "The deviation's part is there. A layer norm takes the mean away too, so the gradient must sum to 0.",
        ),
        Mistake(
            lambda x, scale, g, eps: _by_parts(x, scale, g, eps, mean=True, along=True, scaled=False),
            "The learned scale stands between the normed vector and the loss: it multiplies g first.",
        ),
        Mistake(
            lambda x, scale, g, eps: _by_parts(x, scale, g, eps, mean=True, along=True, divided=False),
            "The directions are right. A large x is divided by a large deviation, and so is the gradient.",
        ),
    ),
)


def _gelu_slope(z: Tensor) -> Tensor:
    gate: Tensor = torch.special.ndtr(z)
    return gate + z * _density(z)


def _density(z: Tensor) -> Tensor:
    return (-z.square() / 2).exp() / math.sqrt(2 * math.pi)


def _tanh_slope(z: Tensor) -> Tensor:
    slope: Tensor = torch.func.jvp(lambda x: F.gelu(x, approximate="tanh"), (z,), (torch.ones_like(z),))[1]
    return slope


GELU_SLOPE = Exercise(
    name="gelu-slope",
    task="From z (n,), return the derivative of the exact GELU at each of its numbers (n,), without autograd.",
    reference=_gelu_slope,
    cases=lambda: [(torch.tensor([0.0, 1.0, -1.0]),), (3 * seeded(6),)],
    mistakes=(
        Mistake(
            torch.special.ndtr,
            "That is the first half of the product rule: the gate stands still. The gate moves with z too.",
        ),
        Mistake(
            lambda z: torch.special.ndtr(z) + _density(z),
            "The density is the derivative of the gate; in the product rule it is multiplied by z.",
        ),
        Mistake(
            lambda z: z.sigmoid() * (1 + z * (1 - z.sigmoid())),
            "That is the derivative of SiLU, whose gate is the sigmoid. GELU's gate is the normal distribution.",
        ),
        Mistake(_tanh_slope, "That is the derivative of the approximation by tanh. Near, but not the exact one."),
        Mistake(lambda z: (z > 0).float(), "That is the derivative of ReLU. GELU is smooth, and below 0 not flat."),
    ),
)


def _width(d_ff: int, multiple: int) -> int:
    return -(-2 * d_ff // (3 * multiple)) * multiple


GATED_WIDTH = Exercise(
    name="gated-width",
    task=(
        "Return the width of a gated network with as many weights as a plain one of width d_ff, rounded up to a whole "
        "multiple of `multiple`."
    ),
    reference=_width,
    cases=lambda: [(3072, 1), (4 * 4096, 256), (2048, 8), (100, 16)],
    mistakes=(
        Mistake(
            lambda d_ff, multiple: -(-d_ff // multiple) * multiple,
            "With three matrices of that width in place of two, you have half as many weights again.",
        ),
        Mistake(
            lambda d_ff, multiple: 2 * d_ff // (3 * multiple) * multiple,
            "Two thirds are right. You round down.",
        ),
        Mistake(
            lambda d_ff, multiple: -(-3 * d_ff // (2 * multiple)) * multiple,
            "You made it wider by half. Three matrices must be narrower than two.",
        ),
        Mistake(
            lambda d_ff, multiple: -(-d_ff // (2 * multiple)) * multiple,
            "Half would be right for four matrices in place of two.",
        ),
    ),
)


EXERCISES = (
    SHIFT_MATRIX,
    ROTARY_SCORE,
    LAYER_NORM_GRADIENT,
    GELU_SLOPE,
    GATED_WIDTH,
)
