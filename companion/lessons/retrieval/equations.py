"""Equations of ``book/algorithms/retrieval.ipynb``."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from companion.data.batch import IGNORED
from companion.lessons import by_torch
from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import between, normal, randomised, tokens, whole
from companion.losses.contrastive import contrastive_loss
from companion.losses.cross_entropy import cross_entropy
from companion.metrics.retrieval import ndcg_at
from companion.models.baselines.bag_of_words import BagOfWords
from companion.models.bert import Bert, BertConfig
from companion.models.gpt import GPT, GPTConfig
from companion.models.ranking import max_sim, reciprocal_rank_fusion
from companion.models.sentence_encoder import SentenceEncoder

LETTERS = "abcdef"  # the words of the documents of BM25


def _read(g: Generator) -> dict[str, Any]:
    bert = randomised(Bert(BertConfig(vocab_size=7, context_length=6, n_layers=1, n_heads=2, d_model=4)), g)
    ids, real = tokens(g, 7, 5), torch.tensor([True, True, True, True, False])  # four tokens and padding
    return {"h": bert(ids[None, :4])[0], "ids": ids, "real": real, "bert": bert}


def _pool_by_hand(h: Tensor, ids: Tensor, real: Tensor, bert: Bert) -> Tensor:
    n, d = h.shape
    m = [sum(float(h[t, c]) for t in range(n)) / n for c in range(d)]
    length = math.sqrt(sum(m_c**2 for m_c in m))
    return torch.tensor([m_c / length for m_c in m])


def _pool_companion(h: Tensor, ids: Tensor, real: Tensor, bert: Bert) -> Tensor:
    vectors: Tensor = SentenceEncoder(bert)(ids[None], real[None])
    return vectors[0]


def _pool_torch(h: Tensor, ids: Tensor, real: Tensor, bert: Bert) -> Tensor:
    return F.normalize(F.adaptive_avg_pool1d(h.T[None], 1)[0, :, 0], dim=0)


def _infonce_by_hand(a: Tensor, b: Tensor, tau: float) -> float:
    def cos(one: Tensor, other: Tensor) -> float:
        lengths = math.sqrt(sum(float(v) ** 2 for v in one)) * math.sqrt(sum(float(v) ** 2 for v in other))
        return sum(float(v * w) for v, w in zip(one, other, strict=True)) / lengths

    n = len(a)
    total = 0.0
    for i in range(n):
        right = math.exp(cos(a[i], b[i]) / tau)
        total += math.log(right / sum(math.exp(cos(a[i], b[j]) / tau) for j in range(n)))
    return -total / n


def _infonce_companion(a: Tensor, b: Tensor, tau: float) -> Tensor:
    return contrastive_loss(a, b, temperature=tau)


def _infonce_torch(a: Tensor, b: Tensor, tau: float) -> Tensor:
    scores = F.cosine_similarity(a[:, None], b, dim=-1) / tau
    return -by_torch.log_prob(scores, torch.arange(len(a))).mean()


def _documents(g: Generator) -> dict[str, Any]:
    """Counts of the words of five documents, and of those of a query."""
    counts = torch.randint(4, (5, len(LETTERS)), generator=g) + torch.eye(5, len(LETTERS), dtype=torch.long)
    query = torch.randperm(len(LETTERS), generator=g)[:3]
    return {"f": counts, "query": query, "k1": between(g, 0.5, 2.0), "b": between(g, 0.0, 1.0)}


def _bm25_by_hand(f: Tensor, query: Tensor, k1: float, b: float) -> Tensor:
    lengths = [int(row.sum()) for row in f]
    mean = sum(lengths) / len(lengths)
    scores = []
    for row, n in zip(f.tolist(), lengths, strict=True):
        total = 0.0
        for w in query.tolist():
            having = sum(1 for other in f.tolist() if other[w])
            idf = math.log(1 + (len(f) - having + 0.5) / (having + 0.5))
            total += idf * row[w] * (k1 + 1) / (row[w] + k1 * (1 - b + b * n / mean))
        scores.append(total)
    return torch.tensor(scores)


def _bm25_companion(f: Tensor, query: Tensor, k1: float, b: float) -> Tensor:
    texts = [[letter for letter, times in zip(LETTERS, row, strict=True) for _ in range(times)] for row in f.tolist()]
    return BagOfWords(texts).bm25([[LETTERS[w] for w in query.tolist()]], k1, b)[0]


def _bm25_torch(f: Tensor, query: Tensor, k1: float, b: float) -> Tensor:
    having = f.bool().sum(0)
    idf = torch.log1p((len(f) - having + 0.5) / (having + 0.5))
    length = f.sum(1) / f.sum(1).double().mean()
    saturated = f * (k1 + 1) / torch.add(f, k1 * torch.lerp(torch.ones(len(f)), length, b)[:, None])
    return saturated[:, query] @ idf[query]


def _max_sim_by_hand(q: Tensor, d: Tensor) -> float:
    def cos(one: Tensor, other: Tensor) -> float:
        lengths = math.sqrt(sum(float(v) ** 2 for v in one)) * math.sqrt(sum(float(v) ** 2 for v in other))
        return sum(float(v * w) for v, w in zip(one, other, strict=True)) / lengths

    return sum(max(cos(q_i, d_j) for d_j in d) for q_i in q)


def _max_sim_companion(q: Tensor, d: Tensor) -> Tensor:
    return max_sim([q], [d])[0, 0]


def _max_sim_torch(q: Tensor, d: Tensor) -> Tensor:
    return F.cosine_similarity(q[:, None], d, dim=-1).amax(1).sum()


def _likelihood_draw(g: Generator) -> dict[str, Any]:
    """A text, a question after it, and the logits of a small GPT for the question's tokens."""
    model = randomised(GPT(GPTConfig(vocab_size=7, context_length=9, n_layers=1, n_heads=2, d_model=4)), g).eval()
    d, q = tokens(g, 7, 5), tokens(g, 7, 3)
    z = torch.stack([model(torch.cat([d, q[:t]])[None])[0, -1] for t in range(len(q))])
    return {"z": z, "q": q, "d": d, "model": model}


def _likelihood_by_hand(z: Tensor, q: Tensor, d: Tensor, model: GPT) -> float:
    total = 0.0
    for logits, token in zip(z, q.tolist(), strict=True):
        total += math.log(math.exp(logits[token]) / sum(math.exp(one) for one in logits))
    return total / len(q)


def _likelihood_companion(z: Tensor, q: Tensor, d: Tensor, model: GPT) -> Tensor:
    ids = torch.cat([d, q])[None]
    targets = torch.cat([torch.full((len(d) - 1,), IGNORED), q])[None]  # nothing is asked about the text itself
    return -cross_entropy(model(ids[:, :-1]), targets)


def _likelihood_torch(z: Tensor, q: Tensor, d: Tensor, model: GPT) -> Tensor:
    return by_torch.log_prob(z, q).mean()


def _fusion_by_hand(scores: list[Tensor], k: float) -> Tensor:
    fused = [0.0] * len(scores[0])
    for ranker in scores:
        for d, own in enumerate(ranker.tolist()):
            rank = 1 + sum(1 for other in ranker.tolist() if other > own)
            fused[d] += 1 / (k + rank)
    return torch.tensor(fused)


def _fusion_companion(scores: list[Tensor], k: float) -> Tensor:
    return reciprocal_rank_fusion([one[None] for one in scores], k)[0]


def _fusion_torch(scores: list[Tensor], k: float) -> Tensor:
    ranks = torch.stack(scores).argsort(1, descending=True).argsort(1) + 1  # (rankings, documents)
    return (k + ranks).double().reciprocal().sum(0)


def _gains(g: Generator) -> dict[str, Any]:
    return {
        "scores": normal(g, 6),
        "gain": torch.randint(4, (6,), generator=g) + 0.0 + torch.eye(6)[0],
        "k": whole(g, 1, 6),
    }


def _ndcg_by_hand(scores: Tensor, gain: Tensor, k: int) -> float:
    order = sorted(range(len(scores)), key=lambda i: -float(scores[i]))
    found = sum(float(gain[d]) / math.log2(r + 1) for r, d in enumerate(order[:k], 1))
    best = sum(one / math.log2(r + 1) for r, one in enumerate(sorted(gain.tolist(), reverse=True)[:k], 1))
    return found / float(best)


def _ndcg_companion(scores: Tensor, gain: Tensor, k: int) -> Tensor:
    return ndcg_at(k, scores[None], gain[None])[0]


def _ndcg_torch(scores: Tensor, gain: Tensor, k: int) -> Tensor:
    discount = 1 / torch.arange(2, k + 2).double().log2()
    return (gain[scores.topk(k).indices] @ discount) / (gain.topk(k).values @ discount)


EQUATIONS = (
    Equation(
        label="eq-retrieval-pool",
        symbols=(
            Symbol("v", "embedding of the text, of length 1", "d"),
            Symbol("m", "mean of its hidden states", "d"),
            Symbol("h_t", "hidden state at token $t$", "d"),
            Symbol("n", "number of tokens, without padding"),
        ),
        draw=_read,
        by_hand=_pool_by_hand,
        companion=_pool_companion,
        library=_pool_torch,
    ),
    Equation(
        label="eq-retrieval-infonce",
        symbols=(
            Symbol(r"\mathcal{L}", "loss of the batch, in nats"),
            Symbol("n", "batch size: number of texts"),
            Symbol("a_i, b_i", "embeddings of the two views of text $i$", "d"),
            Symbol(r"\cos", "cosine similarity"),
            Symbol(r"\tau", "temperature"),
        ),
        draw=lambda g: {"a": normal(g, 5, 4), "b": normal(g, 5, 4), "tau": between(g, 0.05, 1.0)},
        by_hand=_infonce_by_hand,
        companion=_infonce_companion,
        library=_infonce_torch,
    ),
    Equation(
        label="eq-retrieval-bm25",
        symbols=(
            Symbol(r"s(q, d)", "score of document $d$ for query $q$"),
            Symbol("w", "a word of the query"),
            Symbol("N", "number of documents"),
            Symbol("N_w", "number of documents that have the word"),
            Symbol("f_w", "number of times that the document has it"),
            Symbol("n", "length of the document, in words"),
            Symbol(r"\bar n", "mean length of the documents"),
            Symbol("k_1", "saturation"),
            Symbol("b", "strength of the length normalisation, 0 to 1"),
        ),
        draw=_documents,
        by_hand=_bm25_by_hand,
        companion=_bm25_companion,
        library=_bm25_torch,
    ),
    Equation(
        label="eq-retrieval-max-sim",
        symbols=(
            Symbol(r"s(q, d)", "score of document $d$ for query $q$"),
            Symbol("q_i", "vector of token $i$ of the query", "d_\\text{model}"),
            Symbol("d_j", "vector of token $j$ of the document", "d_\\text{model}"),
        ),
        draw=lambda g: {"q": normal(g, 3, 4), "d": normal(g, 5, 4)},
        by_hand=_max_sim_by_hand,
        companion=_max_sim_companion,
        library=_max_sim_torch,
    ),
    Equation(
        label="eq-retrieval-likelihood",
        symbols=(
            Symbol(r"s(q, d)", "score of document $d$ for question $q$, in nats per token"),
            Symbol("p", "probability of a token under a language model"),
            Symbol("q_t", "token $t$ of the question"),
            Symbol("q_{<t}", "tokens of the question before it"),
            Symbol(r"\lvert q \rvert", "number of tokens of the question"),
        ),
        draw=_likelihood_draw,
        by_hand=_likelihood_by_hand,
        companion=_likelihood_companion,
        library=_likelihood_torch,
    ),
    Equation(
        label="eq-retrieval-fusion",
        symbols=(
            Symbol(r"\mathrm{RRF}(d)", "fused score of document $d$"),
            Symbol("r", "a ranking"),
            Symbol(r"\mathrm{rank}_r(d)", "rank of the document in it, from 1"),
            Symbol("k", "how much the first ranks are levelled, 60 as a rule"),
        ),
        draw=lambda g: {"scores": [normal(g, 6), normal(g, 6), normal(g, 6)], "k": between(g, 1.0, 60.0)},
        by_hand=_fusion_by_hand,
        companion=_fusion_companion,
        library=_fusion_torch,
    ),
    Equation(
        label="eq-retrieval-ndcg",
        symbols=(
            Symbol(r"\mathrm{DCG}", "discounted cumulated gain of the first $k$ documents"),
            Symbol("g_r", "gain: what the document at rank $r$ is worth"),
            Symbol("k", "number of documents that are looked at"),
            Symbol(r"\mathrm{DCG}_{\text{best}}", "the same for the documents in their best order"),
        ),
        draw=_gains,
        by_hand=_ndcg_by_hand,
        companion=_ndcg_companion,
        library=_ndcg_torch,
    ),
)
