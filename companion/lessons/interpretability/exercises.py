"""Exercises of ``book/practice/interpretability.ipynb``."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from companion.lessons.exercise_check import Exercise, Mistake
from companion.metrics.attribution import attention_rollout, recovery


def _maps(layers: int, heads: int, length: int, seed: int) -> list[Tensor]:
    draw = torch.Generator().manual_seed(seed)
    causal = torch.ones(length, length).tril().bool()
    scores = torch.randn(layers, heads, length, length, generator=draw)
    return list(scores.masked_fill(~causal, -torch.inf).softmax(-1))


def _rollout(attention: Sequence[Tensor]) -> Tensor:
    return attention_rollout([weights[None] for weights in attention])[0]


def _reversed(attention: Sequence[Tensor]) -> Tensor:
    return _rollout(list(attention)[::-1])


def _without_residual(attention: Sequence[Tensor]) -> Tensor:
    rolled: Tensor = torch.eye(attention[0].size(-1))
    for weights in attention:
        rolled = weights.mean(0) @ rolled
    return rolled


def _not_halved(attention: Sequence[Tensor]) -> Tensor:
    doubled: Tensor = _rollout(attention) * 2 ** len(attention)
    return doubled


ROLLOUT = Exercise(
    name="attention-rollout",
    task="From attention, a list of (heads, n, n) from the first layer to the last, return the rollout (n, n).",
    reference=_rollout,
    cases=lambda: [(_maps(2, 2, 4, 0),), (_maps(3, 1, 5, 1),), (_maps(1, 3, 3, 2),)],
    mistakes=(
        Mistake(
            _reversed, "You multiply in the wrong order: the first layer reads the tokens, so it stands rightmost."
        ),
        Mistake(_without_residual, "You left the residual connection out: add the identity to each averaged map."),
        Mistake(_not_halved, "Your rows do not sum to 1: map plus identity is halved."),
    ),
)


def _mean(outputs: Tensor, real: Tensor) -> Tensor:
    return outputs[real].mean(0)


def _mean_of_texts(outputs: Tensor, real: Tensor) -> Tensor:
    return torch.stack([one[here].mean(0) for one, here in zip(outputs, real, strict=True)]).mean(0)


MEAN = Exercise(
    name="mean-ablation",
    task="From outputs (texts, length, d) and real (texts, length), return the mean output over the tokens, (d,).",
    reference=_mean,
    cases=lambda: [
        (torch.tensor([[[1.0], [3.0]], [[8.0], [9.0]]]), torch.tensor([[True, True], [True, False]])),
        (torch.arange(12.0).view(2, 3, 2), torch.tensor([[True, False, False], [True, True, True]])),
        (torch.ones(1, 4, 2), torch.tensor([[True, True, False, False]])),
    ],
    mistakes=(
        Mistake(lambda outputs, real: outputs.mean((0, 1)), "That is the mean with the padding in it."),
        Mistake(
            lambda outputs, real: (outputs * real[..., None]).mean((0, 1)),
            "You set the padding to zero and still divide by it: count the tokens.",
        ),
        Mistake(_mean_of_texts, "You average each text first, so a token of a short text counts for more."),
    ),
)


RECOVERY = Exercise(
    name="patch-recovery",
    task="From the logit differences patched, corrupted and clean, each (texts,), return the recovery.",
    reference=recovery,
    cases=lambda: [
        (torch.tensor([1.0, 2.0]), torch.tensor([-2.0, -3.0]), torch.tensor([4.0, 3.0])),
        (torch.tensor([0.0, 0.5]), torch.tensor([-1.0, -9.0]), torch.tensor([1.0, 8.0])),
        (torch.tensor([-5.0, 4.0, 1.0]), torch.tensor([-4.0, -2.0, 0.0]), torch.tensor([1.0, 3.0, 9.0])),
    ],
    mistakes=(
        Mistake(
            lambda patched, corrupted, clean: ((patched - corrupted) / (clean - corrupted)).mean(),
            "You divide text by text: one text whose two runs hardly differ decides everything. Means first.",
        ),
        Mistake(
            lambda patched, corrupted, clean: patched.mean() / clean.mean(),
            "You left the corrupted run out. Zero recovery is its answer, and not a logit difference of zero.",
        ),
        Mistake(
            lambda patched, corrupted, clean: 1 - recovery(patched, corrupted, clean),
            "You measure what is still missing.",
        ),
    ),
)

WORDS = ("neither", "carries", "needed", "both")


def _named(lost: Tensor, recovered: Tensor, threshold: float) -> list[str]:
    return [WORDS[int(number)] for number in 2 * (lost > threshold) + 1 * (recovered > threshold)]


def _renamed(names: dict[str, str]) -> Callable[[Tensor, Tensor, float], list[str]]:
    return lambda lost, recovered, threshold: [names.get(one, one) for one in _named(lost, recovered, threshold)]


READ = Exercise(
    name="needed-or-carries",
    task=(
        "From lost and recovered, each (heads,), and a threshold, return a list with 'both', 'needed', 'carries' or "
        "'neither' for each head."
    ),
    reference=_named,
    cases=lambda: [
        (torch.tensor([0.8, 0.2, 0.6, 0.0]), torch.tensor([0.0, 0.7, 0.5, 0.0]), 0.25),
        (torch.tensor([0.3, 0.9]), torch.tensor([0.9, 0.1]), 0.5),
        (torch.tensor([0.1, 0.4, 0.4]), torch.tensor([0.4, 0.1, 0.4]), 0.2),
    ],
    mistakes=(
        Mistake(
            _renamed({"needed": "carries", "carries": "needed"}),
            "You have the two the other way round: ablation says needed, patching says carries.",
        ),
        Mistake(
            _renamed({"needed": "both"}),
            "You take every head that is needed for one that carries the answer.",
        ),
        Mistake(
            _renamed({"carries": "neither"}), "A head that can be spared may carry the answer: others carry it too."
        ),
    ),
)


def _control(types: Tensor, labels: Tensor, drawn: Sequence[int]) -> tuple[Tensor, float]:
    given = torch.tensor(drawn)[types]
    return given, (given == labels).float().mean().item()


def _by_example(types: Tensor, labels: Tensor, drawn: Sequence[int]) -> tuple[Tensor, float]:
    given = torch.tensor([drawn[number % len(drawn)] for number in range(len(types))])
    return given, (given == labels).float().mean().item()


CONTROL = Exercise(
    name="control-task",
    task=(
        "From types and labels (examples,) and drawn, a label for each type, return (control labels, fraction of "
        "examples where they agree with the true labels)."
    ),
    reference=_control,
    cases=lambda: [
        (torch.tensor([0, 1, 0, 2]), torch.tensor([3, 3, 4, 3]), [4, 3, 3]),
        (torch.tensor([1, 1, 0]), torch.tensor([0, 1, 1]), [1, 0]),
        (torch.tensor([2, 0, 1, 1, 2]), torch.tensor([5, 6, 5, 5, 6]), [6, 5, 7]),
    ],
    mistakes=(
        Mistake(_by_example, "You give each example a label of its own. All examples of a type have the same."),
        Mistake(
            lambda types, labels, drawn: (_control(types, labels, drawn)[0], 1 - _control(types, labels, drawn)[1]),
            "You count where they differ.",
        ),
        Mistake(
            lambda types, labels, drawn: (labels, _control(types, labels, drawn)[1]),
            "You return the true labels.",
        ),
    ),
)


def _precision(recall: float, false_alarms: float, rate: float) -> float:
    return recall * rate / (recall * rate + false_alarms * (1 - rate))


PRECISION = Exercise(
    name="feature-precision",
    task="From recall, false_alarms and the rate of harmful requests, return the harmful fraction of those stopped.",
    reference=_precision,
    cases=lambda: [(0.9, 0.01, 0.001), (0.5, 0.1, 0.5), (1.0, 0.02, 0.05)],
    mistakes=(
        Mistake(lambda recall, false_alarms, rate: recall, "That is the recall: of the harmful ones, how many stop."),
        Mistake(
            lambda recall, false_alarms, rate: recall / (recall + false_alarms),
            "You take harmful requests to be as many as the others.",
        ),
        Mistake(
            lambda recall, false_alarms, rate: recall * rate / (recall * rate + false_alarms),
            "Nearly: false alarms come from the harmless requests alone, a fraction of 1 - rate.",
        ),
    ),
)

EXERCISES = (ROLLOUT, MEAN, RECOVERY, READ, CONTROL, PRECISION)
