"""Texts in pairs that differ in one word, and so in the right answer: stories, and sentences with two names.

Chapter: ``book/practice/interpretability.ipynb``.
"""

import random
from typing import NamedTuple

import torch
from tokenizers import Tokenizer
from torch import Tensor

from companion.data.batch import padded
from companion.lessons.interpretability.experiments.known import NUMBER, PLACES, WORLD
from companion.storyworld.quiz import ask, targets

ROLES = ("before", "exchanged token", "between", "last token")


class Pairs(NamedTuple):
    """Texts in pairs that differ in one token, and so in the right answer.

    Attributes:
        clean: ids (pairs, longest), zeros after the end.
        corrupted: the same with one token exchanged.
        ends: position that predicts the answer, (pairs,).
        changed: position of the exchanged token, (pairs,).
        right: answer to the clean text, (pairs,).
        wrong: answer to the corrupted one, (pairs,).
    """

    clean: Tensor
    corrupted: Tensor
    ends: Tensor
    changed: Tensor
    right: Tensor
    wrong: Tensor


def where_pairs(count: int, seed: int) -> Pairs:
    """Stories with a *where* question, and the same stories with the decisive place word exchanged for another.

    >>> pairs = where_pairs(5, seed=0)
    >>> bool((pairs.clean != pairs.corrupted).sum(1).eq(1).all())
    True
    """
    draw = random.Random(seed)
    questions = ask(WORLD.stories(count, f"interpretability/{seed}"), "where", seed)
    places = PLACES.tolist()
    clean = [[0, *(NUMBER[word] for word in q.prompt)] for q in questions]
    changed = [targets(q, "place")[0] for q in questions]
    right = [row[at] for row, at in zip(clean, changed, strict=True)]
    wrong = [draw.choice([place for place in places if place != one]) for one in right]
    ids, real = padded(clean)
    other = ids.clone()
    other[torch.arange(len(ids)), torch.tensor(changed)] = torch.tensor(wrong)
    return Pairs(ids, other, real.sum(1) - 1, torch.tensor(changed), torch.tensor(right), torch.tensor(wrong))


def roles(pairs: Pairs) -> Tensor:
    """Role of each position, an index into ``ROLES``, and -1 after the end: (pairs, longest).

    >>> pairs = where_pairs(1, seed=0)
    >>> [int((roles(pairs) == role).sum()) for role in (1, 3)]
    [1, 1]
    """
    position = torch.arange(pairs.clean.size(1))
    changed, ends = pairs.changed[:, None], pairs.ends[:, None]
    found = (position >= changed).long() + (position > changed) + (position >= ends)
    return found.masked_fill(position > ends, -1)


NAMES = (
    *("Mary", "John", "Tom", "Anna", "Paul", "Sarah", "James", "Alice"),
    *("Peter", "Emma", "Mark", "Laura", "David", "Susan", "Jack", "Lucy"),
)
TEMPLATES = (
    "When {} and {} went to the store, {} gave a drink to",
    "After {} and {} had lunch at the cafe, {} handed the bill to",
    "While {} and {} were working in the garden, {} passed a shovel to",
    "When {} and {} got home from school, {} read a story to",
)


def name_pairs(tokenizer: Tokenizer, seed: int) -> Pairs:
    """One sentence of each template with two names; in the corrupted text the other of the two gives.

    So the right answer of the clean text is the wrong one of the corrupted (symmetric token replacement).

    >>> from companion.data.tokenization import train_byte_bpe
    >>> words = train_byte_bpe([" " + " ".join(NAMES * 2)], 600)
    >>> name_pairs(words, seed=0).clean.shape[0]
    4

    Args:
        tokenizer: one that has each of ``NAMES`` after a space as one token.
        seed: of the draw of names; which of the two is named first is drawn, too.

    Raises:
        ValueError: when a name is not one token.
    """
    draw, clean, corrupted, right, wrong = random.Random(seed), [], [], [], []
    for template in TEMPLATES:
        receiver, giver = draw.sample(NAMES, 2)
        both = draw.sample((receiver, giver), 2)
        clean.append(tokenizer.encode(template.format(*both, giver)).ids)
        corrupted.append(tokenizer.encode(template.format(*both, receiver)).ids)
        right.append(_name(tokenizer, receiver))
        wrong.append(_name(tokenizer, giver))
    (ids, real), other = padded(clean), padded(corrupted)[0]
    changed = (ids != other).long().argmax(1)
    return Pairs(ids, other, real.sum(1) - 1, changed, torch.tensor(right), torch.tensor(wrong))


def _name(tokenizer: Tokenizer, name: str) -> int:
    ids = tokenizer.encode(f" {name}").ids
    if len(ids) != 1:
        raise ValueError(f"a name must be one token; {name} is {len(ids)}")
    return int(ids[0])
