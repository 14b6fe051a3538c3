"""Sentence embeddings, one vector per text, and dense retrieval by them.

Chapter: ``book/algorithms/retrieval.ipynb``. Sources: Reimers & Gurevych 2019, "Sentence-BERT", section 3 (mean
pooling); Karpukhin et al. 2020, "Dense Passage Retrieval", section 3.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from companion.losses.contrastive import similarity
from companion.models.bert import Bert
from companion.nn.checks import check_numbers


class SentenceEncoder(nn.Module):
    """A BERT with mean pooling, normalised to length 1."""

    def __init__(self, bert: Bert) -> None:
        """Wrap an encoder, trained or not, whose weights stay trainable."""
        super().__init__()
        self.bert = bert

    def forward(self, ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Return the embedding of each text, ``v = m / |m|`` with ``m`` the mean of the vectors of its real tokens.

        Args:
            ids: (batch, length).
            attention_mask: boolean (batch, length), True = a real token; all are real when not given.

        Returns:
            (batch, d_model), each of length 1.

        Raises:
            ValueError: on ids or a mask that :meth:`companion.models.bert.Bert.forward` refuses.
            TypeError: on a mask that is not boolean.
        """
        hidden = self.bert(ids, attention_mask=attention_mask)
        return F.normalize(masked_mean(hidden, attention_mask), dim=-1)


def masked_mean(hidden: Tensor, attention_mask: Tensor | None = None) -> Tensor:
    """Return the mean of the vectors (batch, length, d) of the real tokens: (batch, d); zeros where a row has none.

    Example:
        >>> import torch
        >>> hidden = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [9.0, 9.0]]])
        >>> masked_mean(hidden, torch.tensor([[True, True, False]])).tolist()
        [[2.0, 3.0]]
    """
    if attention_mask is None:
        return hidden.mean(1)
    real = attention_mask[..., None].to(hidden.dtype)  # (batch, length, 1)
    return (hidden * real).sum(1) / real.sum(1).clamp(min=1)


def retrieve(query: Tensor, documents: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k documents of the highest cosine similarity to each query.

    Args:
        query: (queries, d).
        documents: (documents, d).
        k: number of documents to return for each query.

    Returns:
        the indices of the documents (queries, k), nearest first, and their cosines, of the same shape.

    Raises:
        ValueError: when k is below 1 or above the number of documents.
        FloatingPointError: when a vector is not one of numbers.

    Example:
        >>> import torch
        >>> numbers, cosines = retrieve(torch.tensor([[3.0, 4.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]]), k=2)
        >>> numbers.tolist(), [round(cosine, 4) for cosine in cosines[0].tolist()]
        ([[1, 0]], [0.8, 0.6])
    """
    _check_k(k, len(documents))
    cosines = similarity(query, documents)
    check_numbers("cosines", cosines)
    scores, numbers = cosines.topk(k, dim=1)
    return numbers, scores


def _check_k(k: int, documents: int) -> None:
    if not 1 <= k <= documents:
        raise ValueError(f"k must be 1 to {documents}, the number of documents; got {k}")
