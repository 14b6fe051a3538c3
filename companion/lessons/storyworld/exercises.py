"""Exercises of ``book/concepts/storyworld.ipynb``."""

import math

import torch
from torch import Tensor

from companion.lessons.exercise_check import Exercise, Mistake


def _distribution(seed: int, *shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)).add(0.1).log().softmax(-1)


def _floor(log_probs: list[list[float]]) -> float:
    return -sum(map(sum, log_probs)) / sum(map(len, log_probs))


FLOOR = Exercise(
    name="story-floor",
    task="From the log-probabilities of each story's tokens (a list of lists), return the floor in nats per token.",
    reference=_floor,
    cases=lambda: [
        ([[-1.0, -2.0], [-0.5]],),
        ([[-0.1, -3.0, 0.0, -0.2], [-2.0], [-1.0, -1.5]],),
        ([[-0.7] * 9, [-2.0, -0.3]],),
    ],
    mistakes=(
        Mistake(
            lambda log_probs: sum(sum(s) / len(s) for s in log_probs) / -len(log_probs),
            "You average each story first. Then a token of a short story weighs more than one of a long story.",
        ),
        Mistake(
            lambda log_probs: sum(map(sum, log_probs)) / sum(map(len, log_probs)),
            "Nearly: surprisal is never negative, and a log-probability is never positive.",
        ),
        Mistake(
            lambda log_probs: -sum(map(sum, log_probs)) / len(log_probs),
            "That is nats per story. How many tokens do the stories have together?",
        ),
        Mistake(
            lambda log_probs: _floor(log_probs) / math.log(2),
            "These are bits. The log-probabilities are natural logarithms already; leave them as they are.",
        ),
        Mistake(
            lambda log_probs: (
                -math.log(sum(math.exp(p) for s in log_probs for p in s) / sum(len(s) for s in log_probs))
            ),
            "You average probabilities and take the logarithm last. Surprisal is averaged, not probability.",
        ),
    ),
)


def _posterior(prior: Tensor, likelihood: Tensor) -> Tensor:
    joint = prior * likelihood
    return joint / joint.sum()


POSTERIOR = Exercise(
    name="genre-posterior",
    task="From p(genre) and p(sentence | genre), both (genres,), return p(genre | sentence), (genres,).",
    reference=_posterior,
    cases=lambda: [
        (torch.tensor([0.25, 0.25, 0.25, 0.25]), torch.tensor([0.36, 0.05, 0.05, 0.05])),
        (torch.tensor([0.9, 0.1]), torch.tensor([0.01, 0.5])),
        (_distribution(1, 3), torch.tensor([0.2, 0.2, 0.6])),
    ],
    mistakes=(
        Mistake(
            lambda prior, likelihood: prior * likelihood,
            "That is p(genre, sentence). It sums to p(sentence), not to 1.",
        ),
        Mistake(
            lambda prior, likelihood: likelihood / likelihood.sum(),
            "You forgot what you believed before the sentence: a genre that was ruled out stays ruled out.",
        ),
        Mistake(
            lambda prior, likelihood: (prior + likelihood) / (prior + likelihood).sum(),
            "You add belief and evidence. A genre under which the sentence is impossible would keep its probability.",
        ),
        Mistake(
            lambda prior, likelihood: (prior * likelihood).softmax(-1),
            "These are probabilities, not logits: divide by their sum.",
        ),
    ),
)


def _mixture(genres: Tensor, by_genre: Tensor) -> Tensor:
    return genres @ by_genre


MIXTURE = Exercise(
    name="next-token-mixture",
    task="From p(genre | prefix) (genres,) and p(token | prefix, genre) (genres, vocab), return p(token | prefix).",
    reference=_mixture,
    cases=lambda: [
        (_distribution(2, 4), _distribution(3, 4, 6)),
        (torch.tensor([0.95, 0.05]), torch.tensor([[0.9, 0.1, 0.0], [0.0, 0.1, 0.9]])),
        (_distribution(4, 3), _distribution(5, 3, 3)),
    ],
    mistakes=(
        Mistake(
            lambda genres, by_genre: by_genre.mean(0),
            "You weigh all genres alike; the prefix says that some are likelier.",
        ),
        Mistake(
            lambda genres, by_genre: by_genre[genres.argmax()],
            "You settle on the likeliest genre. The others are not impossible, and a surprise would cost you dearly.",
        ),
        Mistake(
            lambda genres, by_genre: (genres[:, None] * by_genre.log()).sum(0).exp(),
            "You average logarithms. Probabilities of cases that exclude each other are added.",
        ),
        Mistake(
            lambda genres, by_genre: genres[:, None] * by_genre,
            "That is p(token, genre | prefix), one row a genre. Nobody tells the reader the genre: sum it out.",
        ),
    ),
)


def _token_probability(
    sentences: list[tuple[str, ...]], weights: list[float], said: tuple[str, ...], token: str
) -> float:
    begun = [(s, w) for s, w in zip(sentences, weights, strict=True) if s[: len(said)] == said]
    return sum(w for s, w in begun if s[len(said)] == token) / sum(w for _, w in begun)


_SENTENCES = [
    ("Tom", "goes", "home"),
    ("Tom", "takes", "tea"),
    ("Tom", "takes", "cake"),
    ("Anna", "takes", "tea"),
    ("Anna", "goes", "home"),
]
_WEIGHTS = [0.4, 0.1, 0.1, 0.15, 0.25]

TOKEN = Exercise(
    name="token-from-sentences",
    task=(
        "From whole sentences (tuples of words), their probabilities, the words said so far (a tuple) and one more "
        "word, return the probability that this word comes next."
    ),
    reference=_token_probability,
    cases=lambda: [
        (_SENTENCES, _WEIGHTS, (), "Tom"),
        (_SENTENCES, _WEIGHTS, ("Tom",), "takes"),
        (_SENTENCES, _WEIGHTS, ("Tom", "takes"), "tea"),
        (_SENTENCES, _WEIGHTS, ("Anna",), "goes"),
    ],
    mistakes=(
        Mistake(
            lambda sentences, weights, said, token: sum(
                w for s, w in zip(sentences, weights, strict=True) if s[: len(said) + 1] == (*said, token)
            ),
            "That is the probability of beginning like this *and* going on so. Given what was said, divide by its own.",
        ),
        Mistake(
            lambda sentences, weights, said, token: sum(
                w for s, w in zip(sentences, weights, strict=True) if s[len(said)] == token
            ),
            "You count sentences that did not begin with what was said.",
        ),
        Mistake(
            lambda sentences, weights, said, token: (
                sum(s[: len(said) + 1] == (*said, token) for s in sentences)
                / sum(s[: len(said)] == said for s in sentences)
            ),
            "You count sentences as if all were equally likely. Use their probabilities.",
        ),
    ),
)


def _excess(model_nats: Tensor, exact_nats: Tensor) -> Tensor:
    return (model_nats - exact_nats).nanmean()


def _nats(seed: int) -> tuple[Tensor, Tensor]:
    exact = -_distribution(seed, 3, 5).log()
    exact[0, 4] = exact[2, 2:] = math.nan
    return exact + 0.1 * torch.rand(3, 5, generator=torch.Generator().manual_seed(seed + 1)), exact


EXCESS = Exercise(
    name="excess-nll",
    task=(
        "From the NLL of each token under a model and under the true process, both (stories, length) with NaN at "
        "padding, return the model's mean excess NLL."
    ),
    reference=_excess,
    cases=lambda: [_nats(6), _nats(8)],
    mistakes=(
        Mistake(
            lambda model_nats, exact_nats: (model_nats - exact_nats).mean(),
            "Padding is NaN, and a sum with NaN is NaN. Count only the tokens that are there.",
        ),
        Mistake(
            lambda model_nats, exact_nats: (exact_nats - model_nats).nanmean(),
            "The sign: a model that is worse than the truth should have an excess above zero.",
        ),
        Mistake(
            lambda model_nats, exact_nats: (model_nats - exact_nats).nanmean(1).mean(),
            "You average each story first. A token of a short story then weighs more than one of a long story.",
        ),
        Mistake(
            lambda model_nats, exact_nats: model_nats.nanmean() / exact_nats.nanmean(),
            "That is a ratio. The excess is a difference, in nats per token.",
        ),
        Mistake(
            lambda model_nats, exact_nats: (model_nats - exact_nats).nan_to_num().mean(),
            "You count padding as tokens with an excess of zero, which makes the model look better than it is.",
        ),
    ),
)


EXERCISES = (
    FLOOR,
    POSTERIOR,
    MIXTURE,
    TOKEN,
    EXCESS,
)
