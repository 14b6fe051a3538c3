"""Labelled views of a story other than classes: tags, questions with answers, summaries, facts, translations.

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
    """Tokens of what happened with their tags in the BIO scheme: "B-PERSON", "O".

    Entities are known from the word alone; roles are not: *Tom* gives in one sentence and is given in the next.

    >>> from companion.storyworld import World
    >>> tags(World("tiny").stories(1)[0])[:5]
    [('Tom', 'B-PERSON'), ('is', 'O'), ('in', 'O'), ('the', 'O'), ('kitchen', 'B-PLACE')]

    Args:
        story: story to tag.
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
    """A question about a text, with its answer.

    Attributes:
        context: tokens of what happened.
        question: tokens of the question.
        answer: tokens of the answer, one or two words.
        kind: kind of the question, one of ``QUESTIONS``.
    """

    context: tuple[str, ...]
    question: tuple[str, ...]
    answer: tuple[str, ...]
    kind: str


def questions(story: Story) -> Iterator[QuestionAboutText]:
    """All questions that can be asked about a story, with their answers.

    >>> from companion.storyworld import World
    >>> one = next(questions(World("tiny").stories(1)[0]))
    >>> one.question, one.answer, one.kind
    (('Where', 'is', 'Tom'), ('kitchen',), 'where')
    """
    language = story.world.language
    for kind in QUESTIONS:
        for event in story.world.process.questions_of(story.end, kind):
            sentence = say(event, language)
            words = 2 if kind == "find" else 1
            yield QuestionAboutText(told(story), sentence[: -words - 1], sentence[-words - 1 : -1], kind)


def summary(story: Story) -> tuple[str, ...]:
    """Summary of a story, one sentence per fact at the end: who is where, who has what, who feels how.

    It uses the sentences of the story itself; of whoever has a thing it says that they take it.

    >>> from companion.storyworld import World
    >>> " ".join(summary(World("tiny").stories(3)[2]))
    'Anna is in the garden . Tom is in the garden . Tom takes the lamp .'
    """
    return tuple(token for event in summary_events(story.end) for token in say(event, story.world.language))


def summary_events(end: State) -> list[Event]:
    """Events of a :func:`summary`, in no language."""
    events = [Event("be", person, place=place) for person, place in end.place.items()]
    events += [Event("take", person, object=thing) for thing, person in end.holder.items()]
    events += [Event("feel", person, word=mood) for person, mood in end.mood.items()]
    return events


def facts(state: State) -> set[tuple[str, str, str]]:
    """Facts of a state as triples (subject, relation, object): a small knowledge graph, in no language.

    >>> sorted(facts(State(place={"Tom": "park"}, holder={"key": "Tom"})))
    [('Tom', 'has', 'key'), ('Tom', 'is in', 'park')]
    """
    return (
        {(person, "is in", place) for person, place in state.place.items()}
        | {(person, "has", thing) for thing, person in state.holder.items()}
        | {(person, "feels", mood) for person, mood in state.mood.items()}
    )


def translations(stories: Sequence[Story]) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Translation pairs, English and Chinese, of what happened, whatever the language of the stories.

    >>> from companion.storyworld import World
    >>> [(english, chinese)] = translations(World("tiny").stories(1))
    >>> english[:6], chinese[:4]
    (('Tom', 'is', 'in', 'the', 'kitchen', '.'), ('汤姆', '在', '厨房', '。'))
    """
    return [(told(story.told_in("en")), told(story.told_in("zh"))) for story in stories]


def alignment(story: Story, source: str = "en", target: str = "zh") -> list[tuple[int, int]]:
    """Word alignment of a story and its translation: names, places, objects and moods.

    >>> from companion.storyworld import World
    >>> alignment(World("tiny").stories(1)[0])[:3]  # Tom is in the kitchen: 汤姆 在 厨房
    [(0, 0), (2, 4), (4, 6)]

    Args:
        story: story in either language.
        source: language of the source.
        target: language of the target.

    Returns:
        pairs (position in the target, position in the source), counted from 0 in :func:`told` of each.
    """
    pairs_, starts = [], (0, 0)
    for event in story.statements:
        written, read = tagged(event, target), tagged(event, source)
        where = {field: position for position, (_, field) in enumerate(read) if field}
        pairs_ += [(starts[0] + i, starts[1] + where[field]) for i, (_, field) in enumerate(written) if field]
        starts = starts[0] + len(written), starts[1] + len(read)
    return pairs_


def told(story: Story) -> tuple[str, ...]:
    """Tokens of what happened, without the questions.

    >>> from companion.storyworld import World
    >>> " ".join(told(World("tiny").stories(1)[0]))
    'Tom is in the kitchen . Anna is in the kitchen .'
    """
    return tuple(token for event in story.statements for token in say(event, story.world.language))


def sentences(story: Story) -> list[tuple[str, ...]]:
    """Tokens of what happened, one sentence at a time, without the questions.

    >>> from companion.storyworld import World
    >>> [" ".join(sentence) for sentence in sentences(World("tiny").stories(1)[0])]
    ['Tom is in the kitchen .', 'Anna is in the kitchen .']
    """
    return [tuple(say(event, story.world.language)) for event in story.statements]
