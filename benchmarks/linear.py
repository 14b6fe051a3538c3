"""Linear classifiers of texts: features that count words, and a logistic regression on these or on any others.

The benchmarks of the film reviews take them as what a network has to beat, and as the head of a frozen one.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from companion.losses.cross_entropy import cross_entropy

LABELS = 2
PENALTIES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
FOLDS = 5


def tf_idf(train: Sequence[Sequence[str]], test: Sequence[Sequence[str]]) -> tuple[Tensor, Tensor]:
    """Counts of words and of pairs of neighbours, weighted by inverse document frequency, each row of length 1."""
    features = [[*words, *pairwise(words)] for words in (*train, *test)]
    found = Counter(feature for own in features[: len(train)] for feature in set(own))
    column = {feature: number for number, feature in enumerate(found)}
    weight = torch.tensor([1 + len(train) / count for count in found.values()]).log()
    matrices = []
    for some in (features[: len(train)], features[len(train) :]):
        places = [(row, column[feature]) for row, own in enumerate(some) for feature in own if feature in column]
        index = torch.tensor(places).T
        counts = torch.sparse_coo_tensor(
            index, weight[index[1]], (len(some), len(column)), check_invariants=True
        ).coalesce()
        length = torch.zeros(len(some)).index_add(0, counts.indices()[0], counts.values().square()).sqrt()
        values = counts.values() / length[counts.indices()[0]]
        matrices.append(torch.sparse_coo_tensor(counts.indices(), values, counts.shape, check_invariants=True))
    return matrices[0], matrices[1]


def logistic(features: Tensor, labels: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """Weights (features, 2) and bias (2,) of a logistic regression, with a penalty on the weights' squares."""
    weights = nn.Parameter(torch.zeros(features.size(1), LABELS))
    bias = nn.Parameter(torch.zeros(LABELS))
    optimizer = torch.optim.LBFGS(
        [weights, bias],
        max_iter=100,
        history_size=10,
        tolerance_grad=1e-4,
        tolerance_change=1e-6,
        line_search_fn="strong_wolfe",
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        found = cross_entropy(features @ weights + bias, labels) + penalty * weights.square().sum()
        found.backward()
        return found

    optimizer.step(loss)  # type: ignore[arg-type]  # torch's own type asks for a float
    return weights.detach(), bias.detach()


def fitted(features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """A logistic regression with the penalty that is best in cross-validation on the labels."""
    fold = torch.arange(len(labels)) % FOLDS
    hits = dict.fromkeys(PENALTIES, 0)
    for penalty in PENALTIES:
        for number in range(FOLDS):
            out, kept = (fold == number).nonzero()[:, 0], (fold != number).nonzero()[:, 0]
            weights, bias = logistic(features.index_select(0, kept), labels[kept], penalty)
            said = (features.index_select(0, out) @ weights + bias).argmax(-1)
            hits[penalty] += int((said == labels[out]).sum())
    return logistic(features, labels, max(PENALTIES, key=hits.__getitem__))
