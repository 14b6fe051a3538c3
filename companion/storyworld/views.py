"""Labelled views that are not classification: tags, questions with answers, summaries, facts, translations.

Chapter: ``book/concepts/storyworld.ipynb``.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from companion.storyworld.language import say, tagged
from companion.storyworld.state import QUESTIONS, Event, State
from companion.storyworld.world import Story

ENTITIES = {"subject": "PERSON", "other": "PERSON", "place": "PLACE", "object": "OBJECT", "word": "MOOD"}
ROLES = {
    ("be", "subject"): "STAYER",
    ("go", "subject"): "MOVER",
    ("take", "subject"): "TAKER",
    ("give", "subject"): "GIVER",
    ("give", "other"): "RECEIVER",
    ("get", "subject"): "RECEIVER",
    ("get", "other"): "GIVER",
    ("feel", "subject"): "FEELER",
}


def tags(story: Story, kind: str = "entity") -> list[tuple[str, str]]:
    """Pair each token of what happened with its tag, in the BIO scheme: "B-PERSON", "O".

    Entities are known from the word alone; roles are not: *Tom* gives in one sentence and is given in the next.

    Args:
        story: to tag.
        kind: "entity" (PERSON, PLACE, OBJECT, MOOD) or "role" (what each person does).

    Raises:
        ValueError: on another kind.
    """
    if kind not in ("entity", "role"):
        raise ValueError(f"kind must be entity or role; got {kind!r}")
    pairs = []
    for event in story.statements:
        for token, name in tagged(event, story.world.language):
            tag = ENTITIES.get(name) if kind == "entity" else ROLES.get((event.kind, name))
            pairs.append((token, f"B-{tag}" if tag else "O"))
    return pairs


@dataclass(frozen=True)
class QuestionAboutText:
    """A question about a text."""

    context: tuple[str, ...]
    question: tuple[str, ...]
    answer: tuple[str, ...]
    kind: str


def questions(story: Story) -> Iterator[QuestionAboutText]:
    """Every question that can be asked of a story, with its answer."""
    language = story.world.language
    for kind in QUESTIONS:
        for _, event in story.world.process.questions_of(story.end, kind):
            sentence = say(event, language)
            words = 2 if kind == "find" else 1
            yield QuestionAboutText(told(story), sentence[: -words - 1], sentence[-words - 1 : -1], kind)


def summary(story: Story) -> tuple[str, ...]:
    """What is true at the end, said in as few sentences as it takes: who is where, who has what, how each one feels.

    It uses the sentences of the story itself; whoever has a thing is said to take it.
    """
    return tuple(token for event in summary_events(story.end) for token in say(event, story.world.language))


def summary_events(end: State) -> list[Event]:
    """Return the sentences of a :func:`summary`, in no language."""
    events = [Event("be", person, place=place) for person, place in end.place.items()]
    events += [Event("take", person, object=thing) for thing, person in end.holder.items()]
    events += [Event("feel", person, word=mood) for person, mood in end.mood.items()]
    return events


def facts(state: State) -> set[tuple[str, str, str]]:
    """What is true, as triples (subject, relation, object): a small knowledge graph, in no language."""
    return (
        {(person, "is in", place) for person, place in state.place.items()}
        | {(person, "has", thing) for thing, person in state.holder.items()}
        | {(person, "feels", mood) for person, mood in state.mood.items()}
    )


def translations(stories: Sequence[Story]) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Pairs of the same events in English and in Chinese, whatever the language of the stories."""
    return [(told(story.told_in("en")), told(story.told_in("zh"))) for story in stories]


def told(story: Story) -> tuple[str, ...]:
    """Return the tokens of what happened, without the questions."""
    return tuple(token for event in story.statements for token in say(event, story.world.language))


def sentences(story: Story) -> list[tuple[str, ...]]:
    """Return what happened, one sentence at a time, without the questions."""
    return [tuple(say(event, story.world.language)) for event in story.statements]
