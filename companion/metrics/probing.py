"""Probing: what can be read off hidden states, and the controls that say what the reading is worth.

Chapter: ``book/practice/interpretability.ipynb``. Sources: Hewitt & Liang 2019, "Designing and Interpreting Probes with
Control Tasks", section 2; Bricken et al. 2023, "Towards Monosemanticity" (features held against known properties).
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

STEPS = 30  # of L-BFGS


def linear_probe(x: Tensor, labels: Tensor, classes: int, *, decay: float = 1e-3) -> nn.Linear:
    """Linear probe: a softmax regression of labels on vectors, fitted by L-BFGS with weight decay.

    >>> x = torch.tensor([[-1.0, 5.0], [1.0, 5.0], [-2.0, 4.0], [2.0, 4.0]])
    >>> probe = linear_probe(x, torch.tensor([0, 1, 0, 1]), classes=2)
    >>> probe(3 * x).argmax(-1).tolist()
    [0, 1, 0, 1]

    Args:
        x: (examples, d).
        labels: class of each, (examples,).
        classes: how many there are.
        decay: weight of the squared weights, taken of standardized vectors.

    Returns:
        the probe, (…, d) -> logits (…, classes), of the vectors as they are.
    """
    mean, spread = x.mean(0), x.std(0) + 1e-3
    scaled = (x - mean) / spread
    probe = nn.Linear(x.size(1), classes)
    nn.init.zeros_(probe.weight)
    nn.init.zeros_(probe.bias)
    solver = torch.optim.LBFGS(probe.parameters(), max_iter=STEPS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        solver.zero_grad()
        loss = cross_entropy(probe(scaled), labels) + decay * probe.weight.square().sum()
        loss.backward()
        return loss

    solver.step(closure)
    with torch.no_grad():  # the standardization moves into the weights
        probe.weight /= spread
        probe.bias.sub_(probe.weight @ mean)
    return probe.requires_grad_(False)


def control_labels(types: Tensor, labels: Tensor, seed: int) -> Tensor:
    """Labels of a control task: each type of input gets one label for good, drawn from the labels that there are.

    A probe can be right about them only by learning types by heart (Hewitt & Liang 2019).

    >>> control_labels(torch.tensor([0, 1, 0, 2, 1]), torch.tensor([5, 5, 6, 6, 5]), seed=0).tolist()
    [5, 5, 5, 6, 5]

    Args:
        types: type of each example, whole numbers from 0, (examples,).
        labels: true labels, (examples,), which give the distribution.
        seed: of the draw.
    """
    draw = torch.Generator().manual_seed(seed)
    chosen = labels[torch.randint(len(labels), (int(types.max()) + 1,), generator=draw)]
    return chosen[types]


class Detectors(NamedTuple):
    """For each fact the one score that tells it best, and the threshold above which it says yes.

    Attributes:
        score: number of the score, (facts,).
        threshold: (facts,).
    """

    score: Tensor
    threshold: Tensor

    @classmethod
    def choose(cls, scores: Tensor, facts: Tensor) -> "Detectors":
        """The score and the threshold of the highest F1 for each fact.

        They are to be measured on other examples: the best of many scores is partly luck.

        >>> scores = torch.tensor([[0.9, 0.0], [0.7, 0.0], [0.6, 0.0], [0.1, 5.0]])
        >>> facts = torch.tensor([[True], [True], [False], [False]])
        >>> Detectors.choose(scores, facts)
        Detectors(score=tensor([0]), threshold=tensor([0.6500]))

        Args:
            scores: (examples, scores).
            facts: boolean, (examples, facts).

        Raises:
            ValueError: when a fact is true of no example.
        """
        if not facts.any(0).all():
            raise ValueError(f"each fact must be true of some of the {len(facts)} examples")
        ordered, order = scores.T.sort(dim=1, descending=True)  # (scores, examples)
        said = torch.arange(1, len(scores) + 1)  # a yes to the first k
        step = torch.ones_like(ordered, dtype=torch.bool)
        step[:, :-1] = ordered[:, 1:] < ordered[:, :-1]  # no threshold lies between equal scores
        below = torch.cat([ordered[:, 1:], ordered[:, -1:] - 1], dim=1)
        chosen, thresholds = [], []
        for fact in facts.T:
            f1 = 2 * fact[order].cumsum(1, dtype=torch.int32) / (said + fact.sum()) * step
            number = int(f1.amax(1).argmax())
            last = int(f1[number].argmax())
            chosen.append(number)
            thresholds.append((ordered[number, last] + below[number, last]) / 2)
        return cls(torch.tensor(chosen), torch.stack(thresholds))

    def f1(self, scores: Tensor, facts: Tensor) -> Tensor:
        """F1 of each detector on these examples, (facts,): ``2 TP / (2 TP + FP + FN)``.

        Args:
            scores: (examples, scores).
            facts: boolean, (examples, facts).
        """
        yes = scores[:, self.score] > self.threshold
        right = (yes & facts).sum(0)
        return 2 * right / (yes.sum(0) + facts.sum(0)).clamp(min=1)
