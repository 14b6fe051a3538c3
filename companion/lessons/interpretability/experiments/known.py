"""What is true at each token of stories, and what a model holds there.

Chapter: ``book/practice/interpretability.ipynb``.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from companion.data.batch import padded
from companion.models.gpt import GPT, GPTConfig
from companion.storyworld import State, Story, World
from companion.storyworld.language import say

WORLD = World()
NUMBER = {word: i for i, word in enumerate(WORLD.vocabulary)}
PLACES = torch.tensor([NUMBER[place] for place in WORLD.process.places])


class Known(NamedTuple):
    """Tokens of stories with what is true at each of them; -1 where a fact is not asked for.

    Attributes:
        ids: the stories, (stories, longest), zeros after the end.
        row: story of each token, (tokens,).
        position: its position in the row.
        word: its number in the vocabulary.
        subject: number of the person whom its sentence is about, from the second token of the sentence on.
        place: place of that person, in the sentences that name none: it must be remembered.
        theme: number of the object or mood of the sentence, -1 where it has none.
    """

    ids: Tensor
    row: Tensor
    position: Tensor
    word: Tensor
    subject: Tensor
    place: Tensor
    theme: Tensor

    def where(self, chosen: Tensor) -> "Known":
        """The tokens that a boolean (tokens,) chooses."""
        return self._replace(**{name: getattr(self, name)[chosen] for name in self._fields[1:]})


def known(stories: Sequence[Story]) -> Known:
    """What is true at each token of what happened in stories, their questions left out.

    >>> facts = known(WORLD.stories(20, "doc"))
    >>> bool((facts.place >= 0).any()), bool(facts.word.eq(facts.ids[facts.row, facts.position]).all())
    (True, True)
    """
    ids: list[list[int]] = []
    found: list[tuple[int, ...]] = []
    for row, story in enumerate(stories):
        state, words = State(), [0]
        for event in story.statements:
            state.apply(event)
            theme, remembered = event.object or event.word, event.kind not in ("be", "go")
            for number, word in enumerate(say(event, "en")):
                inside = number > 0
                subject = NUMBER[event.subject] if inside else -1
                place = NUMBER[state.place[event.subject]] if inside and remembered else -1
                found.append((row, len(words), NUMBER[word], subject, place, NUMBER[theme] if theme else -1))
                words.append(NUMBER[word])
        ids.append(words)
    return Known(padded(ids)[0], *torch.tensor(found).T)


@torch.no_grad()
def states(model: GPT, ids: Tensor, row: Tensor, position: Tensor) -> Tensor:
    """Hidden states of some tokens, before the first block and after each: (blocks + 1, tokens, d_model).

    Args:
        model: a model of stories.
        ids: (stories, longest).
        row: story of each token, (tokens,).
        position: its position in the row.
    """
    found: list[list[Tensor]] = [[] for _ in range(len(model.blocks) + 1)]
    first = model.blocks[0].register_forward_pre_hook(lambda module, inputs: found[0].append(inputs[0]))
    # capture() would also record all attention weights
    hooks = [block.register_forward_hook(_keep(after)) for block, after in zip(model.blocks, found[1:], strict=True)]
    try:
        for part in torch.split(ids, 128):
            model.hidden(part)
    finally:
        for hook in (first, *hooks):
            hook.remove()
    return torch.stack([torch.cat(parts)[row, position] for parts in found])


def _keep(parts: list[Tensor]) -> Callable[[nn.Module, Any, Tensor], None]:
    """A hook that appends a block's output."""
    return lambda module, inputs, output: parts.append(output)


@torch.no_grad()
def neurons(model: Any, ids: Tensor, row: Tensor, position: Tensor, layer: int) -> Tensor:
    """Activations inside the feed-forward network of a block of some tokens, (tokens, d_ff); as in :func:`states`."""
    found: list[Tensor] = []
    inside = model.blocks[layer].feed_forward.contract
    hook = inside.register_forward_pre_hook(lambda module, inputs: found.append(inputs[0]))
    try:
        for part in torch.split(ids, 128):
            model(part)
    finally:
        hook.remove()
    return torch.cat(found)[row, position]


def untrained(config: GPTConfig, seed: int) -> GPT:
    """A model of these sizes that has learned nothing."""
    torch.manual_seed(seed)
    return GPT(config).eval()
