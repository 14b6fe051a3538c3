"""Exercises of ``book/concepts/foundations.ipynb``."""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from companion.lessons.exercise_check import Exercise, Mistake
from companion.lessons.random_inputs import seeded_tensors
from companion.nn.autograd import Value

COSINE = Exercise(
    name="cosine",
    task="From two vectors u and v (d,), return their cosine.",
    reference=lambda u, v: F.cosine_similarity(u, v, dim=0),
    cases=lambda: [seeded_tensors((d,), (d,)) for d in (2, 5, 64)],
    mistakes=(
        Mistake(lambda u, v: u @ v, "This is the dot product. It grows with the lengths; divide them out."),
        Mistake(
            lambda u, v: u @ v / (u @ u) / (v @ v),
            "You divide by the squares of the lengths. A length is the root of a vector's product with itself.",
        ),
        Mistake(
            lambda u, v: u @ v / u.norm(),
            "One of the two lengths is still in it: make v twice as long, and the answer doubles.",
        ),
        Mistake(
            lambda u, v: u @ v / len(u),
            "You divide by how many numbers there are. A vector's length is how far it reaches.",
        ),
    ),
)

DENSE_LAYER = Exercise(
    name="dense-layer",
    task="From inputs x (batch, d), weights W (m, d) and biases b (m,), return the layer's ReLU outputs (batch, m).",
    reference=lambda x, W, b: torch.relu(x @ W.T + b),  # noqa: N803, the book's symbol
    cases=lambda: [seeded_tensors((n, d), (m, d), (m,)) for n, d, m in ((1, 3, 2), (4, 3, 5), (2, 4, 4))],
    mistakes=(
        Mistake(lambda x, W, b: x @ W.T + b, "The sums are right. Nothing has bent them yet."),  # noqa: N803
        Mistake(
            lambda x, W, b: torch.relu(x @ W.T) + b,  # noqa: N803
            "You add the bias after the bend, so that an output can be negative. It belongs inside the sum.",
        ),
        Mistake(lambda x, W, b: torch.relu(x @ W.T), "The biases are never added."),  # noqa: N803
        Mistake(
            lambda x, W, b: torch.relu(x @ W.T - b),  # noqa: N803
            "You take the biases away; they are added.",
        ),
    ),
)


def _equal_logits(y: int) -> list[float]:
    return [1 / 3 - (i == y) for i in range(3)]


PREDICTED_GRADIENT = Exercise(
    name="predicted-gradient",
    task="For three logits that are all 0, return the gradient of the loss as three numbers, when word y came.",
    reference=_equal_logits,
    cases=lambda: [(0,), (1,), (2,)],
    mistakes=(
        Mistake(
            lambda y: [-one for one in _equal_logits(y)],
            "Your signs are turned round. The gradient says where the loss rises: raise the right logit, and it falls.",
        ),
        Mistake(
            lambda y: [1 / 3 for _ in range(3)],
            "These are the probabilities. What is to be taken from the one of the word that came?",
        ),
        Mistake(
            lambda y: [-(i == y) + 0.0 for i in range(3)],
            "The other two logits have a slope as well: each of them was believed with probability 1/3.",
        ),
        Mistake(
            lambda y: [0.0, 0.0, 0.0],
            "All logits are 0, and their slopes are not: with probability 1/3 for the word that came, there is much "
            "to gain.",
        ),
    ),
)


def _descend(x: float, target: float, rate: float, steps: int, reset: bool = True, sign: float = -1.0) -> float:
    w = Value(0.0)
    for _ in range(steps):
        error = w * x - target
        (error * error).backward()
        w.data += sign * rate * w.grad
        if reset:
            w.grad = 0.0
    return w.data


FORGOTTEN_LINE = Exercise(
    name="forgotten-line",
    task="Repair the loop, and return the weight that it finds from x, target, rate and steps.",
    reference=_descend,
    cases=lambda: [(2.0, 6.0, 0.05, 10), (1.0, -1.0, 0.1, 20), (3.0, 1.0, 0.02, 5)],
    mistakes=(
        Mistake(
            lambda x, target, rate, steps: _descend(x, target, rate, steps, reset=False),
            "This is the loop as it was. Print w.grad in the second step and compare it with 2 x (w x - target): what "
            "is too much in it?",
        ),
        Mistake(
            lambda x, target, rate, steps: _descend(x, target, rate, steps, sign=1.0),
            "You climb. The gradient points to where the loss rises.",
        ),
        Mistake(
            lambda x, target, rate, steps: target / x,
            "This is where the loop would end in the long run. Return what it has after these steps.",
        ),
        Mistake(
            lambda x, target, rate, steps: _descend(x, target, rate, 1),
            "Only the first step is taken: is the gradient set to 0 before it is used?",
        ),
    ),
)

LOG = ((0, 6.2, 6.2), (100, 3.9, 4.1), (200, 3.2, 3.7), (300, 2.6, 3.6), (400, 2.1, 3.9), (500, 1.7, 4.4))
Reading = Callable[[Sequence[tuple[int, float, float]]], tuple[int, float]]


def _lowest(column: int, exponential: bool = True) -> Reading:
    def read(log: Sequence[tuple[int, float, float]]) -> tuple[int, float]:
        best = min(log, key=lambda row: row[column])
        return best[0], math.exp(best[2]) if exponential else best[2]

    return read


WHEN_TO_STOP = Exercise(
    name="when-to-stop",
    task=(
        "From a log of (step, training loss, held-out loss), return the step whose network you would keep, and its "
        "perplexity on held-out text."
    ),
    reference=_lowest(2),
    cases=lambda: [(LOG,), (LOG[:3],), (((0, 3.0, 3.0), (10, 0.9, 1.8), (20, 1.1, 2.5)),)],
    mistakes=(
        Mistake(
            _lowest(1),
            "You keep the network with the lowest training loss. It has learned those texts by heart: look at the "
            "other column.",
        ),
        Mistake(
            _lowest(2, exponential=False),
            "The step is right, and the second number is a loss in nats. The perplexity is its exponential.",
        ),
        Mistake(
            lambda log: (log[-1][0], math.exp(log[-1][2])),
            "You keep the last network. Was it the best one on text that it had not seen?",
        ),
    ),
)


def _skip_gram(u: Tensor, v: Tensor, noise: Tensor, k: int) -> Tensor:
    return -F.logsigmoid(u @ v) - k * F.logsigmoid(-noise @ u).mean()


SKIP_GRAM_LOSS = Exercise(
    name="skip-gram-loss",
    task="From vectors u and v (d,) of a word and its neighbour, noise (m, d), and k, return the pair's loss.",
    reference=_skip_gram,
    cases=lambda: [(*seeded_tensors((d,), (d,), (m, d)), k) for d, m, k in ((3, 4, 5), (8, 2, 1), (2, 6, 3))],
    mistakes=(
        Mistake(
            lambda u, v, noise, k: -F.logsigmoid(u @ v) - k * F.logsigmoid(noise @ u).mean(),
            "You say yes to the negatives, too. For them the answer should be no: turn the sign of their logits.",
        ),
        Mistake(
            lambda u, v, noise, k: -F.logsigmoid(u @ v) - k * F.logsigmoid(-noise @ u).sum(),
            "You add the negatives up and multiply by k as well. Their mean is what weighs k.",
        ),
        Mistake(
            lambda u, v, noise, k: -F.logsigmoid(u @ v) - F.logsigmoid(-noise @ u).mean(),
            "The negatives weigh 1 in your loss, and should weigh k.",
        ),
        Mistake(
            lambda u, v, noise, k: -_skip_gram(u, v, noise, k),
            "The sign is wrong: yours is largest where the guesses are good. A loss is to be made small.",
        ),
        Mistake(
            lambda u, v, noise, k: -F.logsigmoid(u @ v),
            "Nothing pushes back: all vectors could point the same way, and this loss would be 0. Where are the "
            "negatives?",
        ),
    ),
)


EXERCISES = (COSINE, DENSE_LAYER, PREDICTED_GRADIENT, FORGOTTEN_LINE, WHEN_TO_STOP, SKIP_GRAM_LOSS)
