"""Stories changed on purpose: a skew, swapped names, questions that have no answer, and texts with something missing.

Chapter: ``book/concepts/limits.ipynb``. The exact probabilities of the world do not hold for a changed story.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

from companion.storyworld.language import UNKNOWN, say
from companion.storyworld.state import Event, State
from companion.storyworld.views import told
from companion.storyworld.world import Story

UNANSWERABLE = ("where", "who", "how")
SMALL_WORDS = ("the", "to", "in", ".")  # a text says the same when one of them is misspelt


def unanswerable(stories: Sequence[Story], kind: str, seed: int = 0) -> list[tuple[str, ...]]:
    """Prompts with an unanswerable question, one for each story that allows such a question.

    >>> from companion.storyworld import World
    >>> (prompt,) = unanswerable(World("tiny").stories(1), "who")
    >>> " ".join(prompt)
    'Tom is in the kitchen . Anna is in the kitchen . Who has the lamp'

    Args:
        stories: stories that the questions are about.
        kind: "where" (somebody who is not in it), "who" (an object that nobody has) or "how" (somebody in it whose mood
            is not told).
        seed: seed of the choice.

    Returns:
        tokens of what happened, then of the question without its answer.

    Raises:
        ValueError: on another kind.
    """
    if kind not in UNANSWERABLE:
        raise ValueError(f"kind must be one of {', '.join(UNANSWERABLE)}; got {kind!r}")
    draw = random.Random(seed)
    prompts = []
    for story in stories:
        end, process = story.end, story.world.process
        missing = {
            "where": [person for person in process.people if person not in end.place],
            "who": [thing for thing in process.objects if thing not in end.holder],
            "how": [person for person in end.place if person not in end.mood],
        }[kind]
        if missing:
            name = draw.choice(missing)
            asked = Event(kind, object=name, other=process.people[0]) if kind == "who" else _about(kind, name, story)
            prompts.append((*told(story), *say(asked, story.world.language)[:-2]))
    return prompts


def with_moods(story: Story, favoured: Mapping[str, str], probability: float, draw: random.Random) -> Story:
    """The story with a skew: some people feel one way more often than others do.

    Each mood of such a person is drawn anew: the favoured one with weight ``probability``, each other one with an equal
    part of the rest, among those that are news. Answers to questions about moods follow.

    >>> from companion.storyworld import World
    >>> story = World("tiny").stories(5)[4]
    >>> story.text
    'Tom is in the garden. Anna is in the kitchen. Anna feels sad. Tom goes to the kitchen. How is Anna? sad.'
    >>> with_moods(story, {"Anna": "happy"}, 1.0, random.Random(0)).text
    'Tom is in the garden. Anna is in the kitchen. Anna feels happy. Tom goes to the kitchen. How is Anna? happy.'

    Args:
        story: story to change.
        favoured: person -> mood.
        probability: weight of the favoured mood, from 0 to 1.
        draw: source of random numbers.

    Raises:
        ValueError: on a probability outside [0, 1].
    """
    if not 0 <= probability <= 1:
        raise ValueError(f"probability must be in [0, 1]; got {probability}")
    moods, state, events = story.world.process.moods, State(), []
    for event in story.events:
        changed = event
        if event.kind == "feel" and event.subject in favoured:
            news = [mood for mood in moods if mood != state.mood.get(event.subject)]
            rest = (1 - probability) / (len(moods) - 1)
            weights = [probability if mood == favoured[event.subject] else rest for mood in news]
            changed = event._replace(word=draw.choices(news, weights)[0])
        elif event.kind == "how":
            changed = event._replace(word=state.mood[event.subject])
        state.apply(changed)
        events.append(changed)
    return replace(story, events=tuple(events))


def renamed(story: Story, names: Mapping[str, str]) -> Story:
    """The same story of people with other names.

    >>> from companion.storyworld import World
    >>> renamed(World("tiny").stories(1)[0], {"Tom": "Anna", "Anna": "Tom"}).text
    'Anna is in the kitchen. Tom is in the kitchen. Can Anna see Tom? yes.'

    Args:
        story: story to change.
        names: person -> new name; whoever is missing keeps theirs.

    Raises:
        ValueError: when two people would have one name.
    """
    cast = [names.get(person, person) for person in story.end.place]
    if len(set(cast)) < len(cast):
        raise ValueError(f"two people would have one name: {', '.join(cast)}")
    changed = (
        event._replace(subject=names.get(event.subject, event.subject), other=names.get(event.other, event.other))
        for event in story.events
    )
    return replace(story, events=tuple(changed))


def misspellings(tokens: Sequence[str], before: int) -> list[tuple[str, ...]]:
    """All texts in which one small word is misspelt, and so unknown to the vocabulary.

    >>> misspellings(("Tom", "is", "in", "the", "park"), before=4)
    [('Tom', 'is', '[UNK]', 'the', 'park'), ('Tom', 'is', 'in', '[UNK]', 'park')]

    Args:
        tokens: tokens of the text.
        before: first position that may not change, such as the question's.
    """
    positions = [i for i, token in enumerate(tokens[:before]) if token in SMALL_WORDS]
    return [(*tokens[:i], UNKNOWN, *tokens[i + 1 :]) for i in positions]


def _about(kind: str, name: str, story: Story) -> Event:
    if kind == "where":
        return Event(kind, name, place=story.world.process.places[0])
    return Event(kind, name, word=story.world.process.moods[0])
