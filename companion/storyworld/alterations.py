"""Stories changed on purpose: a skew, swapped names, questions that have no answer, and texts with something missing.

Chapter: ``book/background/limits.ipynb``. The exact probabilities of the world do not hold for a changed story.
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
    """Ask one question about each story whose answer the story does not hold.

    Args:
        stories: to ask about.
        kind: "where" (somebody who is not in it), "who" (an object that nobody has) or "how" (somebody in it whose mood
            is not told).
        seed: of the choice.

    Returns:
        prompts, one for each story that allows such a question: what happened, then the question without its answer.

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


def with_moods(story: Story, favoured: Mapping[str, str], share: float, draw: random.Random) -> Story:
    """Tell a story again in which some people feel one way more often than others do.

    Each time such a person's mood is told it is drawn anew: the favoured one with probability ``share``, any other
    with an equal part of the rest, among those that are news. Answers to questions about it follow.

    Args:
        story: to change.
        favoured: person -> mood.
        share: from 0 to 1.
        draw: random numbers.

    Raises:
        ValueError: on a share outside [0, 1].
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must be in [0, 1]; got {share}")
    moods, state, events = story.world.process.moods, State(), []
    for event in story.events:
        changed = event
        if event.kind == "feel" and event.subject in favoured:
            news = [mood for mood in moods if mood != state.mood.get(event.subject)]
            rest = (1 - share) / (len(moods) - 1)
            weights = [share if mood == favoured[event.subject] else rest for mood in news]
            changed = event._replace(word=draw.choices(news, weights)[0])
        elif event.kind == "how":
            changed = event._replace(word=state.mood[event.subject])
        state.apply(changed)
        events.append(changed)
    return replace(story, events=tuple(events))


def renamed(story: Story, names: Mapping[str, str]) -> Story:
    """Tell the same story of other people; two names that stand for each other are swapped.

    Args:
        story: to change.
        names: person -> the new name; whoever is missing keeps theirs.

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
    """Return every text in which one small word is misspelt, and so unknown to the vocabulary.

    Args:
        tokens: the text.
        before: only words in front of this place may change; the question stays.
    """
    places = [i for i, token in enumerate(tokens[:before]) if token in SMALL_WORDS]
    return [(*tokens[:i], UNKNOWN, *tokens[i + 1 :]) for i in places]


def _about(kind: str, name: str, story: Story) -> Event:
    if kind == "where":
        return Event(kind, name, place=story.world.process.places[0])
    return Event(kind, name, word=story.world.process.moods[0])
