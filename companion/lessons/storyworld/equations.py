"""Equations of ``book/concepts/storyworld.ipynb``."""

import math
from functools import cache
from typing import Any

import torch
from torch import Generator, Tensor
from torch.distributions import Categorical, kl_divergence

from companion.lessons import by_torch
from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import distribution, tokens, whole
from companion.lessons.tiny_worlds import Table, texts
from companion.metrics.language_model import excess_nll, story_cross_entropy, token_nll
from companion.storyworld import World
from companion.storyworld.language import say
from companion.storyworld.state import State
from companion.storyworld.world import Story

BEFORE = Symbol("x_{<t}", "all tokens before it")
TOKEN = Symbol("x_t", "token $t$ of the story, counted from 1")


@cache
def _world() -> World:
    return World("tiny")


def _given_genre(story: Story) -> tuple[list[str], Tensor]:
    """Return a story's tokens and ``p(x_t | x_<t, genre)``, (tokens, genres), read off the process itself."""
    state, words, rows = State(), [], []
    for event in story.events:
        outcomes, chances = story.world.process.outcomes(state)
        said, left = [say(outcome, "en") for outcome in outcomes], list(range(len(outcomes)))
        for position, word in enumerate(say(event, "en")):
            before = chances[left].sum(0)
            left = [k for k in left if said[k][position] == word]
            words.append(word)
            rows.append(torch.from_numpy(chances[left].sum(0) / before))
        state.apply(event)
    return words, torch.stack(rows)


def _told(g: Generator) -> dict[str, Any]:
    words, chances = _given_genre(_world().stories(1, seed=whole(g, 0, 10**6))[0])
    return {"words": words, "chances": chances}


def _mixture_by_hand(words: list[str], chances: Tensor) -> tuple[Tensor, Tensor]:
    genres = chances.size(1)
    belief, told = [1 / genres] * genres, []  # p(g | nothing read)
    for t in range(len(words)):
        p = sum(belief[g] * float(chances[t, g]) for g in range(genres))
        belief = [belief[g] * float(chances[t, g]) / p for g in range(genres)]
        told.append(p)
    return torch.tensor(told), torch.tensor(belief)


def _mixture_companion(words: list[str], chances: Tensor) -> tuple[Tensor, Tensor]:
    reader = _world().reader()
    told = [math.exp(reader.read(word)) for word in words]
    return torch.tensor(told), torch.from_numpy(reader.genres)


def _mixture_torch(words: list[str], chances: Tensor) -> tuple[Tensor, Tensor]:
    of_story = chances.log().cumsum(0)  # log p(x_1 ... x_t | g)
    evidence = torch.cat([torch.zeros(1), of_story.logsumexp(1) - math.log(chances.size(1))])
    return evidence.diff().exp(), torch.softmax(of_story[-1], dim=0)


def _two_processes(g: Generator) -> dict[str, Any]:
    times = tokens(g, 4, 8) + 1  # how often each text of three tokens comes, so that p is known exactly
    return {"times": times, "p": (times / times.sum()).view(2, 2, 2), "q": distribution(g, 8).view(2, 2, 2)}


def _floor_by_hand(times: Tensor, p: Tensor, q: Tensor) -> tuple[float, float, float]:
    loss = entropy = gap = 0.0
    for x in texts(2, 3):
        for t in range(3):  # a mean over the stories of p, and over their tokens
            p_t, q_t = (float(r[x[: t + 1]].sum() / r[x[:t]].sum()) for r in (p, q))
            loss -= float(p[x]) * math.log(q_t) / 3
            entropy -= float(p[x]) * math.log(p_t) / 3
            gap += float(p[x]) * math.log(p_t / q_t) / 3
    return loss, entropy + gap, gap


def _floor_companion(times: Tensor, p: Tensor, q: Tensor) -> tuple[float, float, float]:
    told = torch.tensor(texts(2, 3)).repeat_interleave(times, 0)
    rows = torch.cat([torch.zeros(len(told), 1).long(), told], dim=1)
    exact = (-token_nll(Table(p), rows)).tolist()
    floor, gap = story_cross_entropy(Table(p), rows).value, excess_nll(Table(q), rows, exact).value
    return story_cross_entropy(Table(q), rows).value, floor + gap, gap


def _floor_torch(times: Tensor, p: Tensor, q: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    of_p, of_q = Categorical(p.flatten()), Categorical(q.flatten())
    loss = -(of_p.probs * by_torch.log_prob(of_q.logits, torch.arange(8))).sum() / 3
    gap = kl_divergence(of_p, of_q) / 3
    return loss, by_torch.entropy(of_p.probs) / 3 + gap, gap


EQUATIONS = (
    Equation(
        label="eq-story-mixture",
        symbols=(
            TOKEN,
            BEFORE,
            Symbol("g", "a genre, one of four"),
            Symbol("p(g \\mid x_{<t})", "prior: probability of genre $g$ before token $t$"),
            Symbol("p(g \\mid x_{\\le t})", "posterior: probability of genre $g$ after it"),
        ),
        draw=_told,
        by_hand=_mixture_by_hand,
        companion=_mixture_companion,
        library=_mixture_torch,
    ),
    Equation(
        label="eq-story-floor",
        symbols=(
            Symbol(r"\mathbb{E}_p", "expectation over the stories of the process, and mean over their tokens"),
            Symbol("p", "probability under the true process"),
            Symbol("q", "probability under the model"),
            TOKEN,
            BEFORE,
        ),
        draw=_two_processes,
        by_hand=_floor_by_hand,
        companion=_floor_companion,
        library=_floor_torch,
    ),
)
