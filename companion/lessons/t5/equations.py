"""Equations of ``book/algorithms/t5.ipynb``."""

import math
from collections import Counter
from typing import Any

import sacrebleu
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from companion.lessons import by_hand, by_torch
from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import normal, randomised, tokens, whole
from companion.losses.spans import Seq2Seq, sequence_loss, teacher_forcing
from companion.metrics.text import bleu
from companion.models.t5 import T5, FeedForward, T5Config
from companion.nn.attention import scaled_dot_product_attention
from companion.nn.norms import RMSNorm
from companion.nn.relative_bias import RelativeBias, relative_bucket

CONFIG = T5Config(vocab_size=7, n_layers=1, n_heads=2, d_model=4, n_buckets=8, max_distance=16)


def _text(g: Generator) -> dict[str, Any]:
    model, x, y = randomised(T5(CONFIG), g), tokens(g, 7, 5), tokens(g, 7, 4)
    batch = teacher_forcing(x[None], torch.ones(1, 5, dtype=torch.bool), y[None], CONFIG.start_id)
    z = torch.stack(
        [model(x[None], batch.decoder_inputs[:, : t + 1])[0, -1] for t in range(4)]
    )  # row t: from x and y_<t
    return {"y": y, "z": z, "batch": batch, "model": model}


def _loss_by_hand(y: Tensor, z: Tensor, batch: Seq2Seq, model: Any) -> float:
    m, vocab_size = z.shape
    total = 0.0
    for t in range(m):
        total += math.log(math.exp(z[t, y[t]]) / sum(math.exp(z[t, w]) for w in range(vocab_size)))
    return -total / m


def _loss_companion(y: Tensor, z: Tensor, batch: Seq2Seq, model: Any) -> Tensor:
    return sequence_loss(model, batch)  # all positions in one pass


def _loss_torch(y: Tensor, z: Tensor, batch: Seq2Seq, model: Any) -> Tensor:
    return -by_torch.log_prob(z, y).mean()


def _rmsnorm_by_hand(x: Tensor, norm: RMSNorm) -> Tensor:
    d = len(x)
    root = math.sqrt(sum(float(x[i]) ** 2 for i in range(d)) / d + norm.eps)
    return torch.stack([x[i] / root * norm.weight[i] for i in range(d)])


def _rmsnorm_companion(x: Tensor, norm: RMSNorm) -> Tensor:
    result: Tensor = norm(x)
    return result


def _rmsnorm_torch(x: Tensor, norm: RMSNorm) -> Tensor:
    return F.rms_norm(x, (len(x),), norm.weight, norm.eps)


def _scores_by_hand(q: Tensor, k: Tensor, buckets: Tensor, bias: RelativeBias) -> Tensor:
    heads, n, _ = q.shape
    s = torch.zeros(heads, n, n)
    for h in range(heads):
        for i in range(n):
            for j in range(n):
                s[h, i, j] = q[h, i] @ k[h, j] + bias.table.weight[buckets[j - i + n - 1], h]
    return by_hand.softmax(s)


def _scores_companion(q: Tensor, k: Tensor, buckets: Tensor, bias: RelativeBias) -> Tensor:
    _output, weights = scaled_dot_product_attention(q, k, k, bias=bias(q.size(1), k.size(1)), scale=1.0)
    return weights


def _scores_torch(q: Tensor, k: Tensor, buckets: Tensor, bias: RelativeBias) -> Tensor:
    n = q.size(1)
    position = torch.arange(n)
    added = F.embedding(buckets[position - position[:, None] + n - 1], bias.table.weight).permute(2, 0, 1)
    everyone = torch.eye(n).expand(len(q), -1, -1)  # values that make the output the weights
    return F.scaled_dot_product_attention(q, k, everyone, attn_mask=added, scale=1.0)


def _biased(g: Generator) -> dict[str, Any]:
    bias = randomised(RelativeBias(2, n_buckets=8, max_distance=16, both_ways=True), g)
    buckets = torch.tensor([3, 2, 2, 2, 1, 0, 5, 6, 6, 6, 7])[1:-1]  # of the distances j - i, from -4 to 4
    return {"q": normal(g, 2, 5, 3), "k": normal(g, 2, 5, 3), "buckets": buckets, "bias": bias}


def _bucket_by_hand(delta: int, e: int, b: int, delta_max: int) -> int:
    if delta < e:
        return delta
    return min(b - 1, e + math.floor((b - e) * math.log(delta / e) / math.log(delta_max / e)))


def _bucket_companion(delta: int, e: int, b: int, delta_max: int) -> Tensor:
    return relative_bucket(torch.tensor(-delta), both_ways=False, n_buckets=b, max_distance=delta_max)


def _bucket_torch(delta: int, e: int, b: int, delta_max: int) -> Tensor:
    wide = [e * (delta_max / e) ** (k / (b - e)) - 1e-9 for k in range(1, b - e)]  # where bucket e + k begins
    begins = [*range(1, e + 1), *wide]
    return torch.bucketize(torch.tensor(float(delta)), torch.tensor(begins), right=True)


def _distance(g: Generator) -> dict[str, int]:
    b = 2 * whole(g, 4, 16)  # buckets of one direction
    return {"delta": whole(g, 0, 150), "e": b // 2, "b": b, "delta_max": 128}


def _geglu_by_hand(x: Tensor, gated: Any, plain: Any) -> tuple[Tensor, Tensor]:
    w_1, v, w_2 = gated.expand.weight.T, gated.gate.weight.T, gated.contract.weight.T
    wide = x @ plain.expand.weight.T
    return (by_hand.gelu(x @ w_1) * (x @ v)) @ w_2, (wide * (wide > 0)) @ plain.contract.weight.T


def _geglu_companion(x: Tensor, gated: Any, plain: Any) -> tuple[Tensor, Tensor]:
    return gated(x), plain(x)


def _geglu_torch(x: Tensor, gated: Any, plain: Any) -> tuple[Tensor, Tensor]:
    gate, wide = F.linear(x, gated.gate.weight), F.linear(x, gated.expand.weight)
    inner = F.gelu(wide, approximate="tanh").mul(gate)
    return F.linear(inner, gated.contract.weight), F.linear(
        F.linear(x, plain.expand.weight).relu(), plain.contract.weight
    )


def _bleu_by_hand(candidates: list[list[str]], references: list[list[str]]) -> float:
    mean_log = 0.0
    for n in (1, 2, 3, 4):
        found = total = 0
        for written, wanted in zip(candidates, references, strict=True):
            grams = Counter(tuple(written[i : i + n]) for i in range(len(written) - n + 1))
            there = Counter(tuple(wanted[i : i + n]) for i in range(len(wanted) - n + 1))
            found += sum(min(times, there[gram]) for gram, times in grams.items())
            total += sum(grams.values())
        mean_log += math.log(found / total) / 4
    c, r = sum(map(len, candidates)), sum(map(len, references))
    return 100 * min(1, math.exp(1 - r / c)) * math.exp(mean_log)


def _bleu_companion(candidates: list[list[str]], references: list[list[str]]) -> float:
    return bleu(candidates, references).score


def _bleu_sacrebleu(candidates: list[list[str]], references: list[list[str]]) -> float:
    written, wanted = ([" ".join(text) for text in side] for side in (candidates, references))
    return sacrebleu.corpus_bleu(written, [wanted], tokenize="none", smooth_method="none", force=True).score


def _translations(g: Generator) -> dict[str, Any]:
    references = [[str(word) for word in tokens(g, 5, whole(g, 8, 12)).tolist()] for _ in range(3)]
    cut = [(whole(g, 0, 2), whole(g, 6, 9)) for _ in references]  # so that each has runs of four in common
    tails = [[str(word) for word in tokens(g, 5, whole(g, 0, 6)).tolist()] for _ in references]
    parts = zip(references, cut, tails, strict=True)
    return {"candidates": [text[a:b] + tail for text, (a, b), tail in parts], "references": references}


EQUATIONS = (
    Equation(
        label="eq-t5-loss",
        symbols=(
            Symbol(r"\mathcal{L}(\theta)", "loss, in nats"),
            Symbol("m", "number of target tokens, the end included"),
            Symbol(r"p_\theta", r"the model's probability; $\theta$ are its parameters"),
            Symbol("y_t", "target token $t$, counted from 1"),
            Symbol("y_{<t}", "target tokens before it"),
            Symbol("x", "source: the text that is read"),
        ),
        draw=_text,
        by_hand=_loss_by_hand,
        companion=_loss_companion,
        library=_loss_torch,
    ),
    Equation(
        label="eq-t5-rmsnorm",
        symbols=(
            Symbol("x", "vector of one position", "d"),
            Symbol("w", "scale of each component; learned", "d"),
            Symbol(r"\epsilon", "small constant that keeps the root from zero"),
        ),
        draw=lambda g: {"x": normal(g, 6), "norm": randomised(RMSNorm(6), g)},
        by_hand=_rmsnorm_by_hand,
        companion=_rmsnorm_companion,
        library=_rmsnorm_torch,
    ),
    Equation(
        label="eq-t5-scores",
        symbols=(
            Symbol("s_{ij}", "attention score of query $i$ for key $j$ (checked after the softmax along the row)"),
            Symbol("q_i, k_j", "query of $i$ and key of $j$, of head $h$", "d_k"),
            Symbol("b^{(h)}", "relative position bias of head $h$, one number per bucket of distances; learned", "32"),
        ),
        draw=_biased,
        by_hand=_scores_by_hand,
        companion=_scores_companion,
        library=_scores_torch,
    ),
    Equation(
        label="eq-t5-bucket",
        symbols=(
            Symbol(r"\delta", "distance between query and key in one direction, not negative"),
            Symbol("B", "number of buckets of that direction"),
            Symbol("e", "number of buckets with a single distance: half of them"),
            Symbol(r"\delta_{\max}", "distance from which on all fall into the last bucket"),
        ),
        draw=_distance,
        by_hand=_bucket_by_hand,
        companion=_bucket_companion,
        library=_bucket_torch,
    ),
    Equation(
        label="eq-t5-geglu",
        symbols=(
            Symbol("x", "input, one row per position", r"n \times d"),
            Symbol("W_1, V", "weight matrices of the first layer, which widen", r"d \times d_{\mathrm{ff}}"),
            Symbol("W_2", "weight matrix of the second layer, which narrows again", r"d_{\mathrm{ff}} \times d"),
        ),
        draw=lambda g: {
            "x": normal(g, 3, 4),
            "gated": randomised(FeedForward(T5Config(vocab_size=7, n_layers=1, n_heads=2, d_model=4, gated=True)), g),
            "plain": randomised(FeedForward(CONFIG), g),
        },
        by_hand=_geglu_by_hand,
        companion=_geglu_companion,
        library=_geglu_torch,
    ),
    Equation(
        label="eq-t5-bleu",
        symbols=(
            Symbol("c", "number of tokens in all candidates"),
            Symbol("r", "number of tokens in all references"),
            Symbol(
                "p_n",
                "clipped precision: fraction of the candidates' $n$-grams that their references have as often",
            ),
        ),
        draw=_translations,
        by_hand=_bleu_by_hand,
        companion=_bleu_companion,
        library=_bleu_sacrebleu,
        library_name="sacrebleu",
    ),
)
