"""Equations of ``book/concepts/language_model.ipynb``: the chain rule and counting."""

import math
from collections import Counter
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor
from torch.distributions import Categorical, kl_divergence

from companion.lessons import by_torch
from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import between, distribution, tokens, whole
from companion.lessons.tiny_worlds import Table, started, texts
from companion.metrics.language_model import excess_nll, token_nll
from companion.models.baselines import NGram, NGramConfig

TOKEN = Symbol("x_t", "token $t$ of the text, counted from 1")


BEFORE = Symbol("x_{<t}", "all tokens before it")


HISTORY = Symbol("h", "context: the last $n - 1$ tokens", "n - 1")


COUNT = Symbol("c(hw)", "count of $h$ followed by $w$")


def _chain_rule_by_hand(x: Tensor, joint: Tensor) -> float:
    product = 1.0
    for t in range(len(x)):
        with_t, before_t = joint[tuple(x[: t + 1])].sum(), joint[tuple(x[:t])].sum()  # over all endings
        product *= float(with_t / before_t)
    return product


def _chain_rule_companion(x: Tensor, joint: Tensor) -> Tensor:
    return torch.exp(-token_nll(Table(joint), started(x))).prod()


def _chain_rule_torch(x: Tensor, joint: Tensor) -> Tensor:
    number = sum(int(token) * stride for token, stride in zip(x, joint.stride(), strict=True))
    return by_torch.log_prob(joint.flatten().log(), torch.tensor(number)).exp()


def _ngram_by_hand(text: Tensor, h: Tensor, k: float) -> Tensor:
    c = [sum(text[i : i + 3].tolist() == [*h.tolist(), w] for i in range(len(text) - 2)) for w in range(4)]
    return torch.tensor([c[w] / sum(c) for w in range(4)])


def _ngram_torch(text: Tensor, h: Tensor, k: float) -> Tensor:
    codes = text.unfold(0, 3, 1) @ torch.tensor([16, 4, 1])  # a number for each run of three
    counts = torch.bincount(codes, minlength=64).view(16, 4)[h @ torch.tensor([4, 1])]
    return F.normalize(counts.double(), p=1.0, dim=0)


def _add_k_by_hand(text: Tensor, h: Tensor, k: float) -> Tensor:
    c = [sum(text[i : i + 3].tolist() == [*h.tolist(), w] for i in range(len(text) - 2)) for w in range(4)]
    return torch.tensor([(c[w] + k) / (sum(c) + k * 4) for w in range(4)])


def _add_k_companion(text: Tensor, h: Tensor, k: float) -> Tensor:
    log_probs: Tensor = NGram(NGramConfig(4, 3, "add-k", add_k=k)).count(text[None])(h[None])[0, -1]
    return log_probs.exp()


def _add_k_torch(text: Tensor, h: Tensor, k: float) -> Tensor:
    one_hot = F.one_hot(text, 4).double()
    counts = torch.einsum("ta,tb,tc->abc", one_hot[:-2], one_hot[1:-1], one_hot[2:])
    mean: Tensor = torch.distributions.Dirichlet(counts[h[0], h[1]] + k).mean  # add-k is the mean of this posterior
    return mean


def _kneser_ney_by_hand(text: Tensor, h: Tensor, k: float) -> Tensor:
    words, p = text.tolist(), [1 / 4] * 4  # at the end of the descent stands 1 / V
    for n in (1, 2, 3):
        runs = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
        if n < 3:  # how many different words stand before it; the text's first run has none, and counts
            before = {(words[i - 1], *runs[i]) for i in range(1, len(runs))}
            runs = [run[1:] for run in before] + ([runs[0]] if n > 1 else [])
        c = Counter(runs)
        once, twice = (sum(count == times for count in c.values()) for times in (1, 2))
        d = (once + 1) / (once + 2 * twice + 2)
        history = tuple(h.tolist()[len(h) - n + 1 :])
        total = sum(c[(*history, v)] for v in range(4))
        kinds = sum(c[(*history, v)] > 0 for v in range(4))
        p = [max(c[(*history, w)] - d, 0) / total + d * kinds / total * p[w] for w in range(4)]
    return torch.tensor(p)


def _kneser_ney_companion(text: Tensor, h: Tensor, k: float) -> Tensor:
    log_probs: Tensor = NGram(NGramConfig(4, 3)).count(text[None])(h[None])[0, -1]
    return log_probs.exp()


def _kneser_ney_torch(text: Tensor, h: Tensor, k: float) -> Tensor:
    one_hot = F.one_hot(text, 4).double()
    three = torch.einsum("ta,tb,tc->abc", one_hot[:-2], one_hot[1:-1], one_hot[2:])
    two = (three > 0).double().sum(0)
    two[text[0], text[1]] += 1
    one = (torch.einsum("ta,tb->ab", one_hot[:-1], one_hot[1:]) > 0).double().sum(0)
    p = torch.full((4,), 0.25)
    for counts, row in ((one, one), (two, two[h[1]]), (three, three[h[0], h[1]])):
        once, twice = (counts == 1).sum(), (counts == 2).sum()
        discount = (once + 1) / (once + 2 * twice + 2)
        taken = torch.minimum(row, discount)
        p = (row - taken + taken.sum() * p) / row.sum()  # what is taken is what is spent
    return p


def _counted(g: Generator) -> dict[str, Any]:
    text = tokens(g, 4, 60)
    place = whole(g, 0, 55)
    return {"text": text, "h": text[place : place + 2], "k": between(g, 0.01, 2.0)}


def _two_processes(g: Generator) -> dict[str, Any]:
    times = tokens(g, 4, 9) + 1  # how often each text of two tokens comes, so that p is known exactly
    return {"times": times, "p": (times / times.sum()).view(3, 3), "q": distribution(g, 9).view(3, 3)}


def _excess_by_hand(times: Tensor, p: Tensor, q: Tensor) -> tuple[float, float]:
    cross = floor = divergence = 0.0
    for x in texts(3, 2):
        for t in range(2):  # a mean over the texts of p, and over their tokens
            p_t, q_t = (float(r[x[: t + 1]].sum() / r[x[:t]].sum()) for r in (p, q))
            cross -= float(p[x]) * math.log(q_t) / 2
            floor -= float(p[x]) * math.log(p_t) / 2
            divergence += float(p[x]) * math.log(p_t / q_t) / 2
    return cross - floor, divergence


def _excess_companion(times: Tensor, p: Tensor, q: Tensor) -> tuple[float, float]:
    told = torch.tensor(texts(3, 2)).repeat_interleave(times, 0)
    rows = torch.cat([torch.zeros(len(told), 1).long(), told], dim=1)
    exact = [(-token_nll(Table(p), row[None])[0]).tolist() for row in rows]
    gap = excess_nll(Table(q), rows, exact).value
    return gap, gap


def _excess_torch(times: Tensor, p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    of_p, of_q = Categorical(p.flatten()), Categorical(q.flatten())
    cross = -(of_p.probs * by_torch.log_prob(of_q.logits, torch.arange(9))).sum()
    return (cross - by_torch.entropy(of_p.probs)) / 2, kl_divergence(of_p, of_q) / 2


CHAIN_RULE = Equation(
    label="eq-language_model-chain-rule",
    symbols=(
        Symbol("p(x_1, \\dots, x_n)", "probability of the whole text"),
        TOKEN,
        Symbol("p(x_t \\mid x_1, \\dots, x_{t-1})", "probability of a token, given all before it"),
    ),
    draw=lambda g: {"x": tokens(g, 3, 4), "joint": distribution(g, 3**4).view(3, 3, 3, 3)},
    by_hand=_chain_rule_by_hand,
    companion=_chain_rule_companion,
    library=_chain_rule_torch,
)


EQUATIONS = (
    CHAIN_RULE,
    Equation(
        label="eq-language_model-ngram",
        symbols=(TOKEN, BEFORE, HISTORY, Symbol("w, v", "tokens of the vocabulary"), COUNT),
        draw=_counted,
        by_hand=_ngram_by_hand,
        library=_ngram_torch,
    ),
    Equation(
        label="eq-language_model-add-k",
        symbols=(
            HISTORY,
            Symbol("w, v", "tokens of the vocabulary"),
            COUNT,
            Symbol("k", "smoothing constant: what is added to each count"),
            Symbol("V", "vocabulary size"),
        ),
        draw=_counted,
        by_hand=_add_k_by_hand,
        companion=_add_k_companion,
        library=_add_k_torch,
    ),
    Equation(
        label="eq-language_model-kneser-ney",
        symbols=(
            HISTORY,
            Symbol("h'", "$h$ without its first token"),
            COUNT,
            Symbol("D", "discount: what is taken off each count that is not 0"),
            Symbol("N(h)", "number of different tokens that followed $h$"),
        ),
        draw=_counted,
        by_hand=_kneser_ney_by_hand,
        companion=_kneser_ney_companion,
        library=_kneser_ney_torch,
    ),
    Equation(
        label="eq-language_model-excess-nll",
        symbols=(
            Symbol(r"\mathbb{E}", "expectation over the texts of the source, and mean over their tokens"),
            Symbol("p", "probability under the source: the true distribution"),
            Symbol("q", "probability under the model"),
            TOKEN,
            BEFORE,
        ),
        draw=_two_processes,
        by_hand=_excess_by_hand,
        companion=_excess_companion,
        library=_excess_torch,
    ),
)
