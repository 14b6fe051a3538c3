"""Probes for where a person is, at two kinds of tokens, with their controls.

Chapter: ``book/practice/interpretability.ipynb``.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from companion import zoo
from companion.lessons.interpretability.experiments.known import NUMBER, PLACES, WORLD, known, states, untrained
from companion.lessons.interpretability.experiments.pairs import where_pairs
from companion.metrics.probing import control_labels, linear_probe


class Site(NamedTuple):
    """Tokens at which a probe is asked where a person is.

    Attributes:
        ids: stories, (stories, longest).
        row: story of each token, (tokens,).
        position: its position in the row.
        label: number of the place among ``PLACES``.
        kind: type of the token for the control task: a person and a word near by.
    """

    ids: Tensor
    row: Tensor
    position: Tensor
    label: Tensor
    kind: Tensor


def full_stops(count: int, seed: str) -> Site:
    """Full stops of sentences that name no place: whoever keeps track knows where their subject is.

    >>> bool((full_stops(20, "doc").label >= 0).all())
    True
    """
    told = known(WORLD.stories(count, f"probe/{seed}"))
    told = told.where((told.place >= 0) & (told.word == NUMBER["."]))
    return Site(told.ids, told.row, told.position, _place(told.place), told.subject * len(NUMBER) + told.theme)


def questions(count: int, seed: str) -> Site:
    """Last tokens of *where* questions.

    >>> questions(20, "doc").label.shape == questions(20, "doc").kind.shape
    True
    """
    asked = where_pairs(count, int.from_bytes(seed.encode()) % 2**32)
    row = torch.arange(len(asked.ends))
    person, before = asked.clean[row, asked.ends], asked.clean[row, asked.ends - 4]  # … word . Where is person
    return Site(asked.clean, row, asked.ends, _place(asked.right), person * len(NUMBER) + before)


SITES: dict[str, Callable[[int, str], Site]] = {"full stop": full_stops, "question": questions}


def _place(words: Tensor) -> Tensor:
    """Numbers among ``PLACES`` of words of the vocabulary."""
    return (words[:, None] == PLACES).long().argmax(1)


def probed(learn: Tensor, test: Tensor, labels: tuple[Tensor, Tensor]) -> Tensor:
    """Held-out accuracy of a linear probe on the hidden states before the first block and after each, (blocks + 1,).

    Args:
        learn: states to fit the probe on, (blocks + 1, tokens, d_model).
        test: states to measure it on.
        labels: labels of both, the true ones or those of a control task.
    """
    scores = []
    for seen, unseen in zip(learn, test, strict=True):
        probe = linear_probe(seen, labels[0], len(PLACES))
        scores.append((probe(unseen).argmax(-1) == labels[1]).float().mean())
    return torch.stack(scores)


def probe_controls(site: str, seed: int, learn: int = 150, test: int = 80) -> dict[str, Tensor]:
    """Accuracy of probes at one of ``SITES``, by what is probed: the story GPT, and three controls.

    Args:
        site: one of ``SITES``.
        seed: of the stories, the control labels and the untrained model.
        learn: stories to fit on.
        test: stories to measure on.
    """
    gpt, _ = zoo.load("storyworld-en")
    known_to, new = SITES[site](learn, f"learn {seed}"), SITES[site](test, f"test {seed}")
    labels = torch.cat([known_to.label, new.label])
    types = torch.cat([known_to.kind, new.kind]).unique(return_inverse=True)[1]
    parts = [len(known_to.label), len(new.label)]
    true, control = (both.split(parts) for both in (labels, control_labels(types, labels, seed)))
    blank = untrained(gpt.config, seed)
    told = states(gpt, *known_to[:3]), states(gpt, *new[:3])
    empty = states(blank, *known_to[:3]), states(blank, *new[:3])
    commonest = (new.label == known_to.label.mode().values).float().mean()
    return {
        "trained": probed(*told, true),
        "control task": probed(*told, control),
        "untrained": probed(*empty, true),
        "commonest": commonest.expand(gpt.config.n_layers + 1),
    }
