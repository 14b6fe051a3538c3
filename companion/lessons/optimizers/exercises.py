"""Exercises of ``book/formulas/optimizers.ipynb``."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from companion.lessons.exercise_check import Exercise, Mistake
from companion.lessons.random_inputs import seeded
from companion.losses.preference import dpo_loss
from companion.training.optimizers import SGD


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _velocities(gradients: Tensor, mu: float, new: float = 1.0) -> Tensor:
    velocity, path = torch.zeros_like(gradients[0]), []
    for g in gradients:
        velocity = mu * velocity + new * g
        path.append(velocity)
    return torch.stack(path)


def _moved(gradients: Tensor, lr: float, mu: float) -> Tensor:
    weight = torch.zeros_like(gradients[0]).requires_grad_()
    optimizer = SGD([weight], lr, momentum=mu)
    for g in gradients:
        weight.grad = g
        optimizer.step()
    return weight.detach()


MOVED = Exercise(
    name="moved-by-momentum",
    task=(
        "From gradients (steps, d), lr and mu, return how far momentum has moved the weights (d,) after a step with "
        "each gradient, the velocity being zero at first."
    ),
    reference=_moved,
    cases=lambda: [
        (torch.ones(3, 1), 0.1, 0.5),
        (seeded(4, 2), 0.2, 0.9),
        (seeded(6, 3), 0.05, 0.7),
    ],
    mistakes=(
        Mistake(
            lambda gradients, lr, mu: -lr * gradients.sum(0),
            "You forgot the velocity: each gradient goes on pushing in later steps, by mu, then mu^2, and so on.",
        ),
        Mistake(
            lambda gradients, lr, mu: -lr * _velocities(gradients, mu)[-1],
            "This is the last step. Add up all of them.",
        ),
        Mistake(
            lambda gradients, lr, mu: -lr * _velocities(gradients, mu, 1 - mu).sum(0),
            "Your velocity is a mean, with 1 - mu before the gradient, as in Adam. Momentum adds the gradient whole.",
        ),
        Mistake(lambda gradients, lr, mu: -_moved(gradients, lr, mu), "The sign: the step goes against the gradient."),
    ),
)


def _mean(gradients: Tensor, beta: float, t: int | None = None) -> Tensor:
    steps = len(gradients) if t is None else t
    return _velocities(gradients, beta, 1 - beta)[-1] / (1 - beta**steps)


CORRECTED = Exercise(
    name="corrected-mean",
    task="From gradients (steps, d) and beta, return Adam's corrected mean (d,) after the last step.",
    reference=_mean,
    cases=lambda: [
        (torch.tensor([[2.0], [1.0]]), 0.5),
        (seeded(3, 2), 0.9),
        (seeded(5, 4), 0.8),
    ],
    mistakes=(
        Mistake(
            lambda gradients, beta: _velocities(gradients, beta, 1 - beta)[-1],
            "Not corrected: the mean began at 0, and its weights sum to 1 - beta^t. Divide by that.",
        ),
        Mistake(
            lambda gradients, beta: _mean(gradients, beta, 1),
            "You divide by 1 - beta at every step. The weights sum to 1 - beta^t, which grows with t.",
        ),
        Mistake(
            lambda gradients, beta: gradients.mean(0),
            "This is the plain mean. In Adam's the latest gradient weighs most.",
        ),
        Mistake(
            lambda gradients, beta: _mean(gradients.flip(0), beta),
            "Your weights run the wrong way: the oldest gradient weighs most.",
        ),
    ),
)


def _factor(matrix: Tensor) -> Tensor:
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    result: Tensor = u @ v
    return result


def _inner(matrix: Tensor) -> Tensor:
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    result: Tensor = u @ v.T
    return result


FACTOR = Exercise(
    name="orthogonal-factor",
    task=(
        "From a square matrix (n, n), return the matrix that Muon's iteration aims at: the same singular vectors, all "
        "singular values 1."
    ),
    reference=_factor,
    cases=lambda: [
        (torch.tensor([[2.0, 2.0], [-1.0, 1.0]]),),
        (seeded(3, 3),),
        (seeded(4, 4),),
    ],
    mistakes=(
        Mistake(
            lambda matrix: matrix / matrix.norm(),
            "You divided by the norm, which shrinks all singular values alike. They must become equal.",
        ),
        Mistake(
            lambda matrix: matrix / torch.linalg.svdvals(matrix)[0],
            "Only the largest singular value is 1 now. All must be.",
        ),
        Mistake(_inner, "V comes out of torch.linalg.svd already transposed; you transposed it once more."),
        Mistake(
            lambda matrix: matrix.sign(), "Signs of single numbers are Adam's first step. Look at singular values."
        ),
    ),
)


def _best(reference: Tensor, reward: Tensor, beta: float) -> Tensor:
    return (reference.log() + reward / beta).softmax(-1)


def _policies() -> list[tuple[Tensor, Tensor, float]]:
    return [
        (torch.tensor([0.5, 0.25, 0.25]), torch.tensor([0.0, 1.0, 2.0]), 0.5),
        (torch.tensor([0.1, 0.9]), torch.tensor([1.0, -1.0]), 2.0),
        (torch.tensor([0.2, 0.3, 0.4, 0.1]), torch.tensor([0.5, 0.1, -0.3, 0.9]), 0.3),
    ]


BEST = Exercise(
    name="best-policy",
    task=(
        "From reference (answers,), probabilities, reward (answers,) and beta, return the policy (answers,) with the "
        "largest mean reward less beta times its divergence from the reference."
    ),
    reference=_best,
    cases=_policies,
    mistakes=(
        Mistake(
            lambda reference, reward, beta: (reward / beta).softmax(-1),
            "The reference is missing: an answer that it never gives stays expensive. Multiply by it.",
        ),
        Mistake(
            lambda reference, reward, beta: (reference.log() + reward * beta).softmax(-1),
            "You multiply by beta. The dearer it is to move, the *less* should the reward count.",
        ),
        Mistake(
            lambda reference, reward, beta: reference * (reward / beta).exp(),
            "These do not sum to 1. Divide by their sum, Z.",
        ),
        Mistake(
            lambda reference, reward, beta: F.one_hot(reward.argmax(), len(reward)).float(),
            "This takes the best answer always, as if moving away from the reference were free.",
        ),
    ),
)


def _answers() -> list[tuple[Any, ...]]:
    hand = [torch.tensor([p]).log() for p in (1 / 2, 1 / 8, 1 / 4, 1 / 4)]
    drawn = list(-5 * torch.rand(4, 6, generator=_generator()))
    return [(*hand, 1.0), (*drawn, 0.5), (*drawn, 2.0)]


def _leads(pi_w: Tensor, pi_l: Tensor, ref_w: Tensor, ref_l: Tensor) -> Tensor:
    return (pi_w - pi_l) - (ref_w - ref_l)


DPO = Exercise(
    name="dpo-loss",
    task=(
        "From pi_w, pi_l, ref_w and ref_l (batch,), the log-probabilities of the chosen and the rejected answers under "
        "the policy and under the reference, and beta, return DPO's loss, a number."
    ),
    reference=dpo_loss,
    cases=_answers,
    mistakes=(
        Mistake(
            lambda pi_w, pi_l, ref_w, ref_l, beta: -F.logsigmoid(beta * (pi_w - pi_l)).mean(),
            "The reference is missing: count what each answer has gained since training began.",
        ),
        Mistake(
            lambda pi_w, pi_l, ref_w, ref_l, beta: dpo_loss(pi_l, pi_w, ref_l, ref_w, beta),
            "You exchanged the answers: this loss falls when the rejected one gains.",
        ),
        Mistake(
            lambda pi_w, pi_l, ref_w, ref_l, beta: -beta * F.logsigmoid(_leads(pi_w, pi_l, ref_w, ref_l)).mean(),
            "Inside the sigmoid is the place of beta, before the lead. Outside, it only changes the learning rate.",
        ),
        Mistake(
            lambda pi_w, pi_l, ref_w, ref_l, beta: -beta * _leads(pi_w, pi_l, ref_w, ref_l).mean(),
            "Without the logistic function a pair that is right already goes on pulling for ever.",
        ),
        Mistake(
            lambda pi_w, pi_l, ref_w, ref_l, beta: dpo_loss(pi_w, pi_l, ref_w, ref_l, beta) * len(pi_w),
            "This is the sum over the batch. Take the mean.",
        ),
    ),
)


EXERCISES = (
    MOVED,
    CORRECTED,
    FACTOR,
    BEST,
    DPO,
)
