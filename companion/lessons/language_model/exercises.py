"""Exercises of ``book/concepts/language_model.ipynb``."""

import itertools
import math
from collections import Counter

import torch
from torch import Tensor

from companion.lessons.exercise_check import Exercise, Mistake
from companion.lessons.random_inputs import seeded_tensors


def _ids(vocab_size: int, length: int, seed: int = 0) -> list[int]:
    return torch.randint(vocab_size, (length,), generator=torch.Generator().manual_seed(seed)).tolist()


def _log_probability(logits: Tensor, ids: Tensor) -> Tensor:
    return logits.log_softmax(-1)[:-1].gather(-1, ids[1:, None]).sum()


SENTENCE_PROBABILITY = Exercise(
    name="sentence-probability",
    task=(
        "From logits (length, vocab) and the ids (length,) that produced them, return the natural logarithm of the "
        "probability of all tokens after the first, given the first."
    ),
    reference=_log_probability,
    cases=lambda: [(*seeded_tensors((n, v)), torch.tensor(_ids(v, n))) for n, v in ((2, 4), (6, 5), (400, 9))],
    mistakes=(
        Mistake(
            lambda logits, ids: logits.log_softmax(-1)[:-1].gather(-1, ids[1:, None]).mean(),
            "That is the mean. The probability of all is a product over the tokens, so its logarithm is a sum.",
        ),
        Mistake(
            lambda logits, ids: logits.softmax(-1)[:-1].gather(-1, ids[1:, None]).prod(),
            "This is the probability itself. Of 400 tokens it is too small for the computer; return its logarithm.",
        ),
        Mistake(
            lambda logits, ids: logits.log_softmax(-1).gather(-1, ids[:, None]).sum(),
            "You ask each position for the token that it has just read. Row t scores token t + 1.",
        ),
        Mistake(
            lambda logits, ids: logits[:-1].gather(-1, ids[1:, None]).sum(),
            "You add up logits. They are scores; only a softmax over the vocabulary makes them probabilities.",
        ),
        Mistake(
            lambda logits, ids: -_log_probability(logits, ids),
            "The sign is turned round: the logarithm of a probability is never above 0.",
        ),
    ),
)


def _followers(text: list[int], history: list[int]) -> Counter[int]:
    n = len(history)
    return Counter(text[i + n] for i in range(len(text) - n) if text[i : i + n] == history)


def _add_k(text: list[int], history: list[int], vocab_size: int, k: float) -> Tensor:
    follows = _followers(text, history)
    counts = torch.tensor([float(follows[token]) for token in range(vocab_size)])
    return (counts + k) / (counts.sum() + k * vocab_size)


def _add_k_over(text: list[int], history: list[int], vocab_size: int, k: float, total: str) -> Tensor:
    follows = _followers(text, history)
    met = sum(text[i : i + len(history)] == history for i in range(len(text)))  # also at the text's very end
    totals = {"text": len(text) + k * vocab_size, "once": follows.total() + k, "met": met + k * vocab_size}
    return torch.tensor([follows[token] + k for token in range(vocab_size)]) / totals[total]


def _only_seen(text: list[int], history: list[int], vocab_size: int, k: float) -> Tensor:
    follows = _followers(text, history)
    counts = torch.tensor([follows[token] + k * (token in follows) for token in range(vocab_size)])
    return counts / counts.sum()


ADD_K = Exercise(
    name="add-k",
    task=(
        "From a text (a list of ids), a history (a list of ids), vocab_size and k, return the distribution "
        "(vocab_size,) of the token after that history, with k added to every count."
    ),
    reference=_add_k,
    cases=lambda: [
        ([0, 1, 2, 0, 1, 3, 0, 1, 2, 0, 1], [0, 1], 4, 1.0),
        (_ids(5, 80), [3], 5, 0.1),
        (_ids(4, 60, seed=1), [], 4, 0.5),
    ],
    mistakes=(
        Mistake(
            lambda text, history, vocab_size, k: _add_k_over(text, history, vocab_size, k, "once"),
            "Your numbers do not sum to 1: k was added to each of vocab_size counts, so their sum grew by more than k.",
        ),
        Mistake(
            lambda text, history, vocab_size, k: _add_k_over(text, history, vocab_size, k, "met"),
            "You divide by how often the history occurs. When the text ends with it, one occurrence has no follower.",
        ),
        Mistake(
            lambda text, history, vocab_size, k: _add_k_over(text, history, vocab_size, k, "text"),
            "You divide by the length of the text. Only the positions after the history count.",
        ),
        Mistake(
            _only_seen,
            "You add k only to tokens that did follow. The others are why anything is added at all.",
        ),
    ),
)


def _before(text: list[int], vocab_size: int) -> Tensor:
    pairs = set(itertools.pairwise(text))
    return torch.tensor([float(sum(b == token for _, b in pairs)) for token in range(vocab_size)])


def _continuation(text: list[int], vocab_size: int) -> Tensor:
    counts = _before(text, vocab_size)
    return counts / counts.sum()


def _frequency(text: list[int], vocab_size: int) -> Tensor:
    return torch.bincount(torch.tensor(text[1:]), minlength=vocab_size) / (len(text) - 1)


CONTINUATION = Exercise(
    name="continuation",
    task=(
        "From a text (a list of ids) and vocab_size, return Kneser and Ney's distribution (vocab_size,): each token's "
        "probability is proportional to the number of different tokens that stand right before it somewhere."
    ),
    reference=_continuation,
    cases=lambda: [([0, 1, 0, 1, 0, 1, 2, 3, 2, 0, 3], 4), (_ids(6, 40), 6), (_ids(9, 30, seed=2), 9)],
    mistakes=(
        Mistake(
            _frequency,
            "This is how often each token occurs. A token that occurs often, but always after the same one, should "
            "count once.",
        ),
        Mistake(
            lambda text, vocab_size: _continuation(text[::-1], vocab_size),
            "You count the different tokens that come after. What matters is in how many places a token can turn up: "
            "the different tokens before it.",
        ),
        Mistake(
            _before,
            "These are the counts. Divide them by the number of different pairs, and they sum to 1.",
        ),
        Mistake(
            lambda text, vocab_size: _before(text, vocab_size) / vocab_size,
            "You divide by the size of the vocabulary. That is not how many different pairs there are, so the sum is "
            "not 1.",
        ),
    ),
)


def _lstm(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    i, f, g, o = gates.chunk(4)
    cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
    return o.sigmoid() * cell.tanh(), cell


def _lstm_without(gates: Tensor, cell: Tensor, missing: str) -> tuple[Tensor, Tensor]:
    i, f, g, o = gates.chunk(4)
    keep = torch.ones_like(f) if missing == "forget gate" else f.sigmoid()
    new = g if missing == "tanh of g" else g.tanh()
    cell = keep * cell + i.sigmoid() * new
    return o.sigmoid() * (cell if missing == "tanh of cell" else cell.tanh()), cell


LSTM_STEP = Exercise(
    name="lstm-step",
    task=(
        "From gates (4 h,), the sums of i, f, g and o before any bend, and the cell (h,), return the pair: new state "
        "(h,), new cell (h,)."
    ),
    reference=_lstm,
    cases=lambda: [seeded_tensors((4 * h,), (h,)) for h in (1, 3, 8)],
    mistakes=(
        Mistake(
            lambda gates, cell: _lstm(gates[torch.arange(len(gates)).view(4, -1)[[1, 0, 2, 3]].flatten()], cell),
            "The gates i and f have changed places: i decides what is written, f what is kept.",
        ),
        Mistake(
            lambda gates, cell: _lstm_without(gates, cell, "forget gate"),
            "Your cell keeps everything, as in the model of 1997. The forget gate came three years later; use it.",
        ),
        Mistake(
            lambda gates, cell: _lstm_without(gates, cell, "tanh of g"),
            "What may be written, g, goes through a tanh first, so that one step adds at most 1.",
        ),
        Mistake(
            lambda gates, cell: _lstm_without(gates, cell, "tanh of cell"),
            "The cell is right. Before the gate o lets it out, it goes through a tanh.",
        ),
        Mistake(
            lambda gates, cell: _lstm(gates, cell)[::-1],
            "Both are right, in the other order: first the state, then the cell.",
        ),
    ),
)


def _padded_nlls() -> list[tuple[Tensor]]:
    (nats,) = seeded_tensors((4, 6))
    nats = nats.abs()
    for row, length in enumerate((6, 2, 3, 1)):
        nats[row, length:] = math.nan
    return [(nats,), (nats[:2],), (3 * nats[1:],)]


PERPLEXITY = Exercise(
    name="story-perplexity",
    task=(
        "From token NLLs (stories, length) in nats, NaN where a story has ended, return the perplexity over all tokens "
        "as a tensor without axes."
    ),
    reference=lambda nats: nats.nanmean().exp(),
    cases=_padded_nlls,
    mistakes=(
        Mistake(
            lambda nats: nats.exp().nanmean(),
            "You take the exponential of each NLL and then the mean. Take the mean in nats first: one token "
            "with a tiny probability would drown all others.",
        ),
        Mistake(
            lambda nats: nats.nanmean(1).mean().exp(),
            "You give each story the same weight, however short it is. The mean is over tokens.",
        ),
        Mistake(
            lambda nats: nats.nan_to_num(0.0).mean().exp(),
            "You count the padding after a story's end as tokens with a loss of 0.",
        ),
        Mistake(
            lambda nats: 2 ** nats.nanmean(),
            "The NLLs are in nats, so the base is e. With 2 they would have to be in bits.",
        ),
        Mistake(
            lambda nats: nats.nanmean(),
            "This is the cross-entropy. The perplexity is its exponential.",
        ),
    ),
)


EXERCISES = (
    SENTENCE_PROBABILITY,
    ADD_K,
    CONTINUATION,
    LSTM_STEP,
    PERPLEXITY,
)
