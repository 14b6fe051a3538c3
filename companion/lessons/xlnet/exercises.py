"""Exercises of ``book/algorithms/xlnet.ipynb``."""

import torch
import torch.nn.functional as F
from torch import Tensor

from companion.lessons.exercise_check import Exercise, Mistake
from companion.lessons.random_inputs import seeded
from companion.nn.attention import scaled_dot_product_attention
from companion.nn.masks import order_mask


def _orders() -> list[Tensor]:
    """Sequences of positions that are not their own inverse."""
    return [torch.tensor([2, 0, 1]), torch.tensor([3, 1, 4, 0, 2]), torch.tensor([1, 2, 3, 4, 5, 0])]


ORDER_RANKS = Exercise(
    name="order-ranks",
    task="From z (n,), the positions in the order in which they are predicted, return the rank (n,) of each position.",
    reference=lambda z: z.argsort(),
    cases=lambda: [(z,) for z in _orders()],
    mistakes=(
        Mistake(
            lambda z: z,
            "This is z itself: which position comes t-th. Wanted is the inverse: when does each position come?",
        ),
        Mistake(
            lambda z: z.argsort() + 1,
            "You count ranks from 1. The first to be predicted has rank 0.",
        ),
        Mistake(
            lambda z: z.argsort(descending=True),
            "Your ranks run backwards: the first of z should have the lowest rank.",
        ),
        Mistake(
            lambda z: torch.arange(len(z)),
            "These are the positions from left to right. z does not matter to them.",
        ),
    ),
)


def _masks(rank: Tensor) -> tuple[Tensor, Tensor]:
    return order_mask(rank, own=True), order_mask(rank)


ORDER_MASKS = Exercise(
    name="order-masks",
    task="From rank (n,), return the two masks (n, n) of booleans: the content stream's and the query stream's.",
    reference=_masks,
    cases=lambda: [(z.argsort(),) for z in _orders()],
    mistakes=(
        Mistake(
            lambda rank: (order_mask(rank, own=True), order_mask(rank, own=True)),
            "Your query stream sees its own position, where the answer stands.",
        ),
        Mistake(
            lambda rank: (order_mask(rank), order_mask(rank)),
            "Your content stream does not see its own token, so those that come later cannot read it from there.",
        ),
        Mistake(
            lambda rank: (order_mask(rank), order_mask(rank, own=True)),
            "You return the two in the other order: first the content stream's mask, then the query stream's.",
        ),
        Mistake(
            lambda rank: tuple(mask.T for mask in _masks(rank)),
            "Rows are queries and columns are keys: a row may see what comes *earlier* in the order.",
        ),
        Mistake(
            lambda rank: _masks(torch.arange(len(rank))),
            "You compare positions, so this is the mask from left to right. Compare ranks.",
        ),
    ),
)


def _step(h: Tensor, g: Tensor, rank: Tensor) -> tuple[Tensor, Tensor]:
    content, query = _masks(rank)
    return scaled_dot_product_attention(h, h, h, content)[0], scaled_dot_product_attention(g, h, h, query)[0]


def _step_variant(
    h: Tensor, g: Tensor, rank: Tensor, *, leaks: bool = False, reads_itself: bool = False, too_late: bool = False
) -> tuple[Tensor, Tensor]:
    new = _step(h, g, rank)[0]
    source = new if too_late else g if reads_itself else h
    return new, scaled_dot_product_attention(g, source, source, order_mask(rank, own=leaks))[0]


TWO_STREAM_STEP = Exercise(
    name="two-stream-step",
    task=(
        "From the content stream h (n, d), the query stream g (n, d) and rank (n,), return both streams after one "
        "step of attention without weights: queries, keys and values are the vectors themselves."
    ),
    reference=_step,
    cases=lambda: [(seeded(len(z), 4), seeded(len(z), 4, seed=1), z.argsort()) for z in _orders()],
    mistakes=(
        Mistake(
            lambda h, g, rank: _step_variant(h, g, rank, leaks=True),
            "Your query stream reads the content of its own position. Its mask must leave that out.",
        ),
        Mistake(
            lambda h, g, rank: _step_variant(h, g, rank, reads_itself=True),
            "Your query stream reads itself, where no word was ever put in. Keys and values are those of the contents.",
        ),
        Mistake(
            lambda h, g, rank: _step_variant(h, g, rank, too_late=True),
            "Your query stream reads the new contents. Both streams read the contents as they were before this step.",
        ),
        Mistake(
            lambda h, g, rank: (_step(g, g, rank)[0], _step(h, g, rank)[1]),
            "Your content stream starts from g. It reads itself: queries, keys and values are h.",
        ),
        Mistake(
            lambda h, g, rank: (
                scaled_dot_product_attention(h, h, h)[0],
                scaled_dot_product_attention(g, h, h, order_mask(rank))[0],
            ),
            "Your content stream sees everything. What a later step reads there would give the answer away.",
        ),
    ),
)


def _shift(scores: Tensor) -> Tensor:
    n = scores.size(0)
    place = torch.arange(n)
    return scores.gather(1, n - (place[:, None] - place))


RELATIVE_SHIFT = Exercise(
    name="relative-shift",
    task=(
        "From scores (n, 2n), whose row i holds the score of query i for the distances n, n - 1, …, 1 - n, return "
        "(n, n): the score of query i for key j, which is i - j positions before it."
    ),
    reference=_shift,
    cases=lambda: [(seeded(n, 2 * n),) for n in (2, 3, 5)],
    mistakes=(
        Mistake(
            lambda scores: scores[:, : len(scores)],
            "You take the same distances for each query. The key at j is one position further away from the next "
            "query.",
        ),
        Mistake(
            lambda scores: scores.gather(
                1, len(scores) + torch.arange(len(scores))[:, None] - torch.arange(len(scores))
            ),
            "The future and the past are exchanged: the columns run from the largest distance down.",
        ),
        Mistake(
            lambda scores: scores[:, len(scores) :],
            "Every query of yours begins at distance 0. Only the first query has key 0 at distance 0.",
        ),
        Mistake(
            lambda scores: scores.gather(
                1, len(scores) - 1 - (torch.arange(len(scores))[:, None] - torch.arange(len(scores)))
            ),
            "One off: the first column is the distance n, which no two positions have.",
        ),
    ),
)


def _last(rank: Tensor, k: int) -> Tensor:
    return rank >= len(rank) - max(1, len(rank) // k)


def _partial(logits: Tensor, ids: Tensor, rank: Tensor, k: int) -> Tensor:
    asked = _last(rank, k)
    return F.cross_entropy(logits[asked], ids[asked])


def _partial_cases() -> list[tuple[Tensor, Tensor, Tensor, int]]:
    cases = []
    for n, k, seed in ((7, 3, 0), (12, 6, 1), (5, 2, 2)):
        generator = torch.Generator().manual_seed(seed)
        rank = torch.randperm(n, generator=generator)
        cases.append((seeded(n, 9, seed=seed), torch.randint(9, (n,), generator=generator), rank, k))
    return cases


PARTIAL_PREDICTION = Exercise(
    name="partial-prediction",
    task=(
        "From the query stream's logits (n, vocab), ids (n,), rank (n,) and K, return the mean negative log-likelihood "
        "of the last n // K tokens of the order, and of at least one."
    ),
    reference=_partial,
    cases=_partial_cases,
    mistakes=(
        Mistake(
            lambda logits, ids, rank, k: F.cross_entropy(logits, ids),
            "You predict every token. The first in the order would have to be guessed from next to nothing.",
        ),
        Mistake(
            lambda logits, ids, rank, k: _partial(logits, ids, torch.arange(len(ids)), k),
            "You ask for the last tokens of the *text*. The last of the order are those of the highest ranks.",
        ),
        Mistake(
            lambda logits, ids, rank, k: _partial(logits, ids, len(ids) - 1 - rank, k),
            "You ask for the first of the order, which see the least.",
        ),
        Mistake(
            lambda logits, ids, rank, k: _partial(logits, ids, rank, k) * _last(rank, k).sum(),
            "You add up. The mean does not depend on how many tokens are predicted.",
        ),
        Mistake(
            lambda logits, ids, rank, k: _partial(logits, ids, rank, k) * _last(rank, k).sum() / len(ids),
            "You divide by all tokens of the text. Divide by those that are predicted.",
        ),
        Mistake(
            lambda logits, ids, rank, k: (
                F.cross_entropy(logits[_last(rank, k)][:-1], ids[_last(rank, k)][1:])
                if _last(rank, k).sum() > 1
                else _partial(logits, ids, rank, k)
            ),
            "You shift by one, as a GPT does. Here a position's logits are about the token of that very position.",
        ),
    ),
)


EXERCISES = (
    ORDER_RANKS,
    ORDER_MASKS,
    TWO_STREAM_STEP,
    RELATIVE_SHIFT,
    PARTIAL_PREDICTION,
)
