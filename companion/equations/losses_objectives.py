"""The equations of ``book/formulas/losses.ipynb`` about texts: perplexity, and what the models are trained on."""

import math
from collections.abc import Callable
from itertools import permutations
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor
from torch.distributions import Categorical

from companion.equations.checking import Equation, Symbol
from companion.equations.drawing import between, normal, tokens, whole
from companion.metrics import bits_per_character, perplexity
from companion.objectives import IGNORED, causal_loss
from companion.objectives.batches import cross_entropy
from companion.objectives.masked import Masked, masked_loss
from companion.objectives.permutation import Permuted, permutation_loss
from companion.objectives.sentences import Pretraining, pretraining_loss
from companion.positions import order_mask

CHANCES = Symbol("p_t", "the model's probability of the token at place $t$")
TOKENS = Symbol("n", "tokens that are predicted")
MEAN = Symbol(r"\mathcal{L}", "mean surprise of a text, in nats a token")
Form = Callable[..., Any]
DIFFERENCE = Symbol("z", "difference of the two logits, $z_1 - z_0$")


def _chances(g: Generator) -> dict[str, Any]:
    return {"p": 0.05 + 0.9 * torch.rand(6, generator=g, dtype=torch.float64)}


def _perplexity_hand(p: Tensor) -> tuple[float, float]:
    product = 1.0
    for p_t in p:
        product *= 1 / float(p_t)
    return math.exp(-sum(math.log(p_t) for p_t in p) / len(p)), product ** (1 / len(p))


def _perplexity_ours(p: Tensor) -> tuple[float, float]:
    two = torch.stack([p, 1 - p], -1).log()  # the token that came, and all others together
    value = perplexity(cross_entropy(two, torch.zeros(len(p)).long()).item())
    return value, value


def _perplexity_torch(p: Tensor) -> tuple[Tensor, Tensor]:
    return p.log().mean().neg().exp(), p.reciprocal().prod().pow(1 / len(p))


def _cut(g: Generator) -> dict[str, Any]:
    return {"nats": between(g, 0.5, 3.0), "n": whole(g, 20, 40), "units": whole(g, 15, 90)}


def _per_word_hand(nats: float, n: int, units: int) -> float:
    return math.exp(nats) ** (n / units)


def _per_word_ours(nats: float, n: int, units: int) -> float:
    return perplexity(nats * n / units)


def _per_word_torch(nats: float, n: int, units: int) -> Tensor:
    return torch.full((n,), nats).sum().div(units).exp()


def _bits_hand(nats: float, n: int, units: int) -> float:
    return n / units * nats / math.log(2)


def _bits_ours(nats: float, n: int, units: int) -> float:
    return bits_per_character(nats, n, units)


def _bits_torch(nats: float, n: int, units: int) -> Tensor:
    return -torch.full((n,), -nats).exp().log2().sum() / units


def _chosen(g: Generator) -> dict[str, Any]:
    x, chosen = tokens(g, 5, 2, 4), normal(g, 2, 4) > 0
    chosen[0, whole(g, 0, 3)] = True
    return {"z": normal(g, 2, 4, 5), "x": x, "chosen": chosen}


def _mlm_hand(z: Tensor, x: Tensor, chosen: Tensor) -> tuple[float, Tensor]:
    places = [(b, t) for b in range(2) for t in range(4) if chosen[b, t]]
    loss, gradient = 0.0, torch.zeros_like(z)
    for b, t in places:
        total = sum(math.exp(z_k) for z_k in z[b, t])
        loss -= math.log(math.exp(z[b, t, x[b, t]]) / total) / len(places)
        for k in range(5):
            gradient[b, t, k] = (math.exp(z[b, t, k]) / total - (1 if k == x[b, t] else 0)) / len(places)
    return loss, gradient


def _mlm_ours(z: Tensor, x: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    z = z.clone().requires_grad_()
    batch = Masked(x, x.masked_fill(~chosen, IGNORED), torch.ones(2, 4, 4, dtype=torch.bool))
    loss = masked_loss(lambda *_: (z, None), batch)  # type: ignore[arg-type]
    return loss, torch.autograd.grad(loss, z)[0]


def _mlm_torch(z: Tensor, x: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    result = torch.func.grad_and_value(lambda logits: -Categorical(logits=logits).log_prob(x)[chosen].mean())(z)
    return result[1], result[0]


def _nsp_hand(z: Tensor, y: int) -> tuple[Tensor, Tensor]:
    two_way = -math.log(math.exp(z[y]) / (math.exp(z[0]) + math.exp(z[1])))
    difference = float(z[1]) - float(z[0])
    sigma = 1 / (1 + math.exp(-difference))
    with_sigmoid = -y * math.log(sigma) - (1 - y) * math.log(1 - sigma)
    return torch.tensor([two_way, with_sigmoid]), torch.tensor([y - sigma, sigma - y])


def _nsp_ours(z: Tensor, y: int) -> tuple[Tensor, Tensor]:
    z = z.clone().requires_grad_()
    one = torch.zeros(1, 1).long()
    batch = Pretraining(one, one, torch.ones(1, 1, 1, dtype=torch.bool), one, torch.tensor([y]))
    loss = pretraining_loss(lambda *_: (torch.zeros(1, 1, 1), z[None]), batch)  # type: ignore[arg-type]
    return loss.expand(2), torch.autograd.grad(loss, z)[0]  # the one token is certain and costs nothing


def _nsp_torch(z: Tensor, y: int) -> tuple[Tensor, Tensor]:
    def loss(logits: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(logits[1] - logits[0], torch.tensor(float(y)))

    return torch.stack([F.cross_entropy(z, torch.tensor(y)), loss(z)]), torch.func.grad(loss)(z)


def _lm_hand(z: Tensor, x: Tensor) -> float:
    n, total = len(x) - 1, 0.0
    for t in range(n):
        total += math.log(math.exp(z[t, x[t + 1]]) / sum(math.exp(z_k) for z_k in z[t]))
    return -total / n


def _lm_ours(z: Tensor, x: Tensor) -> Tensor:
    return causal_loss(lambda ids: z[None, : ids.size(1)], x[None])  # type: ignore[arg-type]


def _lm_torch(z: Tensor, x: Tensor) -> Tensor:
    return -Categorical(logits=z[:-1]).log_prob(x.roll(-1)[:-1]).mean()


class Guesser:
    """Any model that fills a place from a set of known places: one row of logits for each place and each set."""

    def __init__(self, logits: Tensor) -> None:
        """Keep logits (n, 2^n, vocab), the sets in binary: place i is in set number s where bit i of s is 1."""
        self.logits = logits

    def __call__(self, ids: Tensor, order: Tensor, targets: Tensor) -> Tensor:
        """Return logits (batch, k, vocab) of the target places, each from the places of a lower rank."""
        known = order[:, None, :] < order.gather(1, targets)[:, :, None]  # (batch, k, n)
        return self.logits[targets, (known * 2 ** torch.arange(ids.size(1))).sum(-1)]


def _orders(g: Generator) -> dict[str, Any]:
    return {"x": tokens(g, 4, 3), "z": normal(g, 3, 8, 4)}


def _surprise(z: Tensor, x: Tensor, i: int, known: tuple[int, ...]) -> float:
    row = z[i, sum(2**j for j in known)]
    return -math.log(math.exp(row[x[i]]) / sum(math.exp(z_k) for z_k in row))


def _permutation_hand(x: Tensor, z: Tensor) -> tuple[float, float]:
    by_order, by_set, n = 0.0, 0.0, len(x)
    for order in permutations(range(n)):
        by_order += sum(_surprise(z, x, order[t], order[:t]) for t in range(n)) / math.factorial(n)
    for i in range(n):
        for known in ((), *((j,) for j in range(n) if j != i), tuple(j for j in range(n) if j != i)):
            s = len(known)
            by_set += math.factorial(s) * math.factorial(n - 1 - s) / math.factorial(n) * _surprise(z, x, i, known)
    return by_order, by_set


def _permutation_ours(x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    told = torch.tensor(list(permutations(range(3))))
    order, inputs = told.argsort(1), x.expand(6, -1)
    batch = Permuted(inputs, order, predict=told, targets=inputs.gather(1, told), visible=order_mask(order))
    loss = 3 * permutation_loss(Guesser(z), batch)  # type: ignore[arg-type]  # a mean over the three places
    return loss, loss


def _permutation_torch(x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    nats = -Categorical(logits=z).log_prob(x[:, None])  # (place, set)
    weight = torch.tensor([[2, 0, 1, 0, 1, 0, 2, 0], [2, 1, 0, 0, 1, 2, 0, 0], [2, 1, 1, 2, 0, 0, 0, 0]]) / 6
    return (weight * nats).sum(), torch.tensordot(weight, nats, dims=2)


SYMBOLS: dict[str, tuple[Symbol, ...]] = {
    "eq-losses-perplexity": (Symbol(r"\mathrm{PPL}", "perplexity"), CHANCES, TOKENS),
    "eq-losses-per-word": (
        Symbol(r"\mathrm{PPL}_{\text{word}}", "perplexity per word"),
        Symbol(r"\mathrm{PPL}_{\text{token}}", "perplexity per token"),
        TOKENS,
        Symbol("W", "words of the same text"),
    ),
    "eq-losses-bits": (
        Symbol(r"\mathrm{BPC}", "bits a character"),
        TOKENS,
        Symbol("C", "characters of the text"),
        MEAN,
    ),
    "eq-losses-mlm": (
        Symbol(r"\mathcal{L}_{\mathrm{MLM}}", "loss of the masked language model, in nats"),
        Symbol("M", "the chosen places of the whole batch, pairs $(b, t)$; $|M|$ of them"),
        Symbol("p_{btk}", "probability of token $k$ at place $t$ of text $b$"),
        Symbol("x_{bt}", "the token that stood there"),
        Symbol("z_{btk}", "logit of token $k$ at place $t$ of text $b$"),
        Symbol("y_{btk}", "1 for $k = x_{bt}$, else 0"),
    ),
    "eq-losses-nsp": (
        Symbol(r"\mathcal{L}_{\mathrm{NSP}}", "loss of next sentence prediction, in nats"),
        Symbol("z_0, z_1", "the two logits of `[CLS]`: it follows, it does not"),
        Symbol("y", "0 when the second part follows the first, 1 when not"),
        DIFFERENCE,
        Symbol(r"\sigma", "the logistic function"),
    ),
    "eq-losses-lm": (
        Symbol(r"\mathcal{L}_{\mathrm{LM}}", "loss of the causal language model, in nats"),
        Symbol("n", "places that are asked: one less than tokens given"),
        Symbol("z_{tk}", "logit of token $k$ at place $t$, from $x_1$ to $x_t$"),
        Symbol("x_{t+1}", "the next token"),
    ),
    "eq-losses-permutation": (
        Symbol(r"\mathcal{L}_{\mathrm{PLM}}", "loss of the permutation language model, in nats a text"),
        Symbol(r"\pi", "an order of the places; there are $n!$"),
        Symbol("n", "tokens of the text"),
        Symbol("S", "a set of places that are known; $|S|$ of them"),
        Symbol(r"p_\theta(x_i \mid x_S)", "probability of the token at place $i$, given those at the places $S$"),
    ),
}


def _made(label: str, draw: Form, hand: Form, ours: Form, theirs: Form) -> Equation:
    return Equation(label, SYMBOLS[label], draw, hand, ours, theirs)


EQUATIONS = (
    _made("eq-losses-perplexity", _chances, _perplexity_hand, _perplexity_ours, _perplexity_torch),
    _made("eq-losses-per-word", _cut, _per_word_hand, _per_word_ours, _per_word_torch),
    _made("eq-losses-bits", _cut, _bits_hand, _bits_ours, _bits_torch),
    _made("eq-losses-mlm", _chosen, _mlm_hand, _mlm_ours, _mlm_torch),
    _made("eq-losses-nsp", lambda g: {"z": 2 * normal(g, 2), "y": whole(g, 0, 1)}, _nsp_hand, _nsp_ours, _nsp_torch),
    _made("eq-losses-lm", lambda g: {"z": normal(g, 5, 4), "x": tokens(g, 4, 5)}, _lm_hand, _lm_ours, _lm_torch),
    _made("eq-losses-permutation", _orders, _permutation_hand, _permutation_ours, _permutation_torch),
)
