"""Exercises of ``book/algorithms/distillation.ipynb`` about what happens inside."""

import torch
import torch.nn.functional as F
from torch import Tensor

from companion.exercises.checking import Exercise, Mistake


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

EXERCISES = (LAYER_MAP, COSINE, PATIENCE)
