"""Stories as tensors: one story per row, and endless batches. Chapter: ``book/concepts/storyworld.ipynb``."""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from companion.data.batch import IGNORED
from companion.data.batching import POOL, by_length, check_batch_size
from companion.data.whole_files import write_whole
from companion.storyworld.world import VERSION, Story, World


def rows(stories: Sequence[Story]) -> Tensor:
    """Token ids of stories, ``<|endoftext|>`` first, ``IGNORED`` after the end: (stories, longest + 1).

    >>> rows(World("tiny").stories(1)).shape  # 19 tokens, after <|endoftext|>
    torch.Size([1, 20])

    Raises:
        ValueError: when there is no story.
    """
    if not stories:
        raise ValueError("there is no story to lay out")
    number = {token: i for i, token in enumerate(stories[0].world.vocabulary)}
    numbered = [torch.tensor([0, *(number[token] for token in story.tokens)]) for story in stories]
    return torch.nn.utils.rnn.pad_sequence(numbered, batch_first=True, padding_value=IGNORED)


def corpus(world: World, n: int, seed: int = 0) -> Tensor:
    """The :func:`rows` of ``world.stories(n, seed)``, from a cache on disk.

    The file lies in ``$COMPANION_CACHE``, or else in ``~/.cache/companion``; its name holds the version, the size, the
    language, n and the seed. A folder that cannot be written, or a damaged file, costs time and nothing else.
    """
    folder = Path(os.environ.get("COMPANION_CACHE") or Path.home() / ".cache" / "companion")
    path = folder / f"storyworld-{VERSION}-{world.size_name}-{world.language}-{n}-{seed}.safetensors"
    try:
        return load_file(path)["rows"].long()
    except (OSError, SafetensorError, KeyError):
        told = rows(world.stories(n, seed))
    with suppress(OSError):
        write_whole(path, lambda part: save_file({"rows": told.to(torch.int16)}, part))
    return told


def story_batches(world: World, batch_size: int, seed: int = 0) -> Iterator[Tensor]:
    """Batches of new stories of about the same length, without end.

    >>> len(next(story_batches(World("tiny"), batch_size=4)))
    4

    Args:
        world: world that tells the stories.
        batch_size: stories per batch.
        seed: seed of the stories and of the order of the batches.

    Yields:
        (batch_size, longest story in it + 1), as :func:`rows` lays them out.

    Raises:
        ValueError: when ``batch_size`` is below 1.
    """
    check_batch_size(batch_size)
    order = torch.Generator().manual_seed(seed)
    pool = 0
    while True:
        stories = world.stories(POOL * batch_size, seed=f"{seed}/{pool}")
        for batch in by_length([len(story.tokens) for story in stories], batch_size, order):
            yield rows([stories[i] for i in batch])
        pool += 1
