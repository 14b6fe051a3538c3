"""Exercises of ``book/algorithms/denoising.ipynb``."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from companion.lessons.exercise_check import Exercise, Mistake
from companion.losses.contrastive import contrastive_loss, similarity
from companion.models.sentence_encoder import masked_mean, recall_at

MASK = "[MASK]"
Spans = Sequence[tuple[int, int]]


def _infill(words: list[str], spans: Spans) -> list[str]:
    spoiled, place = [], 0
    for start, length in spans:
        spoiled += [*words[place:start], MASK]
        place = start + length
    return spoiled + words[place:]


def _one_each(words: list[str], spans: Spans) -> list[str]:
    hidden = {i for start, length in spans for i in range(start, start + length)}
    return [MASK if i in hidden else word for i, word in enumerate(words)]


def _deleted(words: list[str], spans: Spans) -> list[str]:
    hidden = {i for start, length in spans for i in range(start, start + length)}
    return [word for i, word in enumerate(words) if i not in hidden]


def _in_place(words: list[str], spans: Spans) -> list[str]:
    words = list(words)
    for start, length in spans:  # every later span has moved by now
        words[start : start + length] = [MASK]
    return words


INFILLING = Exercise(
    name="text-infilling",
    task=(
        'From words (a list) and spans, pairs (start, length) from left to right, return the words with one "[MASK]" '
        "in the place of each span; a span of length 0 puts a mask in before the word at its start."
    ),
    reference=_infill,
    cases=lambda: [
        (["Tom", "is", "in", "the", "garden", ".", "He", "takes", "the", "ball", "."], [(1, 3), (7, 2)]),
        (["Anna", "goes", "to", "the", "park", "."], [(2, 0), (4, 1)]),
        (["Lily", "feels", "calm", "."], [(0, 2), (2, 0), (3, 1)]),
    ],
    mistakes=(
        Mistake(
            _one_each, "You hide each word for itself, as BERT does. Infilling hides a whole span behind one mask."
        ),
        Mistake(_deleted, "You delete the spans. A mask shall show that something may be missing here."),
        Mistake(
            _in_place,
            "After the first span the words have moved, and your later spans hide the wrong ones. Go from right to "
            "left, or build a new list.",
        ),
        Mistake(
            lambda words, spans: _infill(words, [span for span in spans if span[1]]),
            "A span of length 0 counts too: it is a mask where nothing is missing.",
        ),
    ),
)


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


def _scores() -> list[tuple[Tensor, Tensor, int]]:
    generator = torch.Generator().manual_seed(0)
    cases = []
    for queries, documents, k in ((6, 5, 1), (9, 7, 3), (5, 4, 2)):
        wanted = torch.randint(documents, (queries,), generator=generator)
        cases.append((torch.randn(queries, documents, generator=generator), wanted, k))
    return cases


def _place(scores: Tensor, wanted: Tensor) -> Tensor:
    """How many documents score higher than each query's own."""
    return (scores > scores.gather(1, wanted[:, None])).sum(1)


RECALL = Exercise(
    name="recall-at-k",
    task=(
        "From scores (queries, documents), wanted (queries,), the number of each query's document, and k, return the "
        "fraction of queries whose document is among the k of the highest score, as a number. No scores are equal."
    ),
    reference=lambda scores, wanted, k: recall_at(k, scores, wanted),
    cases=_scores,
    mistakes=(
        Mistake(
            lambda scores, wanted, k: (_place(scores, wanted) <= k).float().mean().item(),
            "You count one place too many: with k documents before it, the wanted one is number k + 1.",
        ),
        Mistake(
            lambda scores, wanted, k: (_place(-scores, wanted) < k).float().mean().item(),
            "You look at the k of the *lowest* score. A score is the higher the better.",
        ),
        Mistake(
            lambda scores, wanted, k: recall_at(k, scores, wanted) / k,
            "That is precision: of the k documents, the fraction that is wanted. Recall asks whether it is there at "
            "all.",
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


EXERCISES = (
    INFILLING,
    MEAN_POOLING,
    INFO_NCE,
    RECALL,
    BM25,
)
