"""Exercises of ``book/algorithms/finetuning.ipynb``."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from companion.data.batch import IGNORED
from companion.lessons.exercise_check import Exercise, Mistake


def _head_cases() -> list[tuple[Tensor, ...]]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((1, 4, 3, 2), (3, 5, 4, 3), (2, 6, 5, 4))
    return [
        tuple(torch.randn(*s, generator=generator) for s in ((n, length, d), (d, d), (d,), (k, d), (k,)))
        for n, length, d, k in shapes
    ]


def _scored(text: Tensor, w_pool: Tensor, b_pool: Tensor, w: Tensor, b: Tensor) -> Tensor:
    return (text @ w_pool.T + b_pool).tanh() @ w.T + b


HEAD = Exercise(
    name="classifier-head",
    task=(
        "From the body's vectors h (batch, length, d), [CLS] first, the pooler's w_pool (d, d) and b_pool (d,), and "
        "the head's w (labels, d) and b (labels,), return the probability of each label, (batch, labels)."
    ),
    reference=lambda h, *weights: _scored(h[:, 0], *weights).softmax(-1),
    cases=_head_cases,
    mistakes=(
        Mistake(
            lambda h, *weights: _scored(h[:, 0], *weights),
            "Those are logits. A softmax over the labels makes probabilities of them.",
        ),
        Mistake(
            lambda h, *weights: _scored(h.mean(1), *weights).softmax(-1),
            "You average over all tokens. BERT's head reads the first one alone, [CLS].",
        ),
        Mistake(
            lambda h, *weights: _scored(h[:, -1], *weights).softmax(-1),
            "You read the last token, as one does in a GPT. In BERT the first one, [CLS], stands for the text.",
        ),
        Mistake(
            lambda h, w_pool, b_pool, w, b: ((h[:, 0] @ w_pool.T + b_pool) @ w.T + b).softmax(-1),
            "The tanh between the pooler and the head is missing.",
        ),
        Mistake(
            lambda h, *weights: _scored(h[:, 0], *weights).sigmoid(),
            "A sigmoid judges each label by itself, and a row need not sum to 1. Take a softmax.",
        ),
    ),
)


def _aligned(
    words: Sequence[int | None], tags: Sequence[int], every: bool = False, outside: int = IGNORED
) -> list[int]:
    labels, before = [], None
    for word in words:
        labels.append(tags[word] if word is not None and (every or word != before) else outside)
        before = word
    return labels


def _in_order(words: Sequence[int | None], tags: Sequence[int]) -> list[int]:
    rest = iter(tags)
    return [IGNORED if word is None else next(rest, IGNORED) for word in words]


ALIGN = Exercise(
    name="first-pieces",
    task=(
        "From the list `words`, for each token the number of its word or None, and one tag a word, return the list of "
        "labels: the word's tag at its first piece, -100 everywhere else."
    ),
    reference=_aligned,
    cases=lambda: [
        ([None, 0, 1, 1, 2, None], [3, 1, 2]),
        ([None, 0, 0, 0, 1, None], [0, 4]),
        ([None, 0, 1, 1, 2, 2, 3, None, None], [1, 1, 0, 2]),
    ],
    mistakes=(
        Mistake(
            lambda words, tags: _aligned(words, tags, every=True),
            "Every piece gets its word's tag, so a long word counts several times. Only the first piece carries it.",
        ),
        Mistake(
            _in_order,
            "You give the tags out token by token, and they slip behind after the first word in pieces. Go by `words`.",
        ),
        Mistake(
            lambda words, tags: _aligned(words, tags, outside=0),
            "A 0 is the number of a tag, so [CLS], [SEP] and the later pieces have a target too. Write -100 there.",
        ),
        Mistake(
            lambda words, tags: _aligned(words[::-1], tags)[::-1],
            "That is the last piece of each word. The first one carries the tag.",
        ),
    ),
)


def _judged() -> list[tuple[Tensor, Tensor, int]]:
    generator = torch.Generator().manual_seed(1)
    cases = []
    for n, label in ((20, 0), (31, 1), (45, 2)):
        true = torch.randint(3, (n,), generator=generator)
        slip = torch.rand(n, generator=generator) < 0.4
        cases.append((torch.where(slip, torch.randint(3, (n,), generator=generator), true), true, label))
    return cases


def _precision_recall_f1(predicted: Tensor, true: Tensor, label: int) -> tuple[float, float, float]:
    right = ((predicted == label) & (true == label)).sum().item()
    precision, recall = right / (predicted == label).sum().item(), right / (true == label).sum().item()
    return precision, recall, 2 * precision * recall / (precision + recall)


def _changed(change: Callable[[float, float, float], tuple[float, float, float]]) -> Callable[..., Any]:
    return lambda *case: change(*_precision_recall_f1(*case))


F1 = Exercise(
    name="f1-score",
    task=(
        "From `predicted` and `true`, numbers of labels (n,), and one `label`, return its precision, its recall and "
        "their harmonic mean F1."
    ),
    reference=_precision_recall_f1,
    cases=_judged,
    mistakes=(
        Mistake(
            _changed(lambda p, r, f1: (r, p, f1)),
            "Precision and recall have changed places: precision divides by what was given the label.",
        ),
        Mistake(
            _changed(lambda p, r, f1: (p, r, (p + r) / 2)),
            "That is the arithmetic mean. F1 is the harmonic one, 2 p r / (p + r).",
        ),
        Mistake(
            _changed(lambda p, r, f1: (p, r, p * r / (p + r))),
            "A factor of 2 is missing: when both are 1, F1 must be 1.",
        ),
        Mistake(
            lambda predicted, true, label: ((predicted == true).double().mean().item(),) * 3,
            "That is the accuracy over all labels. Look at one label: given to how many, had by how many, both.",
        ),
    ),
)


def _ends() -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(2)
    crossed = (
        torch.tensor([0.0, 3.0, 1.0, 0.0]),
        torch.tensor([2.5, -1.0, 0.0, 2.0]),
    )  # the best end is before the start
    better_end = torch.tensor([3.0, 3.2, 0.0]), torch.tensor([5.0, 0.0, 1.0])
    drawn = [(torch.randn(n, generator=generator), torch.randn(n, generator=generator)) for n in (6, 9)]
    return [crossed, better_end, *drawn]


def _best(start: Tensor, end: Tensor, nearest: int = 0, product: bool = False) -> tuple[int, int]:
    pairs = [(i, j) for i in range(len(start)) for j in range(i + nearest, len(start))]
    both = torch.outer(start, end) if product else start[:, None] + end[None, :]
    return max(pairs, key=lambda pair: float(both[pair]))


def _first_by_first(start: Tensor, end: Tensor) -> tuple[int, int]:
    first = int(start.argmax())
    return first, first + int(end[first:].argmax())


SPAN = Exercise(
    name="best-span",
    task=(
        "From the scores `start` and `end` of n positions, return the pair (i, j), i not after j, for which "
        "start[i] + end[j] is highest."
    ),
    reference=_best,
    cases=_ends,
    mistakes=(
        Mistake(
            lambda start, end: (int(start.argmax()), int(end.argmax())),
            "Each end is chosen by itself, so an answer may stop before it starts. Choose the pair, i not after j.",
        ),
        Mistake(
            _first_by_first,
            "You settle the start before you look at the ends. A slightly worse start may have a far better end.",
        ),
        Mistake(
            lambda start, end: _best(start, end, nearest=1),
            "An answer may be a single word: i and j may be equal.",
        ),
        Mistake(
            lambda start, end: _best(start, end, product=True),
            "You multiply the scores. They are logits: as logarithms of chances they add up.",
        ),
    ),
)


def _multipliers(step: int, every: int, factor: float, n: int) -> list[float]:
    # of the embeddings, the n blocks, and the head
    return [factor ** (layer - n - 1) if step > (n + 1 - layer) * every else 0.0 for layer in range(n + 2)]


MULTIPLIERS = Exercise(
    name="layer-multipliers",
    task=(
        "From the `step`, counted from 1, `every`, `factor` and the number of blocks n, return the list of n + 2 "
        "multipliers of the learning rate, embeddings first: the head trains from step 1, every so many steps the "
        "next layer below too, and each layer that trains has the multiplier of the layer above it divided by factor."
    ),
    reference=_multipliers,
    cases=lambda: [(1, 10, 2.0, 3), (10, 10, 2.6, 4), (11, 10, 2.6, 2), (25, 5, 1.5, 4), (100, 7, 3.0, 2)],
    mistakes=(
        Mistake(
            lambda *case: _multipliers(*case)[::-1],
            "Your list begins with the head. The embeddings come first, and thaw last.",
        ),
        Mistake(
            lambda step, every, factor, n: _multipliers(step + 1, every, factor, n),
            "Each layer thaws a step too early. With every = 10 the second layer trains from step 11 on.",
        ),
        Mistake(
            lambda step, every, factor, n: [float(m > 0) for m in _multipliers(step, every, factor, n)],
            "Every layer that trains has the full rate. Divide by factor once more for each layer further down.",
        ),
        Mistake(
            lambda step, every, factor, n: _multipliers(10**9, every, factor, n),
            "All layers train from the first step. Those that are not thawed yet have the multiplier 0.",
        ),
        Mistake(
            lambda step, every, factor, n: [
                bool(s) * factor ** (-i) for i, s in enumerate(_multipliers(step, every, factor, n))
            ],
            "The embeddings have the largest multiplier. It is the head's that is 1.",
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
            _lora,
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
    """Of each bin that is not empty: its fraction of all predictions, and by how much it is too sure."""
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
    reference=lambda *case: math.fsum(fraction * abs(gap) for fraction, gap in _gaps(*case)),
    cases=_sureness,
    mistakes=(
        Mistake(
            lambda *case: math.fsum(abs(gap) for _, gap in _gaps(*case)) / len(_gaps(*case)),
            "Every bin counts as much. Weigh a bin by its fraction of the predictions.",
        ),
        Mistake(
            lambda *case: abs(math.fsum(fraction * gap for fraction, gap in _gaps(*case))),
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


EXERCISES = (
    HEAD,
    ALIGN,
    F1,
    SPAN,
    MULTIPLIERS,
    LORA,
    ECE,
)
