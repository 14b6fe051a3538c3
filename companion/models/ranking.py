"""Ranking beyond one vector per text: late interaction, fusion of rankings, and an inverted file of vectors.

Chapter: ``book/algorithms/retrieval.ipynb``. Sources: Khattab & Zaharia 2020, "ColBERT: Efficient and Effective Passage
Search via Contextualized Late Interaction over BERT", section 3.3; Cormack et al. 2009, "Reciprocal Rank Fusion
Outperforms Condorcet and Individual Rank Learning Methods"; Jégou et al. 2011, "Product Quantization for Nearest
Neighbor Search", section IV (the inverted file).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from companion.losses.contrastive import similarity
from companion.nn.checks import check_integer, check_numbers


def max_sim(queries: Sequence[Tensor], documents: Sequence[Tensor]) -> Tensor:
    """Late-interaction score of each query and document, ``sum_i max_j cos(q_i, d_j)``: (queries, documents).

    Each token of the query is matched with the token of the document that is most similar to it.

    >>> import torch
    >>> query, document = torch.eye(2), torch.tensor([[0.6, 0.8], [1.0, 0.0]])
    >>> round(max_sim([query], [document]).item(), 4)  # 1 + 0.8
    1.8

    Args:
        queries: of each query the vectors of its tokens (tokens, d).
        documents: of each document the vectors of its tokens (tokens, d).

    Raises:
        ValueError: when there is no query or document, or one without a token.
    """
    if not queries or not documents or not all(len(text) for text in (*queries, *documents)):
        raise ValueError("there must be a query and a document, and none of them without a token")
    tokens = F.normalize(torch.cat(list(documents)), dim=-1)  # (tokens of all documents, d)
    owner = torch.repeat_interleave(torch.tensor([len(text) for text in documents]))
    rows = []
    for query in queries:
        near = F.normalize(query, dim=-1) @ tokens.T  # (tokens of the query, tokens of all documents)
        best = near.new_full((len(query), len(documents)), -torch.inf)
        best.scatter_reduce_(1, owner.expand(len(query), -1), near, "amax")
        rows.append(best.sum(0))
    return torch.stack(rows)


def reciprocal_rank_fusion(rankings: Sequence[Tensor], k: float = 60.0) -> Tensor:
    """Fused score of each query and document, ``sum over rankings of 1 / (k + rank)``: (queries, documents).

    >>> import torch
    >>> one, other = torch.tensor([[3.0, 2.0, 1.0]]), torch.tensor([[5.0, 9.0, -torch.inf]])
    >>> (reciprocal_rank_fusion([one, other], k=1) * 12).round().tolist()  # 1/2 + 1/3 twice, then 1/4 alone
    [[10.0, 10.0, 3.0]]

    Args:
        rankings: scores (queries, documents) of each ranker; minus infinity where it does not return the document.
        k: how much the first ranks are levelled; 60 in the paper.

    Raises:
        ValueError: when there is no ranking, or their shapes differ.
    """
    if not rankings or any(scores.dim() != 2 or scores.shape != rankings[0].shape for scores in rankings):
        shapes = [tuple(scores.shape) for scores in rankings]
        raise ValueError(f"rankings must be one or more tensors (queries, documents) of one shape; got {shapes}")
    fused = torch.zeros(rankings[0].shape, dtype=torch.float64)
    for scores in rankings:
        check_numbers("rankings", scores)
        no_better = torch.searchsorted(scores.sort(1).values.contiguous(), scores.contiguous(), right=True)
        rank = scores.size(1) - no_better + 1  # 1 + the number of documents of a higher score
        fused += torch.where(scores.isneginf(), 0.0, 1 / (k + rank))
    return fused


class InvertedFile:
    """Approximate nearest neighbours: vectors in cells around centres, of which a query opens only the nearest few.

    Example:
        >>> import torch
        >>> vectors = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]])
        >>> index = InvertedFile(vectors, cells=2)
        >>> number, compared = index.nearest(torch.tensor([0.2, 1.0]), probes=1)
        >>> number, compared  # of four vectors, two were looked at
        (3, 2)
    """

    def __init__(self, vectors: Tensor, cells: int, rounds: int = 10, seed: int = 0) -> None:
        """Sort vectors into cells by k-means under the cosine.

        Args:
            vectors: (documents, d).
            cells: number of cells.
            rounds: number of times that the centres are moved.
            seed: draws the first centres.

        Raises:
            ValueError: when the number of cells is not 1 to the number of documents.
        """
        check_integer("cells", cells, most=len(vectors))
        self.vectors = F.normalize(vectors, dim=-1)
        draw = torch.Generator().manual_seed(seed)
        self.centres = self.vectors[torch.randperm(len(vectors), generator=draw)[:cells]]
        for _ in range(rounds):
            cell = similarity(self.vectors, self.centres).argmax(1)
            for number in range(cells):
                if (cell == number).any():  # an empty cell keeps its centre
                    self.centres[number] = F.normalize(self.vectors[cell == number].mean(0), dim=0)
        self.cell = similarity(self.vectors, self.centres).argmax(1)  # (documents,)

    def nearest(self, query: Tensor, probes: int) -> tuple[int, int]:
        """Return the nearest vector in the cells that are opened, and the number of vectors that were compared.

        Args:
            query: (d,).
            probes: number of cells that are opened, those of the nearest centres first.

        Raises:
            ValueError: when ``probes`` is not 1 to the number of cells, or the cells are empty.
        """
        check_integer("probes", probes, most=len(self.centres))
        opened = similarity(query[None], self.centres)[0].topk(probes).indices
        members = torch.isin(self.cell, opened).nonzero()[:, 0]
        if not len(members):
            raise ValueError(f"the {probes} nearest cells are empty; open more")
        scores = similarity(query[None], self.vectors[members])[0]
        return int(members[scores.argmax()]), len(members)
