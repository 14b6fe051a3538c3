"""Metrics of a search: recall at k, reciprocal rank and nDCG; documents of equal score count as their expectation.

Chapter: ``book/algorithms/retrieval.ipynb``. Sources: Voorhees 1999, "The TREC-8 Question Answering Track Report"
(reciprocal rank); Järvelin & Kekäläinen 2002, "Cumulated Gain-Based Evaluation of IR Techniques" (nDCG), with the
discount log2(rank + 1) that is usual today.
"""

import torch
from torch import Tensor

from companion.nn.checks import check_numbers


def recall_at(k: int, scores: Tensor, wanted: Tensor) -> float:
    """Return recall at k: the fraction of queries whose relevant document is among the k of the highest score.

    Documents of equal score are ranked at random, and the fraction is the expected one: a tie is neither won nor lost.

    Args:
        k: number of documents that are retrieved.
        scores: (queries, documents), of any method.
        wanted: (queries,), the index of each query's relevant document.

    Raises:
        ValueError: when k is below 1 or above the number of documents, or there is not one document per query.

    Example:
        >>> import torch
        >>> recall_at(1, torch.tensor([[0.9, 0.1], [0.5, 0.5]]), wanted=torch.tensor([0, 1]))
        0.75
    """
    _check_shapes(scores, wanted)
    _check_k(k, scores.size(1))
    own = scores.gather(1, wanted[:, None])  # (queries, 1)
    better, tied = (scores > own).sum(1), (scores == own).sum(1)
    return ((k - better).double() / tied).clamp(0, 1).mean().item()


def reciprocal_ranks(scores: Tensor, wanted: Tensor) -> Tensor:
    """Return 1 / rank of each query's relevant document (queries,); their mean is the mean reciprocal rank.

    Documents of equal score are ranked at random, and the value is the expected one.

    Args:
        scores: (queries, documents), of any method.
        wanted: (queries,), the index of each query's relevant document.

    Raises:
        ValueError: when there is not one document per query.

    Example:
        >>> import torch
        >>> scores = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.5, 0.5]])
        >>> reciprocal_ranks(scores, wanted=torch.tensor([0, 1, 1])).tolist()
        [1.0, 0.5, 0.75]
    """
    _check_shapes(scores, wanted)
    own = scores.gather(1, wanted[:, None])  # (queries, 1)
    better, tied = (scores > own).sum(1, keepdim=True), (scores == own).sum(1, keepdim=True)
    rank = torch.arange(1, scores.size(1) + 1, device=scores.device)
    possible = (rank > better) & (rank <= better + tied)  # (queries, documents), the ranks that it may have
    return (possible / rank).sum(1) / tied[:, 0]


def ndcg_at(k: int, scores: Tensor, gains: Tensor) -> Tensor:
    """Return nDCG at k of each query (queries,): the discounted gain of its ranking over that of the best ranking.

    ``DCG = sum over ranks r <= k of gain / log2(r + 1)``. A query whose documents are all worth nothing has 0.

    Args:
        k: number of documents that are retrieved.
        scores: (queries, documents), of any method.
        gains: (queries, documents), what each document is worth for the query, 0 or more.

    Raises:
        ValueError: when k is below 1 or above the number of documents, or the shapes differ.

    Example:
        >>> import torch
        >>> scores, gains = torch.tensor([[0.9, 0.5, 0.1]]), torch.tensor([[0.0, 1.0, 2.0]])
        >>> round(ndcg_at(3, scores, gains).item(), 3)  # (1 / log2(3) + 2 / 2) / (2 + 1 / log2(3))
        0.62
    """
    if scores.dim() != 2 or scores.shape != gains.shape:
        raise ValueError(
            f"scores and gains must both be (queries, documents); got {tuple(scores.shape)} and {tuple(gains.shape)}"
        )
    _check_k(k, scores.size(1))
    found, best = _dcg(k, scores, gains), _dcg(k, gains, gains)
    return torch.where(best > 0, found / best.clamp(min=1e-12), 0.0)


def _dcg(k: int, scores: Tensor, gains: Tensor) -> Tensor:
    rank = torch.arange(1, scores.size(1) + 1, device=scores.device)
    discount = torch.where(rank <= k, 1 / (rank + 1.0).log2(), 0.0).double()
    before = torch.cat([discount.new_zeros(1), discount.cumsum(0)])  # sum of the discounts of the first ranks
    ordered = scores.sort(1).values.contiguous()
    lower = torch.searchsorted(ordered, scores.contiguous())  # documents of a lower score
    no_better = torch.searchsorted(ordered, scores.contiguous(), right=True)
    first, last = scores.size(1) - no_better, scores.size(1) - lower  # the ranks first + 1 … last are its own
    return ((before[last] - before[first]) / (last - first) * gains).sum(1)


def _check_shapes(scores: Tensor, wanted: Tensor) -> None:
    if scores.dim() != 2 or wanted.shape != scores.shape[:1]:
        raise ValueError(
            f"scores must be (queries, documents) and wanted (queries,); "
            f"got {tuple(scores.shape)} and {tuple(wanted.shape)}"
        )
    check_numbers("scores", scores)


def _check_k(k: int, documents: int) -> None:
    if not 1 <= k <= documents:
        raise ValueError(f"k must be 1 to {documents}, the number of documents; got {k}")
