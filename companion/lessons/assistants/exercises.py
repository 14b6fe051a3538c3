"""Exercises of ``book/algorithms/assistants.ipynb``."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from companion.data.batch import IGNORED
from companion.lessons.exercise_check import Exercise, Mistake
from companion.losses.causal import completions
from companion.losses.group_relative import group_advantages

MOODS = ("happy", "sad", "calm", "angry")


def _centred(rewards: Tensor) -> Tensor:
    return rewards - rewards.mean(1, keepdim=True)


ADVANTAGES = Exercise(
    name="group-advantages",
    task=(
        "From rewards (groups, size), return the advantages (groups, size): each reward minus the mean of its row, "
        "divided by the row's standard deviation; 0 in a row whose rewards are all the same."
    ),
    reference=group_advantages,
    cases=lambda: [
        (torch.tensor([[1.0, 0.0, 0.0, 0.0]]),),
        (torch.tensor([[1.0, 0.0], [0.0, 0.0]]),),
        (torch.tensor([[3.0, 1.0, 2.0], [0.5, 0.5, 0.0]]),),
    ],
    mistakes=(
        Mistake(_centred, "You do not divide by the standard deviation of the row."),
        Mistake(
            lambda rewards: torch.nan_to_num(_centred(rewards) / rewards.std(1, keepdim=True)),
            "Yours divides by n - 1 inside the deviation. Here it is over all answers of the group, by n.",
        ),
        Mistake(
            lambda rewards: (rewards - rewards.mean()) / rewards.std(correction=0),
            "You compare with all prompts together. An answer competes with the answers to its own prompt.",
        ),
        Mistake(
            lambda rewards: _centred(rewards) / rewards.std(1, keepdim=True, correction=0),
            "Where all rewards of a row are the same, yours divides 0 by 0.",
        ),
    ),
)


def _targets(prompt: Sequence[int], answer: Sequence[int]) -> list[int]:
    found: list[int] = completions([prompt], [answer]).targets[0].tolist()
    return found


TARGETS = Exercise(
    name="answer-targets",
    task=(
        "From the lists `prompt` and `answer` of token ids, return the list of targets for the inputs "
        "`prompt + answer[:-1]`: at each position the next token where it belongs to the answer, -100 elsewhere."
    ),
    reference=_targets,
    cases=lambda: [([7, 8], [1, 2]), ([5], [3, 0]), ([4, 4, 9], [6])],
    mistakes=(
        Mistake(
            lambda prompt, answer: [IGNORED] * len(prompt) + list(answer[:-1]),
            "Yours asks each position for the token that it reads, not for the next one; and the end is never asked.",
        ),
        Mistake(
            lambda prompt, answer: [*prompt[1:], *answer],
            "The prompt's own tokens are targets in yours.",
        ),
        Mistake(
            lambda prompt, answer: [IGNORED] * len(prompt) + list(answer[1:]),
            "The first token of the answer is missing: the last position of the prompt predicts it.",
        ),
    ),
)


def _accepts(reply: Sequence[str], mood: str) -> bool:
    return list(reply[-3:]) == [mood, ".", "END"] and sum(word in MOODS for word in reply) == 1


CHECKER = Exercise(
    name="exact-checker",
    task=(
        "From the list `reply` of words and the right `mood`, return whether the reply is right: it ends with that "
        'mood, ".", "END", and names no mood besides (happy, sad, calm, angry). Other words may stand before.'
    ),
    reference=_accepts,
    cases=lambda: [
        (["happy", ".", "END"], "sad"),
        (["sad", ".", "END"], "sad"),
        (["Tom", "sad", ".", "END"], "sad"),
        (["happy", "sad", ".", "END"], "sad"),
        (["sad", ".", "Where", "is", "Tom"], "sad"),
        (["sad", "happy", ".", "END"], "sad"),
        ([], "sad"),
    ],
    mistakes=(
        Mistake(
            lambda reply, mood: mood in reply,
            "Yours accepts a reply that names every mood. That is the flawed reward.",
        ),
        Mistake(
            lambda reply, mood: list(reply[-3:]) == [mood, ".", "END"],
            "Yours accepts `happy sad . END`: two answers, of which one is right.",
        ),
        Mistake(
            lambda reply, mood: list(reply) == [mood, ".", "END"],
            "Yours forbids working. `Tom sad . END` is right as well.",
        ),
        Mistake(
            lambda reply, mood: [word for word in reply if word in MOODS] == [mood],
            "Yours accepts a reply that does not stop.",
        ),
    ),
)


def _suspect(reward: Sequence[float], exact: Sequence[float]) -> int | None:
    rounds = zip(reward, exact, strict=True)
    return next((i for i, (r, e) in enumerate(rounds) if r > reward[0] and e < exact[0]), None)


LOG = Exercise(
    name="hacked-round",
    task=(
        "From the lists `reward` and `exact`, one number per check of a run, return the index of the first check at "
        "which the reward is above its first value while the exact score is below its own; None if there is none."
    ),
    reference=_suspect,
    cases=lambda: [
        ([0.5, 0.6, 0.7, 0.9], [0.4, 0.5, 0.3, 0.1]),
        ([0.5, 0.6, 0.7], [0.4, 0.5, 0.6]),
        ([0.5, 0.4, 0.6], [0.5, 0.3, 0.2]),
    ],
    mistakes=(
        Mistake(
            lambda reward, exact: next((i for i, (r, e) in enumerate(zip(reward, exact, strict=True)) if r > e), None),
            "A flawed reward may be above the exact score from the beginning. It is the two directions that tell.",
        ),
        Mistake(
            lambda reward, exact: next((i for i, e in enumerate(exact) if e < exact[0]), None),
            "The exact score alone may fall for other reasons. The reward must have risen at the same check.",
        ),
        Mistake(
            lambda reward, exact: next((i for i, r in enumerate(reward) if r > reward[0]), None),
            "The reward rises in an honest run, too. The exact score must have fallen at the same check.",
        ),
    ),
)


def _majority(p: float, k: int) -> float:
    return sum(math.comb(k, i) * p**i * (1 - p) ** (k - i) for i in range(k // 2 + 1, k + 1))


def _needed(p: float, goal: float, most: int) -> int | None:
    return next((k for k in range(1, most + 1, 2) if _majority(p, k) >= goal), None)


VOTES = Exercise(
    name="votes-needed",
    task=(
        "A single answer is right with probability `p`, independently of the others. Return the smallest odd number of "
        "answers, at most `most`, for which more than half are right with probability `goal` or more; None if there is "
        "none."
    ),
    reference=_needed,
    cases=lambda: [(0.6, 0.7, 99), (0.8, 0.95, 99), (0.9, 0.9, 99), (0.45, 0.6, 99)],
    mistakes=(
        Mistake(
            lambda p, goal, most: next((k for k in range(1, most + 1, 2) if 1 - (1 - p) ** k >= goal), None),
            "You ask that at least one is right. A vote needs more than half.",
        ),
        Mistake(
            lambda p, goal, most: next((k for k in range(1, most + 1, 2) if p**k >= goal), None),
            "You ask that all answers are right. More than half will do.",
        ),
        Mistake(
            lambda p, goal, most: _needed(p, goal, most) or most,
            "Where a single answer is wrong more often than right, no number of votes gets there: return None.",
        ),
    ),
)

EXERCISES = (ADVANTAGES, TARGETS, CHECKER, LOG, VOTES)
