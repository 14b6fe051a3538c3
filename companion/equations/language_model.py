"""The equations of ``book/concepts/language_model.ipynb`` about probabilities and counts."""

import math
from collections import Counter
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor
from torch.distributions import Categorical, kl_divergence

from companion.baselines import NGram, NGramConfig
from companion.equations.checking import Equation, Symbol
from companion.equations.drawing import between, shares, tokens, whole
from companion.equations.tables import Table, started, texts
from companion.metrics import gap_to_floor, surprisals

TOKEN = Symbol("x_t", "token $t$ of the text, counted from 1")
BEFORE = Symbol("x_{<t}", "all tokens before it")
HISTORY = Symbol("h", "history: the last $n - 1$ tokens", "n - 1")
COUNT = Symbol("c(hw)", "how often $h$ followed by $w$ occurs")


def _chain_rule_hand(x: Tensor, joint: Tensor) -> float:
    product = 1.0
    for t in range(len(x)):
        with_t, before_t = joint[tuple(x[: t + 1])].sum(), joint[tuple(x[:t])].sum()  # over all endings
        product *= float(with_t / before_t)
    return product


def _chain_rule_ours(x: Tensor, joint: Tensor) -> Tensor:
    return torch.exp(-surprisals(Table(joint), started(x)).sum())


def _chain_rule_torch(x: Tensor, joint: Tensor) -> Tensor:
    number = sum(int(token) * stride for token, stride in zip(x, joint.stride(), strict=True))
    return Categorical(joint.flatten()).log_prob(torch.tensor(number)).exp()


def _ngram_hand(text: Tensor, h: Tensor, k: float) -> Tensor:
    c = [sum(text[i : i + 3].tolist() == [*h.tolist(), w] for i in range(len(text) - 2)) for w in range(4)]
    return torch.tensor([c[w] / sum(c) for w in range(4)])


def _ngram_ours(text: Tensor, h: Tensor, k: float) -> Tensor:
    almost_nothing = NGramConfig(4, 3, "add-k", add_k=1e-13)  # the package adds something to each count
    return NGram(almost_nothing).count(text[None])(h[None])[0, -1].exp()


def _ngram_torch(text: Tensor, h: Tensor, k: float) -> Tensor:
    codes = text.unfold(0, 3, 1) @ torch.tensor([16, 4, 1])  # a number for each run of three
    counts = torch.bincount(codes, minlength=64).view(16, 4)[h @ torch.tensor([4, 1])]
    return F.normalize(counts.double(), p=1.0, dim=0)


def _add_k_hand(text: Tensor, h: Tensor, k: float) -> Tensor:
    c = [sum(text[i : i + 3].tolist() == [*h.tolist(), w] for i in range(len(text) - 2)) for w in range(4)]
    return torch.tensor([(c[w] + k) / (sum(c) + k * 4) for w in range(4)])


def _add_k_ours(text: Tensor, h: Tensor, k: float) -> Tensor:
    return NGram(NGramConfig(4, 3, "add-k", add_k=k)).count(text[None])(h[None])[0, -1].exp()


def _add_k_torch(text: Tensor, h: Tensor, k: float) -> Tensor:
    one_hot = F.one_hot(text, 4).double()
    counts = torch.einsum("ta,tb,tc->abc", one_hot[:-2], one_hot[1:-1], one_hot[2:])
    return torch.distributions.Dirichlet(counts[h[0], h[1]] + k).mean  # add-k is the mean under this belief


def _kneser_ney_hand(text: Tensor, h: Tensor, k: float) -> Tensor:
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


def _kneser_ney_ours(text: Tensor, h: Tensor, k: float) -> Tensor:
    return NGram(NGramConfig(4, 3)).count(text[None])(h[None])[0, -1].exp()


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
    return {"times": times, "p": (times / times.sum()).view(3, 3), "q": shares(g, 9).view(3, 3)}


def _gap_hand(times: Tensor, p: Tensor, q: Tensor) -> tuple[float, float]:
    cross = floor = divergence = 0.0
    for x in texts(3, 2):
        for t in range(2):  # a mean over the texts of p, and over their tokens
            p_t, q_t = (float(r[x[: t + 1]].sum() / r[x[:t]].sum()) for r in (p, q))
            cross -= float(p[x]) * math.log(q_t) / 2
            floor -= float(p[x]) * math.log(p_t) / 2
            divergence += float(p[x]) * math.log(p_t / q_t) / 2
    return cross - floor, divergence


def _gap_ours(times: Tensor, p: Tensor, q: Tensor) -> tuple[float, float]:
    told = torch.tensor(texts(3, 2)).repeat_interleave(times, 0)
    rows = torch.cat([torch.zeros(len(told), 1).long(), told], dim=1)
    exact = [(-surprisals(Table(p), row[None])[0]).tolist() for row in rows]
    gap = gap_to_floor(Table(q), rows, exact).value
    return gap, gap


def _gap_torch(times: Tensor, p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    of_p, of_q = Categorical(p.flatten()), Categorical(q.flatten())
    cross = -(of_p.probs * of_q.log_prob(torch.arange(9))).sum()
    return (cross - of_p.entropy()) / 2, kl_divergence(of_p, of_q) / 2


EQUATIONS = (
    Equation(
        "eq-language_model-chain-rule",
        (
            Symbol("p(x_1, \\dots, x_n)", "probability of the whole text"),
            TOKEN,
            Symbol("p(x_t \\mid x_1, \\dots, x_{t-1})", "probability of a token, given all before it"),
        ),
        lambda g: {"x": tokens(g, 3, 4), "joint": shares(g, 3**4).view(3, 3, 3, 3)},
        _chain_rule_hand,
        _chain_rule_ours,
        _chain_rule_torch,
    ),
    Equation(
        "eq-language_model-ngram",
        (TOKEN, BEFORE, HISTORY, Symbol("w, v", "tokens of the vocabulary"), COUNT),
        _counted,
        _ngram_hand,
        _ngram_ours,
        _ngram_torch,
    ),
    Equation(
        "eq-language_model-add-k",
        (
            HISTORY,
            Symbol("w, v", "tokens of the vocabulary"),
            COUNT,
            Symbol("k", "what is added to each count"),
            Symbol("V", "tokens in the vocabulary"),
        ),
        _counted,
        _add_k_hand,
        _add_k_ours,
        _add_k_torch,
    ),
    Equation(
        "eq-language_model-kneser-ney",
        (
            HISTORY,
            Symbol("h'", "$h$ without its first token"),
            COUNT,
            Symbol("D", "discount: what is taken off each count that is not 0"),
            Symbol("N(h)", "different tokens that followed $h$"),
        ),
        _counted,
        _kneser_ney_hand,
        _kneser_ney_ours,
        _kneser_ney_torch,
    ),
    Equation(
        "eq-language_model-gap",
        (
            Symbol(r"\mathbb{E}", "mean over the texts that the source tells, and over their tokens"),
            Symbol("p", "probability under the source"),
            Symbol("q", "probability under the model"),
            TOKEN,
            BEFORE,
        ),
        _two_processes,
        _gap_hand,
        _gap_ours,
        _gap_torch,
    ),
)
