"""Exercises of ``book/algorithms/retrieval.ipynb``."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from companion.lessons.exercise_check import Exercise, Mistake
from companion.losses.contrastive import contrastive_loss, similarity
from companion.models.sentence_encoder import masked_mean


def _vectors() -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    cases = []
    for batch, length, d in ((2, 4, 3), (3, 6, 2), (1, 5, 4)):
        real = torch.arange(length) < torch.randint(1, length, (batch, 1), generator=generator)
        cases.append((torch.randn(batch, length, d, generator=generator), real))
    return cases


MEAN_POOLING = Exercise(
    name="mean-pooling",
    task=(
        "From hidden (batch, length, d) and a boolean mask (batch, length), True = a real token, return one vector a "
        "text (batch, d): the mean over its real tokens, brought to length 1."
    ),
    reference=lambda hidden, mask: F.normalize(masked_mean(hidden, mask), dim=-1),
    cases=_vectors,
    mistakes=(
        Mistake(
            lambda hidden, mask: F.normalize(hidden.mean(1), dim=-1),
            "Padding is in your mean. The same text would get another vector in a longer batch.",
        ),
        Mistake(masked_mean, "The mean is right. Bring each vector to length 1."),
        Mistake(
            lambda hidden, mask: F.normalize(hidden[:, 0], dim=-1),
            "You take the first token's vector. Another way to pool; asked for is the mean over all real tokens.",
        ),
        Mistake(
            lambda hidden, mask: masked_mean(F.normalize(hidden, dim=-1), mask),
            "You bring each token's vector to length 1 and then average. First average, then normalise.",
        ),
    ),
)


def _pairs_of_vectors() -> list[tuple[Tensor, Tensor, float]]:
    generator = torch.Generator().manual_seed(0)
    sizes = ((2, 3, 0.05), (5, 4, 0.5), (8, 2, 1.0))
    return [(torch.randn(n, d, generator=generator), torch.randn(n, d, generator=generator), t) for n, d, t in sizes]


def _others_only(a: Tensor, b: Tensor, temperature: float) -> Tensor:
    scores = similarity(a, b) / temperature
    others = scores.masked_fill(torch.eye(len(a), dtype=torch.bool), -torch.inf)
    return (others.logsumexp(1) - scores.diagonal()).mean()


INFO_NCE = Exercise(
    name="info-nce",
    task=(
        "From a and b, both (n, d), row i of one belonging to row i of the other, and a temperature, return the mean "
        "surprisal of picking each a's own b among all n, by cosine similarity over temperature."
    ),
    reference=contrastive_loss,
    cases=_pairs_of_vectors,
    mistakes=(
        Mistake(
            lambda a, b, t: F.cross_entropy(a @ b.T / t, torch.arange(len(a))),
            "Those are dot products: a long vector would win by its length. Bring all vectors to length 1 first.",
        ),
        Mistake(
            lambda a, b, t: F.cross_entropy(similarity(a, b) * t, torch.arange(len(a))),
            "The cosines are divided by the temperature: a small one makes the choice sharp.",
        ),
        Mistake(
            _others_only,
            "The sum in the denominator has all n candidates, the right one among them. Else it is no probability.",
        ),
        Mistake(
            lambda a, b, t: F.cross_entropy(similarity(b, a) / t, torch.arange(len(a))),
            "You let each b pick its a. Each a picks among the b: the softmax goes over the rows of b.",
        ),
    ),
)


def _bm25(counts: Tensor, query: Tensor, k1: float = 1.2, b: float = 0.75, weigh: bool = True) -> Tensor:
    n = counts.sum(1, keepdim=True)  # (documents, 1)
    found = (counts > 0).sum(0)
    idf = (1 + (len(counts) - found + 0.5) / (found + 0.5)).log() if weigh else torch.ones(counts.size(1))
    saturated = counts * (k1 + 1) / (counts + k1 * (1 - b + b * n / n.mean()))
    return (saturated * idf)[:, query].sum(1)


def _counts() -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    sizes = ((4, 6, 2), (5, 5, 3), (7, 9, 4))
    return [
        (
            torch.randint(4, (documents, words), generator=generator).float() + torch.eye(documents, words),
            torch.randperm(words, generator=generator)[:asked],
        )
        for documents, words, asked in sizes
    ]


BM25 = Exercise(
    name="bm25",
    task=(
        "From counts (documents, words), how often each document has each word, and query, the numbers of the words "
        "that are asked for, return each document's BM25 score (documents,) with k1 = 1.2 and b = 0.75."
    ),
    reference=_bm25,
    cases=_counts,
    mistakes=(
        Mistake(
            lambda counts, query: _bm25(counts, query, b=0.0),
            "The length of the document is missing: a long one has every word sooner or later.",
        ),
        Mistake(
            lambda counts, query: _bm25(counts, query, weigh=False),
            "All your words weigh the same. Multiply by idf: a word that few documents have tells more.",
        ),
        Mistake(
            lambda counts, query: _bm25((counts > 0).float(), query),
            "You only ask whether a word is there. The second and third time count too, each a little less.",
        ),
        Mistake(
            lambda counts, query: _bm25(counts, torch.arange(counts.size(1))),
            "You add up all words. Only those of the query count.",
        ),
    ),
)


RANKS = {"A": (1, 30), "B": (3, 3)}  # of two documents, in two rankings


def _winner(k: float) -> str:
    return max(RANKS, key=lambda name: sum(1 / (k + rank) for rank in RANKS[name]))


PREDICTED_FUSION = Exercise(
    name="predicted-fusion",
    task='Two rankings have A at ranks 1 and 30, B at 3 and 3. Return "A" or "B", which is first when they are fused.',
    reference=_winner,
    cases=lambda: [(0,), (1,), (10,), (60,)],
    mistakes=(
        Mistake(
            lambda k: "A",
            "With k = 60 a first rank is worth 1/61 and a third 1/63: nearly the same. What does rank 30 lose?",
        ),
        Mistake(
            lambda k: "B",
            "With k = 0 a first rank is worth 1, and the two third ranks of B together 2/3.",
        ),
        Mistake(
            lambda k: "AB"[_winner(k) == "A"],
            "It is the other way round: a larger k levels the first ranks, and so helps who is good in both.",
        ),
    ),
)


def _padded() -> list[tuple[Tensor, Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    cases = []
    for tokens, documents, length, d in ((3, 2, 4, 3), (2, 3, 5, 2), (4, 2, 3, 4)):
        real = torch.arange(length) < torch.randint(1, length, (documents, 1), generator=generator)
        document = -torch.rand(documents, length, d, generator=generator) * real[..., None]
        cases.append((torch.rand(tokens, d, generator=generator), document, real))
    return cases


def _late(query: Tensor, documents: Tensor, mask: Tensor, *, fill: float = -torch.inf) -> Tensor:
    near = torch.einsum("id,njd->nij", query, documents)
    return near.masked_fill(~mask[:, None], fill).amax(2).sum(1)


PADDED_MATCH = Exercise(
    name="padded-match",
    task=(
        "Repair the score: from query (tokens, d), documents (documents, length, d), padded with zeros, and a boolean "
        "mask (documents, length), True at real tokens, return sum_i max_j q_i . d_j of each document (documents,)."
    ),
    reference=_late,
    cases=_padded,
    mistakes=(
        Mistake(
            lambda query, documents, mask: _late(query, documents, mask, fill=0.0),
            "Padding takes part in the maximum. Its product is 0, and wins where all real ones are negative.",
        ),
        Mistake(
            lambda query, documents, mask: (
                torch.einsum("id,njd->nij", query, documents).masked_fill(~mask[:, None], -torch.inf).amax(1).sum(1)
            ),
            "You let each token of the document pick its best token of the query. It is the query that picks.",
        ),
        Mistake(
            lambda query, documents, mask: (
                (torch.einsum("id,njd->nij", query, documents) * mask[:, None]).sum(2).sum(1)
            ),
            "You add up all products. Each token of the query counts its best match alone.",
        ),
    ),
)

Log = Sequence[int | None]  # for each query the rank of its document, or None where it was not found


def _read_log(ranks: Log, k: int = 5) -> tuple[float, float]:
    found = [rank for rank in ranks if rank is not None]
    return sum(rank <= k for rank in found) / len(ranks), sum(1 / rank for rank in found) / len(ranks)


SEARCH_LOG = Exercise(
    name="search-log",
    task=(
        "From ranks, for each query the rank of its document or None where the search did not return it, return "
        "recall@5 and the mean reciprocal rank, as a pair."
    ),
    reference=_read_log,
    cases=lambda: [([1, 3, None, 2, 8, 1],), ([5, 6],), ([None, None, 1],)],
    mistakes=(
        Mistake(
            lambda ranks: _read_log([rank for rank in ranks if rank is not None]),
            "You leave out the queries that found nothing. They are the failures, and count as 0.",
        ),
        Mistake(
            lambda ranks: (_read_log(ranks, 4)[0], _read_log(ranks)[1]),
            "Rank 5 is among the first five.",
        ),
        Mistake(
            lambda ranks: (
                _read_log(ranks)[0],
                len([rank for rank in ranks if rank]) / max(1, sum(rank for rank in ranks if rank)),
            ),
            "One over the mean rank is not the mean of one over the rank.",
        ),
    ),
)

EXERCISES = (MEAN_POOLING, INFO_NCE, BM25, PREDICTED_FUSION, PADDED_MATCH, SEARCH_LOG)
