"""Exercises of ``book/concepts/attention.ipynb``."""

import math

import torch
from torch import Tensor

from companion.lessons.exercise_check import Exercise, Mistake
from companion.lessons.random_inputs import seeded, seeded_tensors
from companion.metrics.heads import sink_score
from companion.nn.attention import MultiHeadAttention, scaled_dot_product_attention
from companion.nn.masks import causal_mask


def _scores(query: Tensor, key: Tensor) -> Tensor:
    return query @ key.T / math.sqrt(query.size(-1))


SCALED_SCORES = Exercise(
    name="scaled-scores",
    task="From query (n, d_k) and key (m, d_k), return the scaled scores (n, m).",
    reference=_scores,
    cases=lambda: [seeded_tensors((n, d), (m, d)) for n, m, d in ((2, 3, 5), (4, 4, 16), (1, 6, 64))],
    mistakes=(
        Mistake(
            lambda query, key: query @ key.T,
            "These are bare dot products. Their spread grows with d_k; something must take that growth out.",
        ),
        Mistake(
            lambda query, key: query @ key.T / query.size(-1),
            "You divide by d_k, which is the variance of the scores. What brings their standard deviation to 1?",
        ),
        Mistake(
            lambda query, key: query @ key.T / math.sqrt(query.size(0)),
            "You scale by the number of queries. The spread of one score depends on how long one vector is.",
        ),
        Mistake(
            lambda query, key: key @ query.T / math.sqrt(query.size(-1)),
            "Your matrix lies on its side: one row should belong to one query, one column to one key.",
        ),
        Mistake(
            lambda query, key: query @ key.T * math.sqrt(query.size(-1)),
            "The factor is on the wrong side: you spread the scores further apart.",
        ),
    ),
)


def _naive_softmax(scores: Tensor, dim: int = -1) -> Tensor:
    return scores.exp() / scores.exp().sum(dim, keepdim=True)


SOFTMAX_ROWS = Exercise(
    name="softmax-rows",
    task="From scores (…, n, m), return the attention weights (…, n, m), also when a score is as large as 1000.",
    reference=lambda scores: scores.softmax(-1),
    cases=lambda: [
        seeded_tensors((3, 4)),
        seeded_tensors((2, 3, 5)),
        (torch.tensor([[1000.0, 999.0, 0.0], [0.0, 1.0, 2.0]]),),
    ],
    mistakes=(
        Mistake(
            _naive_softmax,
            "Right for small scores, but exp(1000) is infinite and inf / inf is no number. A softmax does not change "
            "when the same number is taken from all scores of a row: choose that number well.",
        ),
        Mistake(
            lambda scores: scores.softmax(-2),
            "Your columns sum to 1: the queries compete for a key. It is the keys that compete for a query.",
        ),
        Mistake(
            lambda scores: scores.flatten(-2).softmax(-1).view_as(scores),
            "Your whole matrix sums to 1. Each query has one unit of attention of its own to hand out.",
        ),
        Mistake(
            lambda scores: scores / scores.sum(-1, keepdim=True),
            "Your rows sum to 1, but a negative score gives a negative weight. Make the scores positive first.",
        ),
        Mistake(
            lambda scores: scores.sigmoid(),
            "You judge each key alone, so a row can sum to anything. The weights of a row must sum to 1.",
        ),
        Mistake(
            lambda scores: (scores - scores.amax(-1, keepdim=True)).exp(),
            "All weights are positive, but the rows do not sum to 1 yet.",
        ),
    ),
)

CAUSAL_MASK = Exercise(
    name="causal-mask",
    task="Return for n tokens the boolean mask (n, n): True where a query (row) may attend to a key (column).",
    reference=causal_mask,
    cases=lambda: [(1,), (2,), (5,)],
    mistakes=(
        Mistake(
            lambda n: torch.ones(n, n, dtype=torch.bool).tril(-1),
            "A position may read itself, and yours may not: the first one is left with nothing to read.",
        ),
        Mistake(
            lambda n: torch.ones(n, n, dtype=torch.bool).tril(1),
            "Each position sees one token too many: the very one that it will be asked to predict.",
        ),
        Mistake(
            lambda n: torch.ones(n, n, dtype=torch.bool).triu(),
            "Yours lets a position see what comes after it. Rows are queries, columns are keys.",
        ),
        Mistake(
            lambda n: torch.ones(n, n, dtype=torch.bool).triu(1),
            "This marks what is forbidden. In this book True means: may attend.",
        ),
        Mistake(
            lambda n: torch.ones(n, n).tril(),
            "The pattern is right but the entries are numbers, not booleans. Give torch.ones a dtype.",
        ),
        Mistake(
            lambda n: torch.full((n, n), -math.inf).triu(1),
            "This is what is added to the scores: 0 or minus infinity. Wanted is the boolean mask itself.",
        ),
    ),
)


def _attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    return scaled_dot_product_attention(query, key, value, mask)[0]


def _unchecked_attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    return _scores(query, key).masked_fill(~mask, -math.inf).softmax(-1) @ value


def _masked_cases() -> list[tuple[Tensor, ...]]:
    causal = causal_mask(4)
    padded = torch.tensor([[True, True, False], [True, False, False]])
    blind = torch.tensor([[True, False, True], [False, False, False]])  # the second query may read nothing
    return [
        (*seeded_tensors((4, 8), (4, 8), (4, 2)), causal),
        (*seeded_tensors((2, 4), (3, 4), (3, 4)), padded),
        (*seeded_tensors((2, 6), (3, 6), (3, 1)), blind),
    ]


MASKED_ATTENTION = Exercise(
    name="masked-attention",
    task=(
        "From query (n, d_k), key (m, d_k), value (m, d_v) and a boolean mask (n, m), return the output (n, d_v); "
        "a query that may attend to nothing gets zeros."
    ),
    reference=_attend,
    cases=_masked_cases,
    mistakes=(
        Mistake(
            lambda query, key, value, mask: (_scores(query, key).softmax(-1) * mask) @ value,
            "You strike keys out after the softmax. They have already got their weight, so the rows no longer sum "
            "to 1.",
        ),
        Mistake(
            lambda query, key, value, mask: (_scores(query, key) * mask).softmax(-1) @ value,
            "You give a forbidden key the score 0, but exp(0) is 1: it still gets a weight. Which score gets none?",
        ),
        Mistake(
            lambda query, key, value, mask: _scores(query, key).masked_fill(mask, -math.inf).softmax(-1) @ value,
            "Your mask is inside out: you forbid what is allowed. True means: may attend.",
        ),
        Mistake(
            _unchecked_attend,
            "Nearly: a query that may attend to nothing has only minus infinity in its row, and the softmax of that "
            "is not a number.",
        ),
        Mistake(
            lambda query, key, value, mask: _scores(query, key).softmax(-1) @ value,
            "The mask is never used.",
        ),
        Mistake(
            lambda query, key, value, mask: _attend(query * math.sqrt(query.size(-1)), key, value, mask),
            "The mask is right. The scores are not scaled.",
        ),
    ),
)


def _split(x: Tensor, n_heads: int) -> Tensor:
    return x.view(*x.shape[:2], n_heads, -1).transpose(1, 2)


SPLIT_HEADS = Exercise(
    name="split-heads",
    task="From x (batch, n, d) and n_heads, return (batch, n_heads, n, d / n_heads); head 0 has x's first columns.",
    reference=_split,
    cases=lambda: [(*seeded_tensors((b, n, d)), h) for b, n, d, h in ((2, 3, 8, 2), (1, 4, 8, 4), (3, 5, 6, 3))],
    mistakes=(
        Mistake(
            lambda x, n_heads: x.reshape(x.size(0), n_heads, x.size(1), -1),
            "The shape is right and the contents are not: a reshape fills the new axes in the old order, so your "
            "heads hold other positions' numbers. Split the last axis first, then move an axis.",
        ),
        Mistake(
            lambda x, n_heads: x.unflatten(-1, (n_heads, -1)),
            "The last axis is split well. The head axis must still move in front of the positions.",
        ),
        Mistake(
            lambda x, n_heads: x.unflatten(-1, (-1, n_heads)).permute(0, 3, 1, 2),
            "Each of your heads takes every n_heads-th column. A head's columns lie side by side.",
        ),
        Mistake(
            lambda x, n_heads: x.unflatten(-1, (n_heads, -1)).permute(2, 0, 1, 3),
            "You put the heads before the batch. The batch stays the first axis.",
        ),
    ),
)

ATTENTION_PARAMETERS = Exercise(
    name="attention-parameters",
    task="Return the number of parameters of a multi-head layer of width d_model with n_heads heads, biases included.",
    reference=lambda d_model, n_heads: sum(p.numel() for p in MultiHeadAttention(d_model, n_heads).parameters()),
    cases=lambda: [(8, 2), (12, 3), (64, 8)],
    mistakes=(
        Mistake(
            lambda d_model, n_heads: 4 * d_model**2,
            "The matrices are all there. Each of them also has a bias.",
        ),
        Mistake(
            lambda d_model, n_heads: 3 * d_model * (d_model + 1),
            "Queries, keys and values are counted. What mixes the heads' outputs at the end?",
        ),
        Mistake(
            lambda d_model, n_heads: n_heads * 4 * d_model * (d_model + 1),
            "You give every head matrices of full width. A head works in d_model / n_heads dimensions.",
        ),
        Mistake(
            lambda d_model, n_heads: 4 * n_heads * (d_model // n_heads) ** 2 + 4 * d_model,
            "Your heads read only their own slice of the input. Each head reads all d_model dimensions.",
        ),
    ),
)


def _maps(n: int, seed: int) -> Tensor:
    return seeded(n, n, seed=seed).masked_fill(~causal_mask(n), -math.inf).softmax(-1)


SINK = Exercise(
    name="sink-score",
    task="From the weights (n, n) of one causal head, return its sink score, a number.",
    reference=lambda weights: sink_score([weights[None, None]])[0, 0],
    cases=lambda: [(_maps(n, seed),) for n, seed in ((3, 0), (6, 1), (12, 2))],
    mistakes=(
        Mistake(
            lambda weights: weights[:, 0].mean(),
            "You count the first query too. It can attend to nothing but itself: its weight of 1 says nothing.",
        ),
        Mistake(
            lambda weights: weights[0, 1:].mean(),
            "That is the first row: what the first token attends to. Columns are keys, and the sink is a key.",
        ),
        Mistake(
            lambda weights: weights[1:, 0].sum(),
            "You add the weights up. The score is a mean over the queries, so that texts of any length compare.",
        ),
        Mistake(
            lambda weights: weights[1:].amax(-1).mean(),
            "That is the largest weight of each row, wherever it lies: how sharp the head is.",
        ),
    ),
)


EXERCISES = (
    SCALED_SCORES,
    SOFTMAX_ROWS,
    CAUSAL_MASK,
    MASKED_ATTENTION,
    SPLIT_HEADS,
    ATTENTION_PARAMETERS,
    SINK,
)
