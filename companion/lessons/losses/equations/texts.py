"""Equations of ``book/formulas/losses.ipynb``: losses and measures of texts."""

import math
from itertools import permutations
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from companion.data.batch import IGNORED
from companion.lessons import by_torch
from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import between, normal, tokens, whole
from companion.lessons.tiny_worlds import AnyOrderModel, FixedOutputs
from companion.losses import causal_loss
from companion.losses.cross_entropy import cross_entropy
from companion.losses.masked import Masked, masked_loss
from companion.losses.permutation import Permuted, permutation_loss
from companion.metrics.language_model import bits_per_character, perplexity
from companion.nn.masks import order_mask

PROBABILITIES = Symbol("p_t", "the model's probability of the token at position $t$")


TOKENS = Symbol("n", "number of predicted tokens")


MEAN = Symbol(r"\mathcal{L}", "cross-entropy of a text, in nats per token")


DIFFERENCE = Symbol("z", "difference of the two logits, $z_1 - z_0$")


def _text(g: Generator) -> dict[str, Any]:
    x, z = tokens(g, 4, 6), normal(g, 6, 4)
    return {"x": x, "z": z, "p": z.softmax(-1)[torch.arange(6), x]}


def _perplexity_by_hand(p: Tensor, **_: Tensor) -> tuple[float, float]:
    product = 1.0
    for p_t in p:
        product *= 1 / float(p_t)
    return math.exp(-sum(math.log(p_t) for p_t in p) / len(p)), math.pow(product, 1 / len(p))


def _perplexity_companion(x: Tensor, z: Tensor, **_: Tensor) -> tuple[float, float]:
    value = perplexity(cross_entropy(z, x).item())
    return value, value


def _perplexity_torch(p: Tensor, **_: Tensor) -> tuple[Tensor, Tensor]:
    return p.log().mean().neg().exp(), p.reciprocal().prod().pow(1 / len(p))


def _cut(g: Generator) -> dict[str, Any]:
    return {"nats": between(g, 0.5, 3.0), "n": whole(g, 20, 40), "units": whole(g, 15, 90)}


def _per_word_by_hand(nats: float, n: int, units: int) -> float:
    return math.pow(math.exp(nats), n / units)


def _per_word_companion(nats: float, n: int, units: int) -> float:
    return perplexity(nats * n / units)


def _per_word_torch(nats: float, n: int, units: int) -> Tensor:
    return torch.full((n,), nats).sum().div(units).exp()


def _bits_by_hand(nats: float, n: int, units: int) -> float:
    return n / units * nats / math.log(2)


def _bits_companion(nats: float, n: int, units: int) -> float:
    return bits_per_character(nats, n, units)


def _bits_torch(nats: float, n: int, units: int) -> Tensor:
    return -torch.full((n,), -nats).exp().log2().sum() / units


def _chosen(g: Generator) -> dict[str, Any]:
    x, chosen = tokens(g, 5, 2, 4), normal(g, 2, 4) > 0
    chosen[0, whole(g, 0, 3)] = True
    return {"z": normal(g, 2, 4, 5), "x": x, "chosen": chosen}


def _mlm_by_hand(z: Tensor, x: Tensor, chosen: Tensor) -> tuple[float, Tensor]:
    masked = [(b, t) for b in range(2) for t in range(4) if chosen[b, t]]
    loss, gradient = 0.0, torch.zeros_like(z)
    for b, t in masked:
        total = sum(math.exp(z_k) for z_k in z[b, t])
        loss -= math.log(math.exp(z[b, t, x[b, t]]) / total) / len(masked)
        for k in range(5):
            gradient[b, t, k] = (math.exp(z[b, t, k]) / total - (1 if k == x[b, t] else 0)) / len(masked)
    return loss, gradient


def _mlm_companion(z: Tensor, x: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    z = z.clone().requires_grad_()
    batch = Masked(x, x.masked_fill(~chosen, IGNORED), torch.ones(2, 4, 4, dtype=torch.bool))
    loss = masked_loss(FixedOutputs((z, None)), batch)
    return loss, torch.autograd.grad(loss, z)[0]


def _mlm_torch(z: Tensor, x: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    def loss(logits: Tensor) -> Tensor:
        return -by_torch.log_prob(logits, x)[chosen].mean()

    return loss(z), by_torch.gradient(loss, z)


def _nsp_by_hand(z: Tensor, y: int) -> tuple[Tensor, Tensor]:
    two_way = -math.log(math.exp(z[y]) / (math.exp(z[0]) + math.exp(z[1])))
    difference = float(z[1]) - float(z[0])
    sigma = 1 / (1 + math.exp(-difference))
    with_sigmoid = -y * math.log(sigma) - (1 - y) * math.log(1 - sigma)
    return torch.tensor([two_way, with_sigmoid]), torch.tensor([y - sigma, sigma - y])


def _nsp_companion(z: Tensor, y: int) -> tuple[Tensor, Tensor]:
    def loss(logits: Tensor) -> Tensor:
        return cross_entropy(logits[None], torch.tensor([y]))  # the second term of pretraining_loss

    return loss(z).expand(2), by_torch.gradient(loss, z)


def _nsp_torch(z: Tensor, y: int) -> tuple[Tensor, Tensor]:
    def loss(logits: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(logits[1] - logits[0], torch.tensor(float(y)))

    return torch.stack([F.cross_entropy(z, torch.tensor(y)), loss(z)]), by_torch.gradient(loss, z)


def _lm_by_hand(z: Tensor, x: Tensor) -> float:
    n, total = len(x) - 1, 0.0
    for t in range(n):
        total += math.log(math.exp(z[t, x[t + 1]]) / sum(math.exp(z_k) for z_k in z[t]))
    return -total / n


def _lm_companion(z: Tensor, x: Tensor) -> Tensor:
    return causal_loss(FixedOutputs(z[None]), x[None])


def _lm_torch(z: Tensor, x: Tensor) -> Tensor:
    return -by_torch.log_prob(z, x[1:]).mean()


def _orders(g: Generator) -> dict[str, Any]:
    return {"x": tokens(g, 4, 3), "z": normal(g, 3, 8, 4)}


def _nll(z: Tensor, x: Tensor, i: int, known: tuple[int, ...]) -> float:
    row = z[i, sum(2**j for j in known)]
    return -math.log(math.exp(row[x[i]]) / sum(math.exp(z_k) for z_k in row))


def _permutation_by_hand(x: Tensor, z: Tensor) -> tuple[float, float]:
    by_order, by_set, n = 0.0, 0.0, len(x)
    for order in permutations(range(n)):
        by_order += sum(_nll(z, x, order[t], order[:t]) for t in range(n)) / math.factorial(n)
    for i in range(n):
        for known in ((), *((j,) for j in range(n) if j != i), tuple(j for j in range(n) if j != i)):
            s = len(known)
            by_set += math.factorial(s) * math.factorial(n - 1 - s) / math.factorial(n) * _nll(z, x, i, known)
    return by_order, by_set


def _permutation_companion(x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    z_t = torch.tensor(list(permutations(range(3))))
    order, inputs = z_t.argsort(1), x.expand(6, -1)
    batch = Permuted(inputs, order, predict=z_t, targets=inputs.gather(1, z_t), visible=order_mask(order))
    loss = 3 * permutation_loss(AnyOrderModel(z), batch)  # companion divides by the number of positions
    return loss, loss


def _permutation_torch(x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    nats = -by_torch.log_prob(z, x[:, None].expand(-1, 8))  # (position, set)
    weight = torch.tensor([[2, 0, 1, 0, 1, 0, 2, 0], [2, 1, 0, 0, 1, 2, 0, 0], [2, 1, 1, 2, 0, 0, 0, 0]]) / 6
    return (weight * nats).sum(), torch.tensordot(weight, nats, dims=2)


EQUATIONS = (
    Equation(
        label="eq-losses-perplexity",
        symbols=(Symbol(r"\mathrm{PPL}", "perplexity"), PROBABILITIES, TOKENS),
        draw=_text,
        by_hand=_perplexity_by_hand,
        companion=_perplexity_companion,
        library=_perplexity_torch,
    ),
    Equation(
        label="eq-losses-per-word",
        symbols=(
            Symbol(r"\mathrm{PPL}_{\text{word}}", "perplexity per word"),
            Symbol(r"\mathrm{PPL}_{\text{token}}", "perplexity per token"),
            TOKENS,
            Symbol("W", "number of words of the same text"),
        ),
        draw=_cut,
        by_hand=_per_word_by_hand,
        companion=_per_word_companion,
        library=_per_word_torch,
    ),
    Equation(
        label="eq-losses-bits",
        symbols=(
            Symbol(r"\mathrm{BPC}", "bits per character"),
            TOKENS,
            Symbol("C", "number of characters of the text"),
            MEAN,
        ),
        draw=_cut,
        by_hand=_bits_by_hand,
        companion=_bits_companion,
        library=_bits_torch,
    ),
    Equation(
        label="eq-losses-mlm",
        symbols=(
            Symbol(r"\mathcal{L}_{\mathrm{MLM}}", "loss of the masked language model, in nats"),
            Symbol("M", "masked positions of the whole batch, pairs $(b, t)$; $|M|$ of them"),
            Symbol("p_{btk}", "probability of token $k$ at position $t$ of text $b$"),
            Symbol("x_{bt}", "original token at position $t$ of text $b$"),
            Symbol("z_{btk}", "logit of token $k$ at position $t$ of text $b$"),
            Symbol("y_{btk}", "1 for $k = x_{bt}$, else 0"),
        ),
        draw=_chosen,
        by_hand=_mlm_by_hand,
        companion=_mlm_companion,
        library=_mlm_torch,
    ),
    Equation(
        label="eq-losses-nsp",
        symbols=(
            Symbol(r"\mathcal{L}_{\mathrm{NSP}}", "loss of next sentence prediction, in nats"),
            Symbol("z_0, z_1", "the two logits at `[CLS]`: the second part follows, it does not"),
            Symbol("y", "0 when the second part follows the first, 1 when not"),
            DIFFERENCE,
            Symbol(r"\sigma", "logistic function (sigmoid)"),
        ),
        draw=lambda g: {"z": 2 * normal(g, 2), "y": whole(g, 0, 1)},
        by_hand=_nsp_by_hand,
        companion=_nsp_companion,
        library=_nsp_torch,
    ),
    Equation(
        label="eq-losses-lm",
        symbols=(
            Symbol(r"\mathcal{L}_{\mathrm{LM}}", "loss of the causal language model, in nats"),
            Symbol("n", "number of predicted tokens: one less than tokens given"),
            Symbol("z_{tk}", "logit of token $k$ at position $t$, from $x_1$ to $x_t$"),
            Symbol("x_{t+1}", "the next token"),
        ),
        draw=lambda g: {"z": normal(g, 4, 4), "x": tokens(g, 4, 5)},
        by_hand=_lm_by_hand,
        companion=_lm_companion,
        library=_lm_torch,
    ),
    Equation(
        label="eq-losses-permutation",
        symbols=(
            Symbol(r"\mathcal{L}_{\mathrm{PLM}}", "loss of the permutation language model, in nats per text"),
            Symbol(r"\pi", "factorisation order: a permutation of the positions; there are $n!$"),
            Symbol("n", "number of tokens of the text"),
            Symbol("S", "set of known positions; $|S|$ of them"),
            Symbol(
                r"p_\theta(x_i \mid x_S)", "probability of the token at position $i$, given those at the positions $S$"
            ),
        ),
        draw=_orders,
        by_hand=_permutation_by_hand,
        companion=_permutation_companion,
        library=_permutation_torch,
    ),
)
