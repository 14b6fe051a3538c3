"""Classification metrics: accuracy, precision, recall, F1, the confusion matrix, and calibration.

Labels are integers; positions with the label ``IGNORED`` are left out. :mod:`companion.metrics.entities` scores
entities. Chapter: ``book/algorithms/finetuning.ipynb``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from companion.data.batch import IGNORED
from companion.data.checks import check_list, check_names
from companion.nn.checks import check_integer


@dataclass(frozen=True)
class Scores:
    """Precision, recall and F1 of one label.

    Attributes:
        precision: fraction of the predictions of this label that are right; 0 when there is none.
        recall: fraction of the examples with this label that were predicted so; 0 when there is none.
        f1: their harmonic mean, ``2 p r / (p + r)``.
        support: number of examples with this label.
    """

    precision: float
    recall: float
    f1: float
    support: int

    @classmethod
    def of(cls, right: int, given: int, true: int) -> "Scores":
        """Scores from three counts: true positives, predicted positives (``given``), actual positives (``true``)."""
        precision = right / given if given else 0.0
        recall = right / true if true else 0.0
        return cls(precision, recall, 2 * right / (given + true) if given + true else 0.0, true)


@dataclass(frozen=True)
class Report:
    """Scores of every label, and their macro and micro average.

    Attributes:
        labels: name -> scores, of each label that occurs or was predicted.
        macro: mean over these labels, so that rare labels count as much as frequent ones.
        micro: scores of all decisions together, so that each decision counts the same.
    """

    labels: dict[str, Scores]
    macro: Scores
    micro: Scores

    @classmethod
    def of(cls, counts: Mapping[str, tuple[int, int, int]]) -> "Report":
        """Report from each label's three counts, see :meth:`Scores.of`; a label without any count is left out."""
        scores = {name: Scores.of(*three) for name, three in counts.items() if any(three)}
        support = sum(one.support for one in scores.values())
        precision, recall, f1 = (
            sum(getattr(one, what) for one in scores.values()) / max(1, len(scores))
            for what in ("precision", "recall", "f1")
        )
        right, given, true = (sum(three[i] for three in counts.values()) for i in range(3))
        return cls(scores, Scores(precision, recall, f1, support), Scores.of(right, given, true))

    def __str__(self) -> str:
        """Table of the scores, one row per label."""
        rows = [*self.labels.items(), ("macro", self.macro), ("micro", self.micro)]  # a label may have such a name
        width = max(len(name) for name, _ in rows)
        head = f"{'':{width}}  precision  recall     f1  support"
        lines = [
            f"{name:{width}}  {one.precision:9.3f}  {one.recall:6.3f}  {one.f1:5.3f}  {one.support:7}"
            for name, one in rows
        ]
        return "\n".join([head, *lines])


def confusion(predicted: Tensor, labels: Tensor, n_labels: int) -> Tensor:
    """Confusion matrix: how often each label was predicted for each true one.

    >>> confusion(torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]), n_labels=2)
    tensor([[1, 1],
            [0, 1]])

    Args:
        predicted: predicted labels, of any shape.
        labels: true labels, of the same shape; ``IGNORED`` at positions that are left out.
        n_labels: number of labels.

    Returns:
        counts (n_labels, n_labels), rows = the true label, columns = the predicted one.

    Raises:
        ValueError: when the shapes differ, every label is ``IGNORED``, or a label is no integer or out of range.
    """
    if predicted.shape != labels.shape:
        raise ValueError(f"predicted must be {tuple(labels.shape)}, as labels; got {tuple(predicted.shape)}")
    for name, numbers in (("predicted", predicted), ("labels", labels)):
        if numbers.numel() and (numbers.is_floating_point() or numbers.is_complex()):
            raise ValueError(f"{name} must be integers; got {numbers.dtype}")
    predicted, labels = predicted.long(), labels.long()  # a product of narrower ones may wrap around
    scored = labels != IGNORED
    predicted, labels = predicted[scored], labels[scored]
    if not len(labels):
        raise ValueError("there is no label to compare with")
    for name, numbers in (("predicted", predicted), ("labels", labels)):
        low, high = int(numbers.min()), int(numbers.max())
        if low < 0 or high >= n_labels:
            raise ValueError(f"{name} must be 0 to {n_labels - 1}; got {low if low < 0 else high}")
    return torch.bincount(labels * n_labels + predicted, minlength=n_labels**2).view(n_labels, n_labels)


def accuracy(predicted: Tensor, labels: Tensor) -> float:
    """Accuracy: the fraction of right predictions; arguments and errors as :func:`confusion`.

    >>> accuracy(torch.tensor([0, 1, 1]), torch.tensor([0, 0, IGNORED]))
    0.5
    """
    numbers = torch.cat([predicted.flatten(), labels.flatten()])
    highest = int(numbers.max()) if len(numbers) else 0
    counts = confusion(predicted, labels, highest + 1)
    return (counts.trace() / counts.sum()).item()


def report(predicted: Tensor, labels: Tensor, names: Sequence[str]) -> Report:
    """Classification report: precision, recall and F1 of each label, with macro and micro average.

    With one label per text, micro precision, recall and F1 all equal the accuracy.

    >>> print(report(torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]), ["no", "yes"]))
           precision  recall     f1  support
    no         1.000   0.500  0.667        2
    yes        0.500   1.000  0.667        1
    macro      0.750   0.750  0.667        3
    micro      0.667   0.667  0.667        3

    Args:
        predicted: predicted labels, of any shape.
        labels: true labels, of the same shape; ``IGNORED`` at positions that are left out.
        names: names of the labels, in the order of their numbers.

    Raises:
        ValueError: see :func:`confusion`; also when two labels have one name, or ``names`` is a string.
    """
    check_list("names", names)
    check_names("names", names)
    counts = confusion(predicted, labels, len(names))
    right, given, true = counts.diagonal().tolist(), counts.sum(0).tolist(), counts.sum(1).tolist()
    return Report.of({name: (right[i], given[i], true[i]) for i, name in enumerate(names)})


@dataclass(frozen=True)
class Calibration:
    """Reliability diagram and expected calibration error: is a model with confidence 0.8 right eight times in ten?

    Attributes:
        confidence: mean probability of the predicted label in each bin, (bins,); NaN in an empty bin.
        accuracy: fraction of right predictions in each bin, (bins,); NaN in an empty bin.
        counts: number of predictions in each bin, (bins,).
        error: expected calibration error (ECE), in [0, 1].
    """

    confidence: Tensor
    accuracy: Tensor
    counts: Tensor
    error: float


def calibration(probabilities: Tensor, labels: Tensor, bins: int = 10) -> Calibration:
    """Calibration of a classifier: confidence and accuracy in bins of confidence ``((b - 1) / B, b / B]``, and ECE.

    ``ECE = sum_b n_b / n |accuracy_b - confidence_b|`` (Guo et al. 2017, eq. 3).

    >>> probabilities = torch.tensor([[0.8, 0.2]] * 10)
    >>> labels = torch.tensor([0] * 8 + [1] * 2)  # right eight times in ten
    >>> round(calibration(probabilities, labels).error, 6)
    0.0

    Args:
        probabilities: (…, labels), each row summing to 1.
        labels: true labels (…); ``IGNORED`` at positions that are left out.
        bins: B, number of bins.

    Raises:
        ValueError: when the shapes do not fit, every label is ``IGNORED``, rows are no distributions, a label is out of
            range, or bins is below 1.
    """
    check_integer("bins", bins)
    if probabilities.shape[:-1] != labels.shape:
        raise ValueError(
            f"probabilities must be (*labels, n); got {tuple(probabilities.shape)} for {tuple(labels.shape)}"
        )
    probabilities, labels = probabilities[labels != IGNORED].double(), labels[labels != IGNORED]
    if not len(labels):
        raise ValueError("there is no label to compare with")
    if bool((probabilities < 0).any()) or not torch.allclose(probabilities.sum(-1), torch.ones(1).double(), atol=1e-4):
        raise ValueError("each row of probabilities must be at least 0 and sum to 1; give softmax(logits)")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= probabilities.size(-1):
        raise ValueError(f"labels must be 0 to {probabilities.size(-1) - 1}; got {low if low < 0 else high}")
    confidence, predicted = probabilities.max(-1)
    bin_of = (confidence * bins).ceil().long().clamp(1, bins) - 1  # (n,)
    counts = torch.bincount(bin_of, minlength=bins)
    right = torch.bincount(bin_of, (predicted == labels).double(), minlength=bins)
    expected = torch.bincount(bin_of, confidence, minlength=bins)
    error = (right - expected).abs().sum().item() / len(labels)
    return Calibration(expected / counts, right / counts, counts, error)
