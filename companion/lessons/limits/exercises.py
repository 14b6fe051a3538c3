"""Exercises of ``book/concepts/limits.ipynb``."""

import math

import torch
from torch import Tensor

from companion.lessons.exercise_check import Exercise, Mistake
from companion.metrics.limits import auroc, exposure


def _sides() -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    drawn = [
        (torch.randint(2, 11, (m,), generator=generator) / 10, torch.randint(0, 9, (n,), generator=generator) / 10)
        for m, n in ((6, 6), (9, 9))
    ]
    return [(torch.tensor([0.9, 0.8]), torch.tensor([0.8, 0.5])), *drawn]


AUROC = Exercise(
    name="auroc",
    task=(
        "From the confidences `known` (m,) and `unknown` (n,), return the AUROC, as a number: the fraction of all m n "
        "pairs in which the first is above the second, a tie counting one half."
    ),
    reference=auroc,
    cases=_sides,
    mistakes=(
        Mistake(
            lambda known, unknown: (known[:, None] > unknown).double().mean().item(),
            "A tie counts nothing in yours. It is one half: either could be the surer one.",
        ),
        Mistake(
            lambda known, unknown: (known[:, None] >= unknown).double().mean().item(),
            "A tie counts one in yours. It is one half: either could be the surer one.",
        ),
        Mistake(
            lambda known, unknown: auroc(unknown, known),
            "The sides are turned round: count where `known` is above `unknown`.",
        ),
        Mistake(
            lambda known, unknown: ((known > unknown).double() + (known == unknown).double() / 2).mean().item(),
            "You compare the first with the first, the second with the second. Every pair counts, m n in all.",
        ),
        Mistake(
            lambda known, unknown: (known.mean() - unknown.mean()).item(),
            "That is a difference of means. Count pairs: a few very sure answers must not outweigh the rest.",
        ),
    ),
)


def _rank(log_probs: Tensor, secret: int) -> int:
    return 1 + int((log_probs > log_probs[secret]).sum())


EXPOSURE = Exercise(
    name="exposure",
    task=(
        "From the log-probabilities `log_probs` (R,) of all candidates and the place `secret` of the true one among "
        "them, return its exposure in bits, as a number."
    ),
    reference=exposure,
    cases=lambda: [
        (torch.tensor([-1.0, -3.0, -0.5, -2.0, -0.7]), 0),
        (torch.arange(100.0) / -10, 9),
        (torch.arange(32.0) / -10, 0),
    ],
    mistakes=(
        Mistake(
            lambda log_probs, secret: math.log(len(log_probs) / _rank(log_probs, secret)),
            "Those are nats. Bits need the logarithm of base 2.",
        ),
        Mistake(
            lambda log_probs, secret: math.log2(len(log_probs) / (1 + int((log_probs < log_probs[secret]).sum()))),
            "You count from the least likely one. Rank 1 is the likeliest.",
        ),
        Mistake(
            lambda log_probs, secret: math.log2(_rank(log_probs, secret)),
            "That is how much is still hidden. Exposure is what is left of log2 R when it is taken away.",
        ),
        Mistake(
            lambda log_probs, secret: -log_probs[secret].item() / math.log(2),
            "That is the surprisal of the secret. Exposure asks for its rank among the candidates.",
        ),
    ),
)


def _swapped(tokens: list[str], pairs: list[tuple[str, str]]) -> list[str]:
    names = {a: b for pair in pairs for a, b in (pair, pair[::-1])}
    return [names.get(token, token) for token in tokens]


def _one_after_the_other(tokens: list[str], pairs: list[tuple[str, str]]) -> list[str]:
    for a, b in pairs:
        tokens = [b if token == a else token for token in tokens]
        tokens = [a if token == b else token for token in tokens]
    return tokens


SWAP = Exercise(
    name="swap-names",
    task=(
        "From a text's `tokens` and `pairs` of names, return as a list the tokens of the same text in which the two "
        "names of each pair are swapped."
    ),
    reference=_swapped,
    cases=lambda: [
        (["Tom", "gives", "Peter", "the", "ball", ".", "Peter", "feels", "sad", "."], [("Tom", "Peter")]),
        (["Anna", "goes", "to", "the", "park", ".", "Tom", "sees", "Lily"], [("Tom", "Peter"), ("Anna", "Lily")]),
        (["Nobody", "is", "here", "."], [("Tom", "Peter")]),
    ],
    mistakes=(
        Mistake(
            _one_after_the_other,
            "You replace one name, and then the other, which turns the first ones back. Both must change at once.",
        ),
        Mistake(
            lambda tokens, pairs: [dict(pairs).get(token, token) for token in tokens],
            "You rename in one direction. Then two people have one name; a swap goes both ways.",
        ),
        Mistake(
            lambda tokens, pairs: list(tokens),
            "Nothing has changed.",
        ),
    ),
)


def _selective(confidence: Tensor, right: Tensor, threshold: float) -> tuple[float, float]:
    answered = confidence >= threshold
    return answered.float().mean().item(), (~right[answered]).float().mean().item()


def _confidences() -> list[tuple[Tensor, Tensor, float]]:
    generator = torch.Generator().manual_seed(1)
    cases = []
    for n, threshold in ((8, 0.5), (20, 0.7), (30, 0.25)):
        confidence = torch.randint(0, 21, (n,), generator=generator) / 20
        confidence[0] = threshold
        right = torch.rand(n, generator=generator) < confidence
        cases.append((confidence, right, threshold))
    return cases


SELECTIVE = Exercise(
    name="selective-risk",
    task=(
        "From `confidence` (n,), the booleans `right` (n,) and a `threshold`, let the model answer where its "
        "confidence is at least the threshold. Return two numbers: the fraction of questions answered, and that of "
        "wrong ones among the answers."
    ),
    reference=_selective,
    cases=_confidences,
    mistakes=(
        Mistake(
            lambda confidence, right, threshold: (
                (confidence >= threshold).float().mean().item(),
                (~right & (confidence >= threshold)).float().mean().item(),
            ),
            "You divide the mistakes by all questions. The second fraction is of those that were answered.",
        ),
        Mistake(
            lambda confidence, right, threshold: (
                (confidence >= threshold).float().mean().item(),
                1 - _selective(confidence, right, threshold)[1],
            ),
            "The second number is the fraction of wrong answers, not of right ones.",
        ),
        Mistake(
            lambda confidence, right, threshold: (
                1 - _selective(confidence, right, threshold)[0],
                _selective(confidence, right, threshold)[1],
            ),
            "The first number is the fraction of questions that are answered, not of those refused.",
        ),
        Mistake(
            lambda confidence, right, threshold: _selective(confidence, right, threshold + 1e-4),
            "A confidence equal to the threshold is enough to answer.",
        ),
    ),
)


def _worst(broken: list[list[bool]]) -> tuple[float, float]:
    flat = [b for row in broken for b in row]
    return sum(flat) / len(flat), sum(any(row) for row in broken) / len(broken)


WORST = Exercise(
    name="worst-case",
    task=(
        "From `broken`, a list for each text with a boolean for each change that was tried (did the answer break?), "
        "return two numbers: the fraction of all changes that broke an answer, and that of texts that some change "
        "broke."
    ),
    reference=_worst,
    cases=lambda: [
        ([[True, False, False], [False, False]],),
        ([[True, True], [False], [True, False, False, False]],),
        ([[False, False, True], [True, True, True], [False], [False, False]],),
    ],
    mistakes=(
        Mistake(
            lambda broken: (sum(sum(row) / len(row) for row in broken) / len(broken), _worst(broken)[1]),
            "You average over the texts first. The first fraction is of all changes, and texts with many count more.",
        ),
        Mistake(
            lambda broken: (_worst(broken)[0], sum(all(row) for row in broken) / len(broken)),
            "An adversary needs one change that breaks the answer, not all of them.",
        ),
        Mistake(
            lambda broken: _worst(broken)[::-1],
            "The two numbers stand the wrong way round: the fraction of changes first.",
        ),
        Mistake(
            lambda broken: (_worst(broken)[0], float(sum(any(row) for row in broken))),
            "The second number is a fraction of the texts. Divide by how many there are.",
        ),
    ),
)


def _paired(first: Tensor, second: Tensor) -> tuple[float, float]:
    difference = first - second
    return difference.mean().item(), (difference.std() / math.sqrt(len(difference))).item()


def _pairs() -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(2)
    drawn = []
    for size in (4, 20):
        common = 3 * torch.randn(size, generator=generator)  # what both of a pair share
        drawn.append((common + torch.randn(size, generator=generator) + 0.5, common))
    return [(torch.tensor([-2.0, -5.0, -1.0]), torch.tensor([-3.0, -5.5, -2.5])), *drawn]


PAIRED = Exercise(
    name="paired-prompts",
    task=(
        "From `first` and `second` (n,), the log-probabilities of the two prompts of each pair, return two numbers: "
        "the mean difference, first less second, and its standard error over pairs."
    ),
    reference=_paired,
    cases=_pairs,
    mistakes=(
        Mistake(
            lambda first, second: (
                (first - second).mean().item(),
                ((first.var() + second.var()) / len(first)).sqrt().item(),
            ),
            "You treat the two sides as unrelated. What both of a pair share falls out of their difference: take its "
            "spread.",
        ),
        Mistake(
            lambda first, second: ((first - second).mean().item(), (first - second).std().item()),
            "That is the spread of the pairs. The mean of n of them varies less, by the square root of n.",
        ),
        Mistake(
            lambda first, second: (-_paired(first, second)[0], _paired(first, second)[1]),
            "The difference is turned round: first less second.",
        ),
        Mistake(
            lambda first, second: (_paired(first, second)[0], (first - second).abs().mean().item()),
            "The second number is not a mean size. How far would the mean move if other pairs had been drawn?",
        ),
        Mistake(
            lambda first, second: (
                (first.exp() - second.exp()).mean().item(),
                ((first.exp() - second.exp()).std() / math.sqrt(len(first))).item(),
            ),
            "Those are differences of probabilities, and the likeliest words drown the rest. Stay with the logarithms.",
        ),
    ),
)


EXERCISES = (
    AUROC,
    SELECTIVE,
    SWAP,
    EXPOSURE,
    WORST,
    PAIRED,
)
