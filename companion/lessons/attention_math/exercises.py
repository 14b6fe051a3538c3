"""Exercises of ``book/formulas/attention_math.ipynb``."""

import math

import torch
from torch import Tensor

from companion.lessons.exercise_check import Exercise, Mistake
from companion.lessons.random_inputs import seeded_tensors
from companion.nn.attention import scaled_dot_product_attention


def _variance(mu_q: float, sigma_q: float, mu_k: float, sigma_k: float) -> float:
    return sigma_q**2 * sigma_k**2 + sigma_q**2 * mu_k**2 + mu_q**2 * sigma_k**2


SCORE_VARIANCE = Exercise(
    name="score-variance",
    task=(
        "From d_k and the mean and standard deviation of a query's components (mu_q, sigma_q) and of a key's "
        "(mu_k, sigma_k), all independent, return the variance of the scaled score."
    ),
    reference=lambda d_k, mu_q, sigma_q, mu_k, sigma_k: _variance(mu_q, sigma_q, mu_k, sigma_k),
    cases=lambda: [(16, 0.0, 1.5, 0.0, 1.0), (64, 0.5, 2.0, -1.0, 1.5), (4, 1.0, 0.5, 0.0, 3.0)],
    mistakes=(
        Mistake(
            lambda d_k, mu_q, sigma_q, mu_k, sigma_k: sigma_q**2 * sigma_k**2,
            "Right where both means are 0. A mean of one side passes the other side's variance on.",
        ),
        Mistake(
            lambda d_k, mu_q, sigma_q, mu_k, sigma_k: d_k * _variance(mu_q, sigma_q, mu_k, sigma_k),
            "That is the variance of the bare dot product. What does dividing by sqrt(d_k) do to a variance?",
        ),
        Mistake(
            lambda d_k, mu_q, sigma_q, mu_k, sigma_k: math.sqrt(d_k) * _variance(mu_q, sigma_q, mu_k, sigma_k),
            "You divided the variance by sqrt(d_k). A factor leaves a variance squared.",
        ),
        Mistake(
            lambda d_k, mu_q, sigma_q, mu_k, sigma_k: math.sqrt(_variance(mu_q, sigma_q, mu_k, sigma_k)),
            "That is the standard deviation. Its square is asked for.",
        ),
        Mistake(
            lambda d_k, mu_q, sigma_q, mu_k, sigma_k: _variance(mu_q, sigma_q, mu_k, sigma_k) + (mu_q * mu_k) ** 2,
            "That is the mean of the square of a product. The square of its mean must be taken away.",
        ),
    ),
)


def _back(a: Tensor, u: Tensor) -> Tensor:
    return a * (u - (a * u).sum())


SOFTMAX_BACKWARD = Exercise(
    name="softmax-backward",
    task="From attention weights a (n,) of one query and u (n,), the gradient by them, return that by the scores (n,).",
    reference=_back,
    cases=lambda: [
        (torch.tensor([0.6, 0.2, 0.2]), torch.tensor([5.0, 0.0, 5.0])),
        *((a.softmax(0), u) for a, u in (seeded_tensors((4,), (4,)), seeded_tensors((7,), (7,)))),
    ],
    mistakes=(
        Mistake(
            lambda a, u: a * u,
            "Your derivatives do not sum to 0: raising all scores alike would change the loss, and a softmax does not "
            "notice that. Something is to be taken from u first.",
        ),
        Mistake(
            lambda a, u: a * (1 - a) * u,
            "This is the diagonal of the Jacobian alone. A score moves the other weights too.",
        ),
        Mistake(
            lambda a, u: a * (u - u.mean()),
            "A mean must be taken away, but not the plain one: the softmax weighs by its own weights.",
        ),
        Mistake(
            lambda a, u: u - (a * u).sum(),
            "The right mean is gone from u. How much does a weight move that is nearly 0?",
        ),
        Mistake(
            lambda a, u: -_back(a, u),
            "The sign is wrong: the score of what the loss grows with should have a positive derivative.",
        ),
    ),
)


def _query_gradient(query: Tensor, key: Tensor, value: Tensor, pull: Tensor) -> Tensor:
    back = torch.func.vjp(lambda q: scaled_dot_product_attention(q, key, value)[0], query)[1]
    result: Tensor = back(pull)[0]
    return result


def _parts(query: Tensor, key: Tensor, value: Tensor, pull: Tensor) -> tuple[Tensor, Tensor, float]:
    root = math.sqrt(query.size(-1))
    return (query @ key.T / root).softmax(-1), pull @ value.T, root


def _uncentred(query: Tensor, key: Tensor, value: Tensor, pull: Tensor) -> Tensor:
    a, wish, root = _parts(query, key, value, pull)
    return a * wish @ key / root


def _by_columns(query: Tensor, key: Tensor, value: Tensor, pull: Tensor) -> Tensor:
    a, wish, root = _parts(query, key, value, pull)
    return a * (wish - (a * wish).sum(0)) @ key / root


QUERY_GRADIENT = Exercise(
    name="query-gradient",
    task=(
        "From query (n, d_k), key (m, d_k), value (m, d_v) and pull (n, d_v), the loss's gradient with respect to the "
        "output, return its gradient with respect to the query (n, d_k), without autograd."
    ),
    reference=_query_gradient,
    cases=lambda: [
        seeded_tensors((n, d), (m, d), (m, e), (n, e)) for n, m, d, e in ((1, 3, 4, 2), (3, 5, 4, 2), (4, 4, 6, 3))
    ],
    mistakes=(
        Mistake(
            lambda q, k, v, g: _query_gradient(q, k, v, g) * math.sqrt(q.size(-1)),
            "All but a factor: a score is q · k divided by something, and so is its derivative by q.",
        ),
        Mistake(
            lambda q, k, v, g: _query_gradient(q, k, v, g) / math.sqrt(q.size(-1)),
            "You divide by sqrt(d_k) twice. Between a query and its score it stands once.",
        ),
        Mistake(
            _uncentred,
            "What has been read, o, is missing: a score's derivative is a (g · v - g · o), not a (g · v).",
        ),
        Mistake(
            _by_columns,
            "You take the mean down a column, over the queries. Each query has a softmax of its own: along its row.",
        ),
    ),
)


def _heads() -> list[tuple[Tensor, ...]]:
    return [seeded_tensors((h, n, d_v), (h * d_v, d)) for h, n, d_v, d in ((2, 3, 2, 4), (4, 2, 3, 5), (3, 3, 3, 3))]


def _mixed(heads: Tensor, w_o: Tensor) -> Tensor:
    return heads.transpose(0, 1).flatten(1) @ w_o


SUM_OF_HEADS = Exercise(
    name="sum-of-heads",
    task="From heads (h, n, d_v) and w_o (h d_v, d), return what multi-head attention puts out (n, d).",
    reference=_mixed,
    cases=_heads,
    mistakes=(
        Mistake(
            lambda heads, w_o: heads.reshape(heads.size(1), -1) @ w_o,
            "The reshape mixes positions: in memory the heads come first. A position's own numbers belong in its row.",
        ),
        Mistake(
            lambda heads, w_o: heads.permute(1, 2, 0).flatten(1) @ w_o,
            "Your numbers of the heads alternate. Those of one head lie side by side, and meet its own rows of w_o.",
        ),
        Mistake(
            lambda heads, w_o: _mixed(heads, w_o) / len(heads),
            "You take the mean over the heads. What they say is added up.",
        ),
        Mistake(
            lambda heads, w_o: heads.sum(0) @ w_o[: heads.size(-1)],
            "You add the heads up before they are mixed. Each has rows of w_o of its own, so it can write elsewhere.",
        ),
    ),
)


def _flops(n: int, m: int, d: int, h: int, d_k: int) -> int:
    return 4 * (n + m) * d * h * d_k + 4 * n * m * h * d_k


ATTENTION_FLOPS = Exercise(
    name="attention-flops",
    task=(
        "Return the operations of a multi-head layer in which n positions of width d read m others, with h heads of "
        "d_k; a multiplication and an addition are two, and biases are left out."
    ),
    reference=_flops,
    cases=lambda: [(3, 3, 4, 2, 2), (100, 100, 512, 8, 64), (1, 50, 64, 4, 16), (7, 5, 6, 3, 4)],
    mistakes=(
        Mistake(
            lambda n, m, d, h, d_k: _flops(n, m, d, h, d_k) // 2,
            "You count a multiplication and its addition as one.",
        ),
        Mistake(
            lambda n, m, d, h, d_k: 8 * n * d * h * d_k + 4 * n * m * h * d_k,
            "Keys and values are made from the m positions that are read, not from the n that read.",
        ),
        Mistake(
            lambda n, m, d, h, d_k: _flops(n, m, d, h, d_k) - 2 * n * d * h * d_k,
            "Three projections are there. What the heads found passes through a fourth matrix.",
        ),
        Mistake(
            lambda n, m, d, h, d_k: _flops(n, m, d, h, d_k) - 2 * n * m * h * d_k,
            "The scores are there. The weighted sum of the values costs as much again.",
        ),
        Mistake(
            lambda n, m, d, h, d_k: 4 * (n + m) * d * d + 4 * n * m * d,
            "You took for granted that h d_k is d. That is usual, and not necessary.",
        ),
    ),
)


EXERCISES = (
    SCORE_VARIANCE,
    SOFTMAX_BACKWARD,
    QUERY_GRADIENT,
    SUM_OF_HEADS,
    ATTENTION_FLOPS,
)
