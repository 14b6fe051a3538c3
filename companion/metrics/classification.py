"""How good a classifier is: accuracy, precision, recall, F1, what it confuses, and whether it knows how sure to be.

Labels are numbers; where one is ``IGNORED`` nothing was asked. :mod:`companion.metrics.entities` scores entities. Chapter:
``book/algorithms/finetuning.ipynb``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from companion.data.batch import IGNORED


@dataclass(frozen=True)
class Scores:
    """How well one label is found.

    Attributes:
        precision: of what was given this label, the share that has it; 0 when nothing was.
        recall: of what has this label, the share that was given it; 0 when nothing has it.
        f1: their harmonic mean, ``2 p r / (p + r)``.
        support: how many have it.
    """

    precision: float
    recall: float
    f1: float
    support: int

    @classmethod
    def of(cls, right: int, given: int, true: int) -> "Scores":
        """Scores from three counts: given and true, given at all, true at all."""
        precision = right / given if given else 0.0
        recall = right / true if true else 0.0
        return cls(precision, recall, 2 * right / (given + true) if given + true else 0.0, true)


@dataclass(frozen=True)
class Report:
    """Scores of every label, and two ways to sum them up.

    Attributes:
        labels: name -> scores, of each label that occurs or was predicted.
        macro: the mean over these labels, each counting as much; rare labels weigh as much as frequent ones.
        micro: of all decisions together, each counting as much.
    """

    labels: dict[str, Scores]
    macro: Scores
    micro: Scores

    @classmethod
    def of(cls, counts: Mapping[str, tuple[int, int, int]]) -> "Report":
        """A report from each label's three counts, see :meth:`Scores.of`; one with no count at all is left out."""
        scores = {name: Scores.of(*three) for name, three in counts.items() if any(three)}
        support = sum(one.support for one in scores.values())
        precision, recall, f1 = (
            sum(getattr(one, what) for one in scores.values()) / max(1, len(scores))
            for what in ("precision", "recall", "f1")
        )
        right, given, true = (sum(three[place] for three in counts.values()) for place in range(3))
        return cls(scores, Scores(precision, recall, f1, support), Scores.of(right, given, true))

    def __str__(self) -> str:
        """Return the table, one label a row."""
        rows = {**self.labels, "macro": self.macro, "micro": self.micro}
        width = max(map(len, rows))
        head = f"{'':{width}}  precision  recall     f1  support"
        lines = [
            f"{name:{width}}  {one.precision:9.3f}  {one.recall:6.3f}  {one.f1:5.3f}  {one.support:7}"
            for name, one in rows.items()
        ]
        return "\n".join([head, *lines])


def confusion(predicted: Tensor, labels: Tensor, n_labels: int) -> Tensor:
    """Count how often each label was taken for each other one.

    Args:
        predicted: numbers of labels, of any shape.
        labels: the right ones, of the same shape; ``IGNORED`` where nothing was asked.
        n_labels: how many labels there are.

    Returns:
        (n_labels, n_labels), rows = the right label, columns = the predicted one.

    Raises:
        ValueError: when the shapes differ, nothing was asked, or a number is out of range.
    """
    if predicted.shape != labels.shape:
        raise ValueError(f"predicted must be {tuple(labels.shape)}, as labels; got {tuple(predicted.shape)}")
    asked = labels != IGNORED
    predicted, labels = predicted[asked], labels[asked]
    if not len(labels):
        raise ValueError("there is no label to compare with")
    for name, numbers in (("predicted", predicted), ("labels", labels)):
        low, high = int(numbers.min()), int(numbers.max())
        if low < 0 or high >= n_labels:
            raise ValueError(f"{name} must be 0 to {n_labels - 1}; got {low if low < 0 else high}")
    return torch.bincount(labels * n_labels + predicted, minlength=n_labels**2).view(n_labels, n_labels)


def accuracy(predicted: Tensor, labels: Tensor) -> float:
    """Return the share of right predictions; arguments and errors as :func:`confusion`'s."""
    highest = int(torch.cat([predicted.flatten(), labels.flatten()]).max())
    counts = confusion(predicted, labels, highest + 1)
    return (counts.trace() / counts.sum()).item()


def report(predicted: Tensor, labels: Tensor, names: Sequence[str]) -> Report:
    """Return precision, recall and F1 of each label.

    With one label for each text, micro precision, recall and F1 are all the accuracy.

    Args:
        predicted: numbers of labels, of any shape.
        labels: the right ones, of the same shape; ``IGNORED`` where nothing was asked.
        names: of the labels, in the order of their numbers.

    Raises:
        ValueError: see :func:`confusion`.
    """
    counts = confusion(predicted, labels, len(names))
    right, given, true = counts.diagonal().tolist(), counts.sum(0).tolist(), counts.sum(1).tolist()
    return Report.of({name: (right[i], given[i], true[i]) for i, name in enumerate(names)})


@dataclass(frozen=True)
class Calibration:
    """Whether a model that says 0.8 is right eight times in ten.

    Attributes:
        confidence: the mean probability of the predicted label in each bin, (bins,); NaN in an empty bin.
        accuracy: the share of right predictions in each bin, (bins,); NaN in an empty bin.
        counts: predictions a bin, (bins,).
        error: the expected calibration error, in [0, 1].
    """

    confidence: Tensor
    accuracy: Tensor
    counts: Tensor
    error: float


def calibration(probabilities: Tensor, labels: Tensor, bins: int = 10) -> Calibration:
    """Sort predictions by confidence into bins ``((b - 1) / B, b / B]``, and compare it with how many came true.

    ``ECE = sum_b n_b / n |accuracy_b - confidence_b|`` (Guo et al. 2017, eq. 3).

    Args:
        probabilities: (…, labels), each row summing to 1.
        labels: (…), the right ones; ``IGNORED`` where nothing was asked.
        bins: B.

    Raises:
        ValueError: when the shapes do not fit, nothing was asked, rows are no distributions, or bins is below 1.
    """
    if bins < 1:
        raise ValueError(f"bins must be at least 1; got {bins}")
    if probabilities.shape[:-1] != labels.shape:
        raise ValueError(
            f"probabilities must be (*labels, n); got {tuple(probabilities.shape)} for {tuple(labels.shape)}"
        )
    probabilities, labels = probabilities[labels != IGNORED].double(), labels[labels != IGNORED]
    if not len(labels):
        raise ValueError("there is no label to compare with")
    if bool((probabilities < 0).any()) or not torch.allclose(probabilities.sum(-1), torch.ones(1).double(), atol=1e-4):
        raise ValueError("each row of probabilities must be at least 0 and sum to 1; give softmax(logits)")
    confidence, predicted = probabilities.max(-1)
    place = (confidence * bins).ceil().long().clamp(1, bins) - 1  # (n,)
    counts = torch.bincount(place, minlength=bins)
    right = torch.bincount(place, (predicted == labels).double(), minlength=bins)
    sure = torch.bincount(place, confidence, minlength=bins)
    error = (right - sure).abs().sum().item() / len(labels)
    return Calibration(sure / counts, right / counts, counts, error)
