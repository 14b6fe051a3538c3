"""Queries for a search among stories, in the words of the stories or in others, and hard negatives.

Chapter: ``book/algorithms/retrieval.ipynb``.
"""

import itertools
import random
from collections import Counter
from collections.abc import Iterator, Sequence

from companion.storyworld.language import CHINESE
from companion.storyworld.lexicon import OBJECTS, PEOPLE, PLACES
from companion.storyworld.state import Event
from companion.storyworld.views import facts, questions, summary, told
from companion.storyworld.world import Story


def inquiry(story: Story) -> tuple[str, ...]:
    """Query for a story: questions about its end with their answers, where each one is, who has what, who feels how.

    It says the same as :func:`companion.storyworld.views.summary`, in other sentences with the same names, places,
    objects and moods.

    >>> from companion.storyworld import World
    >>> " ".join(inquiry(World("tiny").stories(1)[0]))
    'Where is Tom kitchen . Where is Anna kitchen .'
    """
    stop = told(story)[-1]
    relevant = [one for one in questions(story) if one.kind in ("where", "who", "how")]
    return tuple(token for one in relevant for token in (*one.question, *one.answer, stop))


def code_switched(text: Sequence[str], probability: float, seed: int | str = 0) -> tuple[str, ...]:
    """Code-switched English text: each name, place, object and mood becomes Chinese with this probability.

    A word that occurs twice is switched both times or neither. What a seed switches at one probability it also switches
    at every higher one.

    >>> code_switched(("Who", "has", "the", "key", "Anna"), probability=1.0)
    ('Who', 'has', 'the', '钥匙', '安娜')

    Args:
        text: English tokens.
        probability: probability that a word is switched, 0 to 1.
        seed: seed of the random numbers.

    Raises:
        ValueError: when the probability is outside 0 to 1.
    """
    if not 0 <= probability <= 1:
        raise ValueError(f"probability must be 0 to 1; got {probability}")
    draw = random.Random(seed)
    drawn = {word: draw.random() for word in dict.fromkeys(text) if word in CHINESE}
    return tuple(CHINESE[word] if drawn.get(word, 1.0) < probability else word for word in text)


def mirrored(story: Story) -> Story | None:
    """Hard negative of a story: two of its people, places or things change roles, and no word count changes.

    The two are mentioned equally often, in the story as in its summary, and people who change roles share their
    pronoun. So story and mirror are the same bag of words, and so are their summaries; but other facts are true.

    >>> from companion.storyworld import World
    >>> story = World("tiny").stories(2)[1]
    >>> " ".join(told(story))
    'Anna is in the kitchen . Tom is in the garden . Anna takes the lamp . She feels happy .'
    >>> " ".join(told(mirrored(story)))
    'Anna is in the garden . Tom is in the kitchen . Anna takes the lamp . She feels happy .'

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
    """Pairs of people of one pronoun, of places, and of things that the story mentions."""
    mentioned = dict.fromkeys(name for e in story.statements for name in (e.subject, e.place, e.object, e.other))
    groups = [PLACES, OBJECTS, *({p for p, (_, pronoun) in PEOPLE.items() if pronoun == one} for one in ("he", "she"))]
    for group in groups:
        yield from itertools.combinations([name for name in mentioned if name in group], 2)


def _exchanged(story: Story, one: str, other: str) -> Story:
    """The story with two names swapped."""

    def swapped(name: str) -> str:
        return {one: other, other: one}.get(name, name)

    events = tuple(
        Event(e.kind, swapped(e.subject), swapped(e.place), swapped(e.object), swapped(e.other), e.word, e.pronoun)
        for e in story.events
    )
    return Story(story.world, events, story.genre)
