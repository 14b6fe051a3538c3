"""The equations of ``book/formulas/losses.ipynb`` about one place: cross-entropy, its gradient, label smoothing."""

import math
from collections.abc import Callable
from itertools import permutations
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor
from torch.distributions import Categorical

from companion.data.batch import IGNORED
from companion.generation.sampling import next_token_probabilities
from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import between, normal, shares, tokens, whole
from companion.losses import causal_loss
from companion.losses.cross_entropy import cross_entropy
from companion.losses.masked import Masked, masked_loss
from companion.losses.permutation import Permuted, permutation_loss
from companion.losses.sentences import Pretraining, pretraining_loss
from companion.metrics.language_model import bits_per_character, perplexity
from companion.nn.masks import order_mask

LOSS = Symbol(r"\ell", "loss at one place, in nats")
LOGIT = Symbol("z_k", "logit of token $k$")
LOGITS = Symbol("z", "logits of all tokens", "V")
CHANCE = Symbol("p_k", "the model's probability of token $k$, by a softmax of the logits")
RIGHT = Symbol("x", "the token that came")
SIZE = Symbol("V", "tokens of the vocabulary")
SHARE = Symbol(r"\varepsilon", "share of the target that is spread over all tokens")
SMOOTH = Symbol(r"y^{\varepsilon}_k", "the smoothed target of token $k$")


def _place(g: Generator) -> dict[str, Any]:
    return {"z": 2 * normal(g, 5), "x": whole(g, 0, 4)}


def _cross_entropy_hand(z: Tensor, x: int) -> tuple[float, float]:
    total = sum(math.exp(z_k) for z_k in z)
    y = [1 if k == x else 0 for k in range(len(z))]
    by_target = -sum(y[k] * math.log(math.exp(z[k]) / total) for k in range(len(z)))
    return by_target, -float(z[x]) + math.log(total)


def _cross_entropy_ours(z: Tensor, x: int) -> tuple[Tensor, Tensor]:
    loss = cross_entropy(z[None], torch.tensor([x]))
    return loss, loss


def _cross_entropy_torch(z: Tensor, x: int) -> tuple[Tensor, Tensor]:
    return F.nll_loss(F.log_softmax(z, -1)[None], torch.tensor([x])), F.cross_entropy(z, torch.tensor(x))


def _shifted_hand(z: Tensor) -> tuple[float, float]:
    m = max(float(z_k) for z_k in z)
    plain = math.log(sum(math.exp(z_k) for z_k in z))
    return plain, m + math.log(sum(math.exp(z_k - m) for z_k in z))


def _shifted_ours(z: Tensor) -> tuple[Tensor, Tensor]:
    sums = [z[k] + cross_entropy(z[None], torch.tensor([k])) for k in (0, 1)]  # the same, whatever came
    return sums[0], sums[1]


def _shifted_torch(z: Tensor) -> tuple[Tensor, Tensor]:
    return torch.logsumexp(z, -1), torch.logaddexp(z[0], torch.logsumexp(z[1:], -1))


def _jacobian_hand(z: Tensor) -> Tensor:
    total = sum(math.exp(z_k) for z_k in z)
    p, n = [math.exp(z_k) / total for z_k in z], len(z)
    return torch.tensor([[p[k] * ((1 if k == j else 0) - p[j]) for j in range(n)] for k in range(n)])


def _jacobian_ours(z: Tensor) -> Tensor:
    z = z.clone().requires_grad_()
    return torch.stack([torch.autograd.grad(next_token_probabilities(z)[k], z)[0] for k in range(len(z))])


def _jacobian_torch(z: Tensor) -> Tensor:
    result: Tensor = torch.func.jacfwd(lambda logits: F.softmax(logits, -1))(z)
    return result


def _target(g: Generator) -> dict[str, Any]:
    return {"z": 2 * normal(g, 5), "y": shares(g, 5)}


def _gradient_hand(z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    total = sum(math.exp(z_k) for z_k in z)
    p, n = [math.exp(z_k) / total for z_k in z], len(z)
    chained = [sum(-y[k] / p[k] * (p[k] * ((1 if k == j else 0) - p[j])) for k in range(n)) for j in range(n)]
    return torch.tensor(chained), torch.tensor([p[j] - float(y[j]) for j in range(n)])


def _gradient_ours(z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    z = z.clone().requires_grad_()
    loss = torch.stack([y_k * cross_entropy(z[None], torch.tensor([k])) for k, y_k in enumerate(y)]).sum()
    (gradient,) = torch.autograd.grad(loss, z)
    return gradient, gradient


def _gradient_torch(z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    gradient: Tensor = torch.func.grad(lambda logits: F.cross_entropy(logits, y))(z)
    return gradient, gradient


def _smoothed(g: Generator) -> dict[str, Any]:
    return {**_place(g), "eps": between(g, 0.05, 0.6)}


def _smoothing_hand(z: Tensor, x: int, eps: float) -> tuple[float, float]:
    n, total = len(z), sum(math.exp(z_k) for z_k in z)
    surprise = [-math.log(math.exp(z_k) / total) for z_k in z]
    y = [(1 - eps) * (1 if k == x else 0) + eps / n for k in range(n)]
    return sum(y[k] * surprise[k] for k in range(n)), (1 - eps) * surprise[x] + eps * sum(surprise) / n


def _smoothing_ours(z: Tensor, x: int, eps: float) -> tuple[Tensor, Tensor]:
    everything = cross_entropy(z.expand(len(z), -1), torch.arange(len(z)))  # each token asked for once
    loss = (1 - eps) * cross_entropy(z[None], torch.tensor([x])) + eps * everything
    return loss, loss


def _smoothing_torch(z: Tensor, x: int, eps: float) -> tuple[Tensor, Tensor]:
    y = torch.lerp(F.one_hot(torch.tensor(x), len(z)).double(), torch.full_like(z, 1 / len(z)), eps)
    return F.cross_entropy(z, y), F.cross_entropy(z, torch.tensor(x), label_smoothing=eps)


def _smoothing_gradient_hand(z: Tensor, x: int, eps: float) -> Tensor:
    n, total = len(z), sum(math.exp(z_k) for z_k in z)
    return torch.tensor([math.exp(z[k]) / total - (1 - eps) * (1 if k == x else 0) - eps / n for k in range(n)])


def _smoothing_gradient_ours(z: Tensor, x: int, eps: float) -> Tensor:
    z = z.clone().requires_grad_()
    everything = cross_entropy(z.expand(len(z), -1), torch.arange(len(z)))
    loss = (1 - eps) * cross_entropy(z[None], torch.tensor([x])) + eps * everything
    return torch.autograd.grad(loss, z)[0]


def _smoothing_gradient_torch(z: Tensor, x: int, eps: float) -> Tensor:
    result: Tensor = torch.func.grad(lambda logits: F.cross_entropy(logits, torch.tensor(x), label_smoothing=eps))(z)
    return result


def _optimum_hand(n: int, x: int, eps: float) -> float:
    return math.log(1 + n * (1 - eps) / eps)


def _optimum_ours(n: int, x: int, eps: float) -> Tensor:
    def loss(z: Tensor) -> Tensor:
        return (1 - eps) * cross_entropy(z[None], torch.tensor([x])) + eps * cross_entropy(
            z.expand(n, -1), torch.arange(n)
        )

    z = torch.zeros(n)
    for _ in range(12):  # Newton's method; the added number sees to the direction in which nothing changes
        curvature = torch.func.hessian(loss)(z) + 1 / n
        z = z - torch.linalg.solve(curvature, torch.func.grad(loss)(z))
    return z[x] - z[(x + 1) % n]


def _optimum_torch(n: int, x: int, eps: float) -> Tensor:
    y = torch.full((n,), eps / n)
    y[x] += 1 - eps
    logits = torch.distributions.Categorical(y).logits  # log-probabilities: the cross-entropy is least at p = y
    return logits[x] - logits[(x + 1) % n]


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
    Equation(
        "eq-losses-cross-entropy",
        (LOSS, Symbol("y_k", "1 for the token $x$ that came, else 0"), CHANCE, LOGIT, RIGHT),
        _place,
        _cross_entropy_hand,
        _cross_entropy_ours,
        _cross_entropy_torch,
    ),
    Equation(
        "eq-losses-logsumexp",
        (LOGIT, Symbol("m", "the largest of the logits")),
        lambda g: {"z": 3 * normal(g, 6)},
        _shifted_hand,
        _shifted_ours,
        _shifted_torch,
    ),
    Equation(
        "eq-losses-jacobian",
        (CHANCE, Symbol("z_j", "logit of token $j$"), Symbol(r"\delta_{kj}", "1 where $k = j$, else 0")),
        lambda g: {"z": 2 * normal(g, 5)},
        _jacobian_hand,
        _jacobian_ours,
        _jacobian_torch,
    ),
    Equation(
        "eq-losses-gradient",
        (
            LOSS,
            Symbol("z_j", "logit of token $j$"),
            Symbol("y_k", "target of token $k$: from 0 up, with sum 1"),
            CHANCE,
            Symbol(r"\delta_{kj}", "1 where $k = j$, else 0"),
        ),
        _target,
        _gradient_hand,
        _gradient_ours,
        _gradient_torch,
    ),
    Equation(
        "eq-losses-smoothing",
        (Symbol(r"\ell^{\varepsilon}", "smoothed loss at one place, in nats"), SMOOTH, CHANCE, SHARE, RIGHT, SIZE),
        _smoothed,
        _smoothing_hand,
        _smoothing_ours,
        _smoothing_torch,
    ),
    Equation(
        "eq-losses-smoothing-gradient",
        (
            Symbol(r"\ell^{\varepsilon}", "smoothed loss at one place, in nats"),
            LOGIT,
            CHANCE,
            SHARE,
            Symbol("y_k", "1 for the token $x$ that came, else 0"),
            SIZE,
        ),
        _smoothed,
        _smoothing_gradient_hand,
        _smoothing_gradient_ours,
        _smoothing_gradient_torch,
    ),
    Equation(
        "eq-losses-smoothing-optimum",
        (Symbol("z_x", "logit of the token that came"), Symbol("z_k", "logit of any other token"), SIZE, SHARE),
        lambda g: {"n": whole(g, 2, 6), "x": whole(g, 0, 1), "eps": between(g, 0.1, 0.6)},
        _optimum_hand,
        _optimum_ours,
        _optimum_torch,
    ),
    _made("eq-losses-perplexity", _chances, _perplexity_hand, _perplexity_ours, _perplexity_torch),
    _made("eq-losses-per-word", _cut, _per_word_hand, _per_word_ours, _per_word_torch),
    _made("eq-losses-bits", _cut, _bits_hand, _bits_ours, _bits_torch),
    _made("eq-losses-mlm", _chosen, _mlm_hand, _mlm_ours, _mlm_torch),
    _made("eq-losses-nsp", lambda g: {"z": 2 * normal(g, 2), "y": whole(g, 0, 1)}, _nsp_hand, _nsp_ours, _nsp_torch),
    _made("eq-losses-lm", lambda g: {"z": normal(g, 5, 4), "x": tokens(g, 4, 5)}, _lm_hand, _lm_ours, _lm_torch),
    _made("eq-losses-permutation", _orders, _permutation_hand, _permutation_ours, _permutation_torch),
)
