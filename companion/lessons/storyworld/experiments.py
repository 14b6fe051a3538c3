"""Where a story may end, by a model and by the world itself.

Chapter: ``book/concepts/storyworld.ipynb``; ``benchmarks/story_lengths.py`` trains models for it.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from companion.data.batch import fill_ignored
from companion.generation import Sampling, generate
from companion.models.gpt import GPT
from companion.storyworld import Story, rows


@torch.no_grad()
def end_probabilities(model: GPT, stories: Sequence[Story]) -> tuple[Tensor, Tensor]:
    """Probability that the story ends, at each place of the stories where it may: by the model, and the exact one.

    >>> from companion.models.gpt import GPTConfig
    >>> from companion.storyworld import World
    >>> world = World("tiny")
    >>> model = GPT(GPTConfig(len(world.vocabulary), 64, n_layers=1, n_heads=2, d_model=8))
    >>> said, exact = end_probabilities(model, world.stories(2))
    >>> said.shape == exact.shape
    True

    Args:
        model: of the stories' world and language.
        stories: none of them longer than the model's context.
    """
    device = next(model.parameters()).device
    laid = fill_ignored(rows(stories)).to(device)
    ends = torch.cat([model(part).softmax(-1)[..., 0].cpu() for part in laid.split(50)])  # (stories, length)
    said, exact = [], []
    for story, by_model in zip(stories, ends, strict=True):
        reader, end = story.world.reader(), story.world.vocabulary[0]
        for place, token in enumerate(story.tokens):
            chance = reader.next_probabilities().get(end, 0.0)
            if chance > 0:
                said.append(by_model[place])
                exact.append(chance)
            reader.read(token)
    return torch.stack(said), torch.tensor(exact)


def lengths(model: GPT, count: int, seed: int = 0) -> Tensor:
    """Number of tokens of each of ``count`` stories that the model tells, its end counted.

    Args:
        model: token 0 begins a story and ends it.
        count: number of stories.
        seed: of the draws.
    """
    device = next(model.parameters()).device
    begin = torch.zeros(count, 1, dtype=torch.long, device=device)
    told = generate(model, begin, model.config.context_length - 1, decoding=Sampling(seed=seed), stop=0)[:, 1:]
    return ((told == 0).cumsum(1) == 0).sum(1).cpu() + 1
