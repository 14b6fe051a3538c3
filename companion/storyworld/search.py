"""What a search among stories is asked with and tested on: facts put as questions, and stories of the very same words.

Chapter: ``book/algorithms/denoising.ipynb``.
"""

import itertools
from collections import Counter
from collections.abc import Iterator
from typing import Any

from companion.storyworld.lexicon import OBJECTS, PEOPLE, PLACES
from companion.storyworld.state import Event
from companion.storyworld.views import facts, questions, summary, told
from companion.storyworld.world import Story


def inquiry(story: Story) -> tuple[str, ...]:
    """Ask for what is true at the end, and answer: where each one is, who has what, how each one feels.

    It tells the same as :func:`companion.storyworld.views.summary`, in other words: *Where is Tom garden*.
    """
    stop = told(story)[-1]
    asked = [one for one in questions(story) if one.kind in ("where", "who", "how")]
    return tuple(token for one in asked for token in (*one.question, *one.answer, stop))


def mirrored(story: Story) -> Story | None:
    """Let two people, places or things of a story change roles, so that no word is said more or less often.

    The two are mentioned equally often, in the story as in its summary, and people who change roles share their
    pronoun. So story and mirror are the same bag of words, and so are their summaries; but something else is true.

    Returns:
        the mirror, or None when the story has no such two.
    """
    for one, other in _alike(story):
        turned = _exchanged(story, one, other)
        same_words = all(Counter(view(turned)) == Counter(view(story)) for view in (told, summary))
        if same_words and facts(turned.end) != facts(story.end):
            return turned
    return None


def _alike(story: Story) -> Iterator[tuple[str, str]]:
    """Pairs of people of one pronoun, of places, and of things that the story speaks of."""
    spoken = dict.fromkeys(name for event in story.statements for name in event[1:5])
    groups = [PLACES, OBJECTS, *({p for p, (_, pronoun) in PEOPLE.items() if pronoun == one} for one in ("he", "she"))]
    for group in groups:
        yield from itertools.combinations([name for name in spoken if name in group], 2)


def _exchanged(story: Story, one: str, other: str) -> Story:
    """The story with two names in each other's place; the fields 1 to 4 of an event hold names."""
    swap: dict[Any, Any] = {one: other, other: one}
    events = tuple(
        Event._make(swap.get(part, part) if 0 < i < 5 else part for i, part in enumerate(event))
        for event in story.events
    )
    return Story(story.world, events, story.genre)
