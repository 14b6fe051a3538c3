"""Exercises of ``book/formulas/losses.ipynb``."""

import math
from typing import Any

import torch
from torch import Tensor

from companion.lessons.exercise_check import Exercise, Mistake


def _large_logits() -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    cases = []
    for n, k, level in ((1, 3, 1000.0), (2, 5, -1000.0), (3, 4, 0.0)):
        logits = level + 3 * torch.randn(n, k, generator=generator)
        cases.append((logits, torch.randint(k, (n,), generator=generator)))
    return cases


def _stable(logits: Tensor, x: Tensor) -> Tensor:
    largest = logits.amax(-1, keepdim=True)
    total = largest[:, 0] + (logits - largest).exp().sum(-1).log()
    return (total - logits.gather(-1, x[:, None])[:, 0]).mean()


STABLE = Exercise(
    name="stable-loss",
    task=(
        "From `logits` (n, V), which may be as large as 1000 or as small as -1000, and `x` (n,), the tokens that came, "
        "return the mean cross-entropy, with `exp`, `log` and `amax` alone."
    ),
    reference=_stable,
    cases=_large_logits,
    mistakes=(
        Mistake(
            lambda z, x: (z.exp().sum(-1).log() - z.gather(-1, x[:, None])[:, 0]).mean(),
            "At 1000 the exponential is infinite, at -1000 it is 0. Take the largest logit out of the sum first.",
        ),
        Mistake(
            lambda z, x: ((z - z.amax(-1, keepdim=True)).exp().sum(-1).log() - z.gather(-1, x[:, None])[:, 0]).mean(),
            "You took the largest logit out of the sum, and never put it back: log-sum-exp is m plus the rest.",
        ),
        Mistake(
            lambda z, x: _stable(z, x) * len(z),
            "You add the positions up. The loss is their mean.",
        ),
        Mistake(
            lambda z, x: -_stable(z, x),
            "That is the mean log-likelihood. The loss is its negative.",
        ),
    ),
)


def _logits() -> list[tuple[Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [(torch.randn(n, generator=generator),) for n in (3, 4, 6)]


def _jacobian(z: Tensor) -> Tensor:
    p = z.softmax(-1)
    return p.diag() - p[:, None] * p


JACOBIAN = Exercise(
    name="softmax-jacobian",
    task=(
        "From the logits `z` (V,), return the matrix (V, V) whose entry (k, j) says how fast the probability of "
        "token k grows with logit j, without autograd."
    ),
    reference=_jacobian,
    cases=_logits,
    mistakes=(
        Mistake(
            lambda z: (z.softmax(-1) * (1 - z.softmax(-1))).diag(),
            "You have the diagonal alone. Raising one logit also lowers all other probabilities.",
        ),
        Mistake(
            lambda z: z.softmax(-1)[:, None] * z.softmax(-1) - z.softmax(-1).diag(),
            "The sign is turned round: a token's own logit raises its probability.",
        ),
        Mistake(
            lambda z: torch.eye(len(z)) - z.softmax(-1).expand(len(z), -1),
            "That is the derivative of the log-probabilities. Multiply row k by the probability of token k.",
        ),
        Mistake(
            lambda z: z.softmax(-1).diag() + z.softmax(-1)[:, None] * z.softmax(-1),
            "The off-diagonal is negative: what one token gains the others lose, and each row sums to 0.",
        ),
    ),
)


def _places() -> list[tuple[Tensor, Tensor, float]]:
    generator = torch.Generator().manual_seed(2)
    cases = []
    for n, k, eps in ((1, 3, 0.1), (2, 5, 0.2), (4, 4, 0.4)):
        logits = 2 * torch.randn(n, k, generator=generator)
        cases.append((logits, torch.randint(k, (n,), generator=generator), eps))
    return cases


def _smoothed(logits: Tensor, x: Tensor, eps: float) -> Tensor:
    surprise = -logits.log_softmax(-1)
    return ((1 - eps) * surprise.gather(-1, x[:, None])[:, 0] + eps * surprise.mean(-1)).mean()


SMOOTHED = Exercise(
    name="smoothed-loss",
    task=(
        "From `logits` (n, V), the tokens that came `x` (n,) and `eps`, return the mean cross-entropy with targets of "
        "which a fraction `eps` is spread evenly over all V tokens."
    ),
    reference=_smoothed,
    cases=_places,
    mistakes=(
        Mistake(
            lambda z, x, eps: (
                (1 - eps) * -z.log_softmax(-1).gather(-1, x[:, None])[:, 0] - eps * z.log_softmax(-1).sum(-1)
            ).mean(),
            "Each token gets eps / V, not eps: take the mean of the NLLs, not their sum.",
        ),
        Mistake(
            lambda z, x, eps: (
                (1 - eps - eps / (z.size(-1) - 1)) * -z.log_softmax(-1).gather(-1, x[:, None])[:, 0]
                - eps / (z.size(-1) - 1) * z.log_softmax(-1).sum(-1)
            ).mean(),
            "You spread eps over the V - 1 other tokens. Here the right one has its part of it too.",
        ),
        Mistake(
            lambda z, x, eps: _smoothed(z, x, 1 - eps),
            "You have exchanged the weights: 1 - eps stays on the token that came.",
        ),
        Mistake(
            lambda z, x, eps: _smoothed(z, x, 0.0),
            "Nothing is smoothed: the other tokens have no part in your loss.",
        ),
    ),
)


def _chances() -> list[tuple[Tensor, int]]:
    generator = torch.Generator().manual_seed(3)
    return [(0.05 + 0.9 * torch.rand(n, generator=generator), words) for n, words in ((3, 2), (6, 4), (9, 5))]


def _per_word(p: Tensor, words: int) -> float:
    return math.exp(-p.log().sum().item() / words)


PER_WORD = Exercise(
    name="word-perplexity",
    task=(
        "From `p` (n,), the probabilities that a model gave to the n tokens of a text of `words` words, return its "
        "perplexity per word, a number."
    ),
    reference=_per_word,
    cases=_chances,
    mistakes=(
        Mistake(
            lambda p, words: math.exp(-p.log().mean().item()),
            "That is the perplexity per token. Divide the text's NLL by its words.",
        ),
        Mistake(
            lambda p, words: math.exp(-p.log().mean().item()) * len(p) / words,
            "The NLL is divided, not the perplexity: n / W belongs into the exponent.",
        ),
        Mistake(
            lambda p, words: p.reciprocal().sum().item() / words,
            "You average 1 / p. Average the logarithms and take the exponential afterwards.",
        ),
        Mistake(
            lambda p, words: -p.log().sum().item() / words,
            "Those are nats per word. Perplexity is the exponential of that.",
        ),
    ),
)


def _weights(n: int) -> list[float]:
    return [math.factorial(s) * math.factorial(n - 1 - s) / math.factorial(n) for s in range(n)]


def _sizes() -> list[tuple[Any, ...]]:
    return [(3,), (2,), (5,)]


ORDERS = Exercise(
    name="order-weights",
    task=(
        "From the number `n` of tokens, return a list of n numbers: for s = 0 to n - 1 known positions, the fraction "
        "of all orders in which a given position comes right after one given set of s others."
    ),
    reference=_weights,
    cases=_sizes,
    mistakes=(
        Mistake(
            lambda n: [1 / n] * n,
            "That is the fraction for all sets of s positions together. Divide it among them: there are (n - 1) over "
            "s.",
        ),
        Mistake(
            lambda n: [1 / math.factorial(n)] * n,
            "That is the fraction of one order. The known positions may come in any order, and so may those that "
            "follow.",
        ),
        Mistake(
            lambda n: [math.factorial(s) / math.factorial(n) for s in range(n)],
            "You count the orders of the known positions. Those that come later can be ordered too, in (n - 1 - s)! "
            "ways.",
        ),
        Mistake(
            lambda n: [math.factorial(s) * math.factorial(n - 1 - s) for s in range(n)],
            "You count the orders. Divide by how many there are, n!.",
        ),
    ),
)


EXERCISES = (
    STABLE,
    JACOBIAN,
    SMOOTHED,
    PER_WORD,
    ORDERS,
)
