"""A corpus whose true distribution is known: short stories from a small simulated world, in English and Chinese.

People are in places, move, take things, give them away and have moods; questions follow, with their answers. The world
knows the exact probability of each token given those before it, so the entropy of its stories is known: a floor that no
model's cross-entropy can pass. Chapter: ``book/concepts/storyworld.ipynb``.
"""

from companion.storyworld.lexicon import GENRES
from companion.storyworld.rows import corpus, rows, story_batches
from companion.storyworld.state import QUESTIONS, STATEMENTS, Event, State
from companion.storyworld.world import VERSION, Story, World

__all__ = [
    "GENRES",
    "QUESTIONS",
    "STATEMENTS",
    "VERSION",
    "Event",
    "State",
    "Story",
    "World",
    "corpus",
    "rows",
    "story_batches",
]
