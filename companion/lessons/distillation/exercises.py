"""Exercises of ``book/algorithms/distillation.ipynb``."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from companion.lessons.exercise_check import Exercise, Mistake


def _scores_and_temperature() -> list[tuple[Tensor, float]]:
    generator = torch.Generator().manual_seed(0)
    return [(2 * torch.randn(n, k, generator=generator), t) for n, k, t in ((1, 3, 2.0), (2, 5, 5.0), (3, 4, 0.5))]


SOFTEN = Exercise(
    name="soften",
    task="From `logits` (n, labels) and `temperature`, return the softened probabilities, (n, labels).",
    reference=lambda logits, temperature: (logits / temperature).softmax(-1),
    cases=_scores_and_temperature,
    mistakes=(
        Mistake(
            lambda logits, temperature: (logits * temperature).softmax(-1),
            "You multiply by the temperature, so a high one sharpens. Divide the scores by it.",
        ),
        Mistake(
            lambda logits, temperature: logits.softmax(-1) / temperature,
            "You divide the probabilities, and a row no longer sums to 1. Divide the scores, before the softmax.",
        ),
        Mistake(
            lambda logits, temperature: logits.softmax(-1),
            "The temperature changes nothing here. Divide the scores by it.",
        ),
        Mistake(
            lambda logits, temperature: (logits / temperature).softmax(0),
            "Your softmax runs over the positions. It runs over the labels, the last axis.",
        ),
    ),
)


def _two_models() -> list[tuple[Tensor, Tensor, float]]:
    generator = torch.Generator().manual_seed(1)
    cases = []
    for n, k, temperature in ((1, 3, 2.0), (2, 5, 5.0), (4, 4, 3.0)):
        student, teacher = (2 * torch.randn(n, k, generator=generator) for _ in range(2))
        cases.append((student, teacher, temperature))
    return cases


def _soft(student: Tensor, teacher: Tensor, temperature: float, power: int = 2) -> Tensor:
    log_q, log_p = ((z / temperature).log_softmax(-1) for z in (student, teacher))
    return temperature**power * (log_p.exp() * (log_p - log_q)).sum(-1).mean()


SOFT_LOSS = Exercise(
    name="soft-target-loss",
    task=(
        "From the logits of `student` and `teacher`, (n, labels) each, and `temperature`, return the mean divergence "
        "of the softened distributions times the square of the temperature."
    ),
    reference=_soft,
    cases=_two_models,
    mistakes=(
        Mistake(
            lambda student, teacher, temperature: _soft(student, teacher, temperature, 0),
            "The factor T^2 is missing. Without it the gradient shrinks as the temperature grows.",
        ),
        Mistake(
            lambda student, teacher, temperature: _soft(student, teacher, temperature, 1),
            "You multiply by T once. The gradient shrinks with the square of T, so the factor is T^2.",
        ),
        Mistake(
            lambda student, teacher, temperature: _soft(teacher, student, temperature),
            "You take the divergence the wrong way round. The expectation is under the teacher's distribution p.",
        ),
        Mistake(
            lambda student, teacher, temperature: _soft(student, teacher, temperature) * len(student),
            "You add the positions up. The loss is their mean.",
        ),
        Mistake(
            lambda student, teacher, temperature: _soft(student, teacher, temperature) / student.size(-1),
            "You also divide by the number of labels. Sum over the labels, and take the mean over the positions.",
        ),
    ),
)


def _gradient(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    return temperature * ((student / temperature).softmax(-1) - (teacher / temperature).softmax(-1))


SOFT_GRADIENT = Exercise(
    name="soft-gradient",
    task=(
        "From the logits of `student` and `teacher`, (n, labels) each, and `temperature`, return the gradient of "
        "T^2 KL(p || q) of each position by the student's logits, (n, labels), without autograd."
    ),
    reference=_gradient,
    cases=_two_models,
    mistakes=(
        Mistake(
            lambda student, teacher, temperature: _gradient(student, teacher, temperature) / temperature**2,
            "That is the gradient without the factor T^2. With it, (q - p) / T becomes T (q - p).",
        ),
        Mistake(
            lambda student, teacher, temperature: -_gradient(student, teacher, temperature),
            "The sign is turned round: where the student says too much, q > p, its score must fall.",
        ),
        Mistake(
            lambda student, teacher, temperature: _gradient(student, teacher, temperature) / temperature,
            "The scores are divided by T inside the softmax, so one factor 1 / T comes from there, and T^2 / T = T.",
        ),
        Mistake(
            lambda student, teacher, temperature: (student - teacher) / student.size(-1),
            "That is its limit at very high temperatures, for scores of mean 0. The exact one has the probabilities.",
        ),
    ),
)


def _weighed() -> list[tuple[Any, ...]]:
    generator = torch.Generator().manual_seed(2)
    cases = []
    for (student, teacher, temperature), alpha in zip(_two_models(), (0.9, 0.5, 0.2), strict=True):
        y = torch.randint(student.size(-1), (len(student),), generator=generator)
        cases.append((student, teacher, y, temperature, alpha))
    return cases


def _hinton(power: int = 2, swap: bool = False, heat_hard: bool = False) -> Callable[..., Tensor]:
    def loss(student: Tensor, teacher: Tensor, y: Tensor, temperature: float, alpha: float) -> Tensor:
        hard = F.cross_entropy(student / temperature if heat_hard else student, y)
        soft = _soft(student, teacher, temperature, power)
        return alpha * hard + (1 - alpha) * soft if swap else (1 - alpha) * hard + alpha * soft

    return loss


HINTON = Exercise(
    name="hinton-loss",
    task=(
        "From the logits of `student` and `teacher`, (n, labels) each, the labels `y` (n,), `temperature` and `alpha`, "
        "return (1 - alpha) times the hard loss plus alpha times the soft one."
    ),
    reference=_hinton(),
    cases=_weighed,
    mistakes=(
        Mistake(_hinton(power=0), "The soft loss lacks its factor T^2, so alpha does not weigh what it says."),
        Mistake(_hinton(swap=True), "The two weights are exchanged: alpha belongs to what the teacher thinks."),
        Mistake(_hinton(heat_hard=True), "You soften the hard loss as well. The labels are asked at temperature 1."),
        Mistake(
            lambda student, teacher, y, temperature, alpha: _soft(student, teacher, temperature),
            "The labels have no say in your loss. They have the weight 1 - alpha.",
        ),
    ),
)


def _skip(n_student: int, n_teacher: int) -> list[int]:
    return [m * n_teacher // n_student for m in range(1, n_student + 1)]


LAYER_MAP = Exercise(
    name="layer-map",
    task=(
        "From the numbers of layers `n_student` and `n_teacher`, return the list of the teacher's layers, counted from "
        "1, that the student's layers learn from, spread evenly and ending with the last."
    ),
    reference=_skip,
    cases=lambda: [(2, 4), (6, 12), (4, 12)],
    mistakes=(
        Mistake(
            lambda n, total: [layer - 1 for layer in _skip(n, total)],
            "Layers are counted from 1 here, and the last one of the teacher is n_teacher.",
        ),
        Mistake(
            lambda n, total: list(range(total - n + 1, total + 1)),
            "Those are the teacher's last layers, the map of PKD-last. Spread them over all layers.",
        ),
        Mistake(
            lambda n, total: list(range(1, total + 1, total // n)),
            "Those are the layers that DistilBERT begins with. A layer learns from the *end* of its stretch.",
        ),
        Mistake(
            lambda n, total: list(range(1, n + 1)),
            "Those are the teacher's first layers. Spread them over all layers.",
        ),
    ),
)


def _vectors() -> list[tuple[Tensor, Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(3)
    cases = []
    for batch, length, width in ((1, 4, 3), (2, 5, 4), (3, 6, 2)):
        ours, theirs = (torch.randn(batch, length, width, generator=generator) for _ in range(2))
        real = torch.ones(batch, length, dtype=torch.bool)
        real[-1, length - 2 :] = False
        cases.append((ours, theirs, real))
    return cases


def _cosines(ours: Tensor, theirs: Tensor, real: Tensor) -> Tensor:
    return F.cosine_similarity(ours[real], theirs[real], dim=-1)


COSINE = Exercise(
    name="cosine-loss",
    task=(
        "From the last vectors of student and teacher, (batch, length, d) each, and `real` (batch, length), False at "
        "padding, return the mean of 1 - cosine over the real tokens."
    ),
    reference=lambda ours, theirs, real: (1 - _cosines(ours, theirs, real)).mean(),
    cases=_vectors,
    mistakes=(
        Mistake(
            lambda ours, theirs, real: (1 - F.cosine_similarity(ours, theirs, dim=-1)).mean(),
            "Padding is compared as well. Only the real tokens count.",
        ),
        Mistake(
            lambda ours, theirs, real: _cosines(ours, theirs, real).mean(),
            "That is highest when the two agree. A loss is lowest there: 1 - cosine.",
        ),
        Mistake(
            lambda ours, theirs, real: (1 - (ours * theirs).sum(-1)[real]).mean(),
            "You take the dot product. Divide by the two lengths, so that only the direction counts.",
        ),
        Mistake(
            lambda ours, theirs, real: (1 - _cosines(ours, theirs, real)).sum(),
            "You add the tokens up. The loss is their mean.",
        ),
    ),
)


def _first_tokens() -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(4)
    shapes = ((1, 1, 3), (2, 2, 4), (3, 5, 2))
    return [(torch.randn(*s, generator=generator), torch.randn(*s, generator=generator)) for s in shapes]


def _patience(ours: Tensor, theirs: Tensor) -> Tensor:
    gap = F.normalize(ours, dim=-1) - F.normalize(theirs, dim=-1)
    return gap.square().sum(-1).sum(-1).mean()


PATIENCE = Exercise(
    name="patience",
    task=(
        "From the [CLS] vectors of student and teacher after each layer that is compared, (batch, layers, d) each, "
        "return PKD's squared distance of the normalised vectors, summed over layers, mean over the batch."
    ),
    reference=_patience,
    cases=_first_tokens,
    mistakes=(
        Mistake(
            lambda ours, theirs: (ours - theirs).square().sum(-1).sum(-1).mean(),
            "The vectors are compared as they are. Divide each by its own length first.",
        ),
        Mistake(
            lambda ours, theirs: _patience(ours, theirs) / ours.size(1),
            "You take the mean over the layers. The paper sums over them.",
        ),
        Mistake(
            lambda ours, theirs: (F.normalize(ours, dim=-1) - F.normalize(theirs, dim=-1)).norm(dim=-1).sum(-1).mean(),
            "You take the distance. Its square is wanted: no root.",
        ),
        Mistake(
            lambda ours, theirs: _patience(ours, theirs) / ours.size(-1),
            "You take the mean over the coordinates. The squared distance is their sum.",
        ),
    ),
)


EXERCISES = (
    SOFTEN,
    SOFT_LOSS,
    SOFT_GRADIENT,
    HINTON,
    LAYER_MAP,
    COSINE,
    PATIENCE,
)
