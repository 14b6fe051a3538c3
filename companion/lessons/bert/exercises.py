"""Exercises of ``book/algorithms/bert.ipynb``."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from companion.data.batch import IGNORED
from companion.lessons.exercise_check import Exercise, Mistake
from companion.lessons.random_inputs import seeded


def _masked(mask_below: float = 0.8, random_below: float = 0.9, everywhere: bool = False) -> Callable[..., Tensor]:
    def hide(ids: Tensor, chosen: Tensor, draw: Tensor, other: Tensor, mask_id: int) -> Tensor:
        where = torch.ones_like(chosen) if everywhere else chosen
        swapped = torch.where(where & (draw < random_below), other, ids)
        return swapped.masked_fill(where & (draw < mask_below), mask_id)

    return hide


def _drawn() -> list[tuple[Any, ...]]:
    generator = torch.Generator().manual_seed(0)
    cases = []
    for shape in ((1, 12), (3, 9), (4, 15)):
        ids, other = (torch.randint(5, 40, shape, generator=generator) for _ in range(2))
        chosen = torch.rand(shape, generator=generator) < 0.6
        cases.append((ids, chosen, torch.rand(shape, generator=generator), other, 3))
    return cases


HIDE = Exercise(
    name="hide-tokens",
    task=(
        "From ids, a boolean `chosen`, numbers `draw` in [0, 1), random ids `other` (all (batch, length)) and mask_id, "
        "return what BERT reads: of the chosen, mask_id below 0.8, the other token below 0.9, else the token itself."
    ),
    reference=_masked(),
    cases=_drawn,
    mistakes=(
        Mistake(
            _masked(mask_below=1.0),
            "Every chosen token becomes [MASK]. A tenth should be a random token, and a tenth should stay.",
        ),
        Mistake(
            _masked(random_below=1.0),
            "None of the chosen tokens stays. From 0.9 on the token is left as it is, and asked for all the same.",
        ),
        Mistake(
            _masked(random_below=0.8),
            "No chosen token becomes a random one. Between 0.8 and 0.9 the other token stands in its place.",
        ),
        Mistake(
            _masked(everywhere=True),
            "You change tokens that were not chosen. Only the chosen ones may differ from the text.",
        ),
    ),
)


def _logits_and_targets() -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    cases = []
    for batch, length, vocabulary in ((1, 5, 6), (2, 7, 9), (3, 4, 5)):
        targets = torch.randint(vocabulary, (batch, length), generator=generator)
        asked = torch.rand(batch, length, generator=generator) < 0.4
        asked[0, 0], asked[0, 1] = True, False
        logits = torch.randn(batch, length, vocabulary, generator=generator)
        cases.append((logits, targets.masked_fill(~asked, IGNORED)))
    return cases


def _mlm(logits: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction=reduction)


MLM_LOSS = Exercise(
    name="mlm-loss",
    task=(
        "From logits (batch, length, vocab) and targets (batch, length), -100 where there is no target, return the "
        "mean negative log-likelihood over the positions with a target."
    ),
    reference=_mlm,
    cases=_logits_and_targets,
    mistakes=(
        Mistake(
            lambda logits, targets: _mlm(logits, targets, "sum") / targets.numel(),
            "You divide by all positions. The mean is over those with a target.",
        ),
        Mistake(
            lambda logits, targets: _mlm(logits, targets, "sum"),
            "You add the losses up. Divide by the number of positions with a target.",
        ),
        Mistake(
            lambda logits, targets: _mlm(logits[:, :-1], targets[:, 1:]),
            "You shift the targets, as a GPT does. A masked token is predicted at its own position.",
        ),
        Mistake(
            lambda logits, targets: _mlm(logits, targets.clamp(min=0)),
            "You also ask for token 0 where there is no target. Leave those positions out.",
        ),
    ),
)


def _framed(first: list[int], second: list[int], cls_id: int, sep_id: int) -> tuple[list[int], list[int]]:
    return [cls_id, *first, sep_id, *second, sep_id], [0] * (len(first) + 2) + [1] * (len(second) + 1)


FRAME = Exercise(
    name="frame-pair",
    task=(
        "From two lists of ids, `first` and `second`, cls_id and sep_id, return two lists: [CLS] first [SEP] second "
        "[SEP] as ids, and the segment of each token."
    ),
    reference=_framed,
    cases=lambda: [([5, 6], [7], 1, 2), ([3], [4, 5, 6], 8, 9), ([5, 5, 5], [6, 6], 0, 1)],
    mistakes=(
        Mistake(
            lambda a, b, c, s: ([c, *a, s, *b, s], [0] * (len(a) + 1) + [1] * (len(b) + 2)),
            "The first [SEP] closes the first segment and belongs to it: it is in segment 0.",
        ),
        Mistake(
            lambda a, b, c, s: ([c, *a, s, *b], [0] * (len(a) + 2) + [1] * len(b)),
            "A [SEP] closes the second part too.",
        ),
        Mistake(
            lambda a, b, c, s: ([c, *a, s, c, *b, s], [0] * (len(a) + 2) + [1] * (len(b) + 2)),
            "There is one [CLS] for the pair, before the first part.",
        ),
        Mistake(
            lambda a, b, c, s: (_framed(a, b, c, s)[0], [1] * (len(a) + 2) + [2] * (len(b) + 1)),
            "The segments are counted from 0: 0 for the first, 1 for the second.",
        ),
    ),
)


def _pair_logits() -> list[tuple[Tensor]]:
    generator = torch.Generator().manual_seed(2)
    return [(2 * torch.randn(n, 2, generator=generator),) for n in (1, 3, 6)]


SIGMOID = Exercise(
    name="pair-sigmoid",
    task=(
        "From the two logits of each pair (batch, 2), 0 = it follows and 1 = it does not, return the probability "
        "(batch,) that it follows, with a sigmoid and no softmax."
    ),
    reference=lambda logits: (logits[:, 0] - logits[:, 1]).sigmoid(),
    cases=_pair_logits,
    mistakes=(
        Mistake(
            lambda logits: (logits[:, 1] - logits[:, 0]).sigmoid(),
            "That is the probability that it does not follow. Turn the difference round.",
        ),
        Mistake(
            lambda logits: logits[:, 0].sigmoid(),
            "You leave the other logit out. Only the difference of the two counts.",
        ),
        Mistake(
            lambda logits: (logits[:, 0] / logits[:, 1]).sigmoid(),
            "The softmax depends on the difference of the logits, not on their ratio.",
        ),
    ),
)


def _fractions(fraction: float) -> tuple[float, float, float]:
    return 0.8 * fraction, 0.1 * fraction, 1 - 0.9 * fraction


FRACTIONS = Exercise(
    name="mask-fractions",
    task=(
        "A `fraction` of all tokens is chosen. Return three fractions of all tokens: those that become "
        "[MASK], those that become a random token, and those that the model reads as they were written."
    ),
    reference=_fractions,
    cases=lambda: [(0.15,), (0.4,), (1.0,)],
    mistakes=(
        Mistake(
            lambda fraction: (fraction, 0.0, 1 - fraction),
            "Not every chosen token becomes [MASK]: of the chosen, 80 % do.",
        ),
        Mistake(
            lambda fraction: (0.8 * fraction, 0.1 * fraction, 0.1 * fraction),
            "The third fraction is that of the chosen tokens that stay. Those that were not chosen stay too.",
        ),
        Mistake(
            lambda fraction: (0.8, 0.1, 0.1),
            "Those are fractions of the chosen tokens. You are asked for fractions of all.",
        ),
        Mistake(
            lambda fraction: (0.8 * fraction, 0.1 * fraction, 1 - fraction),
            "Of the chosen tokens a tenth stay as they were written; add them to the third fraction.",
        ),
    ),
)


def _frame_weight(weights: Tensor) -> Tensor:
    words = weights[1:-1]
    return (words[:, 0] + words[:, -1]).mean()


def _maps(n: int, seed: int) -> Tensor:
    return seeded(n, n, seed=seed).softmax(-1)


FRAME_WEIGHT = Exercise(
    name="frame-weight",
    task=(
        "From the weights (n, n) of one head on a sentence in its frame, [CLS] first and [SEP] last, return the mean "
        "weight that a word gives to the two together, a number."
    ),
    reference=_frame_weight,
    cases=lambda: [(_maps(n, seed),) for n, seed in ((4, 0), (7, 1), (12, 2))],
    mistakes=(
        Mistake(
            lambda weights: (weights[:, 0] + weights[:, -1]).mean(),
            "You count the rows of [CLS] and [SEP] too. You are asked what the words do.",
        ),
        Mistake(
            lambda weights: weights[1:-1][:, [0, -1]].mean(),
            "That is the mean of one of the two. They belong together: add them up for each word first.",
        ),
        Mistake(
            lambda weights: (weights[0, 1:-1] + weights[-1, 1:-1]).mean(),
            "You take the rows of the frame: what [CLS] and [SEP] read. What is read stands in the columns.",
        ),
        Mistake(
            lambda weights: weights[1:-1, 0].mean(),
            "That is [CLS] alone; [SEP] belongs to the frame too.",
        ),
    ),
)


EXERCISES = (
    FRACTIONS,
    HIDE,
    MLM_LOSS,
    FRAME,
    SIGMOID,
    FRAME_WEIGHT,
)
