"""Exercises of ``book/concepts/optimization.ipynb``."""

import math
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from companion.lessons.exercise_check import Exercise, Mistake
from companion.lessons.random_inputs import seeded
from companion.training.optimizers import Adam
from companion.training.schedules import multipliers


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _norm(gradients: list[Tensor]) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(torch.cat([g.flatten() for g in gradients]))
    return length


def _two_distributions() -> list[tuple[Tensor, Tensor]]:
    generator = _generator()
    return [
        (torch.randn(v, generator=generator).softmax(-1), torch.randn(v, generator=generator).softmax(-1))
        for v in (2, 5, 9)
    ]


def _floor_and_excess(q: Tensor, p: Tensor) -> tuple[float, float]:
    return float(-(q * q.log()).sum()), float((q * (q / p).log()).sum())


FLOOR_AND_EXCESS = Exercise(
    name="floor-and-excess",
    task=(
        "From the distribution q (vocab,) of the data and a model's p (vocab,), return two numbers in nats: the "
        "entropy of q, below which no model gets, and what this model loses on top of it."
    ),
    reference=_floor_and_excess,
    cases=_two_distributions,
    mistakes=(
        Mistake(
            lambda q, p: (_floor_and_excess(q, p)[0], float(-(q * p.log()).sum())),
            "Your second number is the whole cross-entropy. Take the floor out of it.",
        ),
        Mistake(
            lambda q, p: (_floor_and_excess(q, p)[0], float((p * (p / q).log()).sum())),
            "Your second number lets the model say how often each word comes. Words are drawn from q: weigh with q.",
        ),
        Mistake(
            lambda q, p: tuple(nats / math.log(2) for nats in _floor_and_excess(q, p)),
            "These are bits. The natural logarithm gives nats.",
        ),
    ),
)


def _logits_and_targets() -> list[tuple[Tensor, Tensor]]:
    generator = _generator()
    return [
        (torch.randn(n, v, generator=generator), torch.randint(v, (n,), generator=generator))
        for n, v in ((1, 3), (4, 5), (3, 7))
    ]


def _gradient(logits: Tensor, targets: Tensor) -> Tensor:
    return (logits.softmax(-1) - F.one_hot(targets, logits.size(-1))) / len(logits)


LOGIT_GRADIENT = Exercise(
    name="logit-gradient",
    task=(
        "From logits (n, vocab) and targets (n,), return the gradient (n, vocab) of the mean negative log-likelihood "
        "with respect to the logits, without autograd."
    ),
    reference=_gradient,
    cases=_logits_and_targets,
    mistakes=(
        Mistake(
            lambda logits, targets: _gradient(logits, targets) * len(logits),
            "This is the gradient of the sum. The loss is a mean over n.",
        ),
        Mistake(
            lambda logits, targets: -_gradient(logits, targets),
            "The sign: raising the target's logit lowers the loss, so its entry must be negative.",
        ),
        Mistake(
            lambda logits, targets: (logits - F.one_hot(targets, logits.size(-1))) / len(logits),
            "You subtract from the logits. They must become probabilities first.",
        ),
        Mistake(
            lambda logits, targets: logits.softmax(-1) / len(logits),
            "The model's own probabilities are there; what really came is missing.",
        ),
    ),
)


def _adam(weight: Tensor, gradients: Tensor, lr: float, betas: Any, eps: float) -> Tensor:
    weight = weight.clone().requires_grad_()
    optimizer = Adam([weight], lr, betas, eps)
    for gradient in gradients:
        weight.grad = gradient
        optimizer.step()
    return weight.detach()


def _adam_but(wrong: str, weight: Tensor, gradients: Tensor, lr: float, betas: Any, eps: float) -> Tensor:
    m, v = torch.zeros_like(weight), torch.zeros_like(weight)
    for t, g in enumerate(gradients, start=1):
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * (g if wrong == "not squared" else g.square())
        since = math.inf if wrong == "uncorrected" else t
        mean, square = m / (1 - betas[0] ** since), v / (1 - betas[1] ** since)
        inside = eps if wrong == "eps inside" else 0.0
        size = square if wrong == "no root" else (square.abs() + inside).sqrt()
        weight = weight - lr * mean / (size + eps - inside)
    return weight


def _hint(wrong: str, hint: str) -> Mistake:
    return Mistake(partial(_adam_but, wrong), hint)


ADAM_STEPS = Exercise(
    name="adam-steps",
    task=(
        "From a weight (d,), gradients (steps, d), lr, betas and eps, return the weight (d,) after Adam has taken a "
        "step with each gradient."
    ),
    reference=_adam,
    cases=lambda: [
        (torch.ones(d), seeded(steps, d), lr, betas, eps)
        for d, steps, lr, betas, eps in (
            (2, 1, 0.1, (0.9, 0.999), 1e-8),
            (3, 4, 0.1, (0.9, 0.999), 1e-8),
            (4, 3, 0.05, (0.5, 0.8), 0.1),
        )
    ],
    mistakes=(
        _hint("uncorrected", "Both means begin at 0 and are too small at first. Divide that out: 1 - beta to the t."),
        _hint("no root", "You divide by the mean square. The size of a gradient is its root."),
        _hint("eps inside", "Your eps stands under the root; in algorithm 1 it is added after it."),
        _hint("not squared", "Your second mean averages the gradients themselves, so signs cancel. Square them first."),
    ),
)


def _decoupled(weight: Tensor, direction: Tensor, lr: float, decay: float) -> Tensor:
    return (1 - lr * decay) * weight - lr * direction


DECOUPLED_DECAY = Exercise(
    name="decoupled-decay",
    task=(
        "From a weight (d,), Adam's direction (d,), which is the mean gradient divided by its size, lr and decay, "
        "return the weight (d,) after one step of AdamW, in torch's convention."
    ),
    reference=_decoupled,
    cases=lambda: [
        (seeded(d), seeded(d) + 1, lr, decay) for d, lr, decay in ((2, 0.1, 0.5), (3, 0.5, 0.1), (5, 0.3, 0.9))
    ],
    mistakes=(
        Mistake(
            lambda weight, direction, lr, decay: (1 - decay) * weight - lr * direction,
            "Your decay does not know the learning rate: it would go on at full strength when the schedule ends.",
        ),
        Mistake(
            lambda weight, direction, lr, decay: (1 + lr * decay) * weight - lr * direction,
            "Your weights grow. Decay pulls them towards 0.",
        ),
        Mistake(
            lambda weight, direction, lr, decay: (1 - lr * decay) * (weight - lr * direction),
            "You take the step and then shrink the result, so the step is shrunk too. Shrink the old weight only.",
        ),
    ),
)


def _clipped(gradients: list[Tensor], largest: float) -> list[Tensor]:
    return [g * (largest / _norm(gradients)).clamp(max=1.0) for g in gradients]


CLIP = Exercise(
    name="clip-by-norm",
    task=(
        "From a list of gradients, one tensor for each parameter, and the largest norm that is allowed, return the "
        "list of the gradients after clipping by their common norm."
    ),
    reference=_clipped,
    cases=lambda: [
        ([size * seeded(*shape) for shape in ((2, 3), (4,))], largest)
        for size, largest in ((5.0, 1.0), (0.01, 1.0), (1.0, 2.5))
    ],
    mistakes=(
        Mistake(
            lambda gradients, largest: [_clipped([g], largest)[0] for g in gradients],
            "You clip each tensor by itself, which turns the gradient. All of them share one norm and one factor.",
        ),
        Mistake(
            lambda gradients, largest: [g.clamp(-largest, largest) for g in gradients],
            "You cut each number by itself, which turns the gradient. Shorten it and keep its direction.",
        ),
        Mistake(
            lambda gradients, largest: [g * largest / _norm(gradients) for g in gradients],
            "A gradient that is shorter than the limit must stay as it is; you stretch it.",
        ),
    ),
)


def _multiplier(step: int, steps: int, warmup: int) -> float:
    return multipliers("cosine", steps, warmup)[step - 1]


WARMUP_COSINE = Exercise(
    name="warmup-cosine",
    task=(
        "From a step, counted from 1, the number of steps and how many of them are warm-up, return the multiplier of "
        "the peak learning rate: a straight line up to 1 at the end of the warm-up, then half a cosine down to 0 at "
        "the last step."
    ),
    reference=_multiplier,
    cases=lambda: [(1, 20, 4), (4, 20, 4), (5, 20, 4), (12, 20, 4), (17, 20, 4), (20, 20, 4)],
    mistakes=(
        Mistake(
            lambda t, steps, warmup: (t - 1) / warmup if t <= warmup else _multiplier(t, steps, warmup),
            "Your first step has the rate 0 and is wasted. Step 1 is one warm-up step on the way up.",
        ),
        Mistake(
            lambda t, steps, warmup: t / warmup if t <= warmup else 0.5 * (1 + math.cos(math.pi * t / steps)),
            "Your cosine began at step 0, so the rate jumps down where the warm-up ends. Let it begin there.",
        ),
        Mistake(
            lambda t, steps, warmup: t / warmup if t <= warmup else 1 - (t - warmup) / (steps - warmup),
            "After the warm-up this is a straight line, the linear schedule. The cosine bends.",
        ),
    ),
)


EXERCISES = (
    FLOOR_AND_EXCESS,
    LOGIT_GRADIENT,
    ADAM_STEPS,
    DECOUPLED_DECAY,
    CLIP,
    WARMUP_COSINE,
)
