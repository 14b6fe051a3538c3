"""A vector for a whole text, and search among texts by their vectors.

Chapter: ``book/algorithms/denoising.ipynb``. Sources: Reimers & Gurevych 2019, "Sentence-BERT", section 3 (the mean of
the tokens' vectors); Karpukhin et al. 2020, "Dense Passage Retrieval", section 3.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from companion.losses.contrastive import similarity
from companion.models.bert import Bert


class SentenceEncoder(nn.Module):
    """A BERT whose token vectors are averaged, and the mean brought to length 1."""

    def __init__(self, bert: Bert) -> None:
        """Take a body, trained or not; it goes on learning here."""
        super().__init__()
        self.bert = bert

    def forward(self, ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Return one vector a text, ``v = m / |m|`` with ``m`` the mean of the vectors of its real tokens.

        Args:
            ids: (batch, length).
            attention_mask: boolean (batch, length), True = a real token; all are real when not given.

        Returns:
            (batch, d_model), each of length 1.

        Raises:
            ValueError: see :meth:`companion.models.bert.Bert.forward`.
            TypeError: on a mask that is not boolean.
        """
        hidden = self.bert(ids, attention_mask=attention_mask)
        return F.normalize(masked_mean(hidden, attention_mask), dim=-1)


def masked_mean(hidden: Tensor, attention_mask: Tensor | None = None) -> Tensor:
    """Average the vectors (batch, length, d) of the real tokens: (batch, d); zeros where a row has none."""
    if attention_mask is None:
        return hidden.mean(1)
    real = attention_mask[..., None].to(hidden.dtype)  # (batch, length, 1)
    return (hidden * real).sum(1) / real.sum(1).clamp(min=1)


def retrieve(query: Tensor, documents: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Find the k documents nearest to each query.

    Args:
        query: (queries, d).
        documents: (documents, d).
        k: at most the number of documents.

    Returns:
        the numbers of the documents (queries, k), nearest first, and their cosines, of the same shape.

    Raises:
        ValueError: when k is below 1 or above the number of documents.
    """
    _check_k(k, len(documents))
    scores, numbers = similarity(query, documents).topk(k, dim=1)
    return numbers, scores


def recall_at(k: int, scores: Tensor, wanted: Tensor) -> float:
    """Return the share of queries whose document is among the k of the highest score.

    Documents of the same score come in random order, and the share is the expected one: a tie is neither won nor lost.

    Args:
        k: documents that are looked at.
        scores: (queries, documents), of any method.
        wanted: (queries,), the number of each query's document.

    Raises:
        ValueError: when k is below 1 or above the number of documents, or there is not one document a query.
    """
    if scores.dim() != 2 or wanted.shape != scores.shape[:1]:
        raise ValueError(
            f"scores must be (queries, documents) and wanted (queries,); "
            f"got {tuple(scores.shape)} and {tuple(wanted.shape)}"
        )
    _check_k(k, scores.size(1))
    own = scores.gather(1, wanted[:, None])  # (queries, 1)
    better, tied = (scores > own).sum(1), (scores == own).sum(1)
    return ((k - better).double() / tied).clamp(0, 1).mean().item()


def _check_k(k: int, documents: int) -> None:
    if not 1 <= k <= documents:
        raise ValueError(f"k must be 1 to {documents}, the number of documents; got {k}")
