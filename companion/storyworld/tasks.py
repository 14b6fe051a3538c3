"""Texts to classify, made from the stories, each with the label that the world knows.

Chapter: ``book/concepts/storyworld.ipynb``. :func:`split` keeps the stories of training, validation and test apart.
Where a label must hang on *who did what* and not on which words occur, both labels are asked of the same story, so the
words are the same by construction.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from companion.storyworld.language import say, tagged, word
from companion.storyworld.lexicon import POSITIVE
from companion.storyworld.state import Event
from companion.storyworld.views import told
from companion.storyworld.world import Story, World

SEPARATOR = "<|endoftext|>"


@dataclass(frozen=True)
class Example:
    """A text to classify.

    Attributes:
        tokens: of the text; two texts are divided by ``SEPARATOR``.
        label: the right answer.
        asked: so many tokens at the end are a question about the text.
    """

    tokens: tuple[str, ...]
    label: str
    asked: int = 0

    @property
    def parts(self) -> tuple[tuple[str, ...], ...]:
        """The text and its question, or the two texts, for a model that reads pairs; otherwise the text alone."""
        if self.asked:
            return self.tokens[: -self.asked], self.tokens[-self.asked :]
        if self.tokens.count(SEPARATOR) != 1:
            return (self.tokens,)
        middle = self.tokens.index(SEPARATOR)
        return self.tokens[:middle], self.tokens[middle + 1 :]


@dataclass(frozen=True)
class Split:
    """Three lists of stories with no story in two of them."""

    train: list[Story]
    validation: list[Story]
    test: list[Story]


def split(world: World, train: int, validation: int, test: int, seed: int = 0) -> Split:
    """Tell stories, each with other events, and deal them out.

    Raises:
        ValueError: when a number is negative, or the world has too few different stories.
    """
    if min(train, validation, test) < 0:
        raise ValueError(f"numbers of stories must be at least 0; got {train}, {validation} and {test}")
    wanted = train + validation + test
    told = world.stories(2 * wanted + 100, seed)
    different = list({story.events: story for story in told}.values())
    if len(different) < wanted:
        raise ValueError(
            f"{wanted} different stories were asked for; the {world.size_name} world gave {len(different)}"
        )
    return Split(
        different[:train],
        different[train : train + validation],
        different[train + validation : wanted],
    )


def genre(stories: Sequence[Story]) -> list[Example]:
    """The hidden kind of each story; it shows in the choice of places and things, so the words give it away."""
    return [Example(told(story), story.genre) for story in stories]


def sentiment(stories: Sequence[Story], asked: bool = True) -> list[Example]:
    """Whether somebody feels "positive" or "negative" at the end.

    Taken are stories in which one person feels well and another does not; both are asked about, so the two examples of
    a story differ in one name.

    Args:
        stories: to take from.
        asked: the text ends with the question (*How is Tom*); otherwise the name alone stands before it.
    """
    examples = []
    for story in stories:
        moods = story.end.mood.items()
        good = [person for person, mood in moods if mood in POSITIVE]
        bad = [person for person, mood in moods if mood not in POSITIVE]
        for label, people in (("positive", good), ("negative", bad)):
            if good and bad:
                event = Event("how", people[0], word=story.end.mood[people[0]])
                examples.append(_about(story, event, label, asked))
    return examples


def meeting(stories: Sequence[Story], asked: bool = True) -> list[Example]:
    """Whether two people are together at the end, "yes" or "no": it hangs on who moved where.

    Taken are stories in which one pair is together and another is not; both pairs are asked about.

    Args:
        stories: to take from.
        asked: the text ends with the question (*Can Tom see Anna*); otherwise the two names alone stand before it.
    """
    examples = []
    for story in stories:
        end = story.end
        pairs = [(a, b) for a in end.place for b in end.place if a < b]
        yes = [pair for pair in pairs if end.together(*pair)]
        no = [pair for pair in pairs if not end.together(*pair)]
        for label, asked_pairs in (("yes", yes), ("no", no)):
            if yes and no:
                a, b = asked_pairs[0]
                examples.append(_about(story, Event("see", a, other=b, word=label), label, asked))
    return examples


def giver(stories: Sequence[Story]) -> list[Example]:
    """Whether the person named first in the *last* sentence gave ("gives") or was given ("gets"): word order alone.

    The example is a lone sentence in the form that the other label would need turned round: *Tom gives Anna the ball*
    and *Anna gives Tom the ball*, asked of the same person.
    """
    examples = []
    for story in stories:
        for event in story.statements:
            if event.kind in ("give", "get") and not event.pronoun:
                language = story.world.language
                turned = event._replace(subject=event.other, other=event.subject)
                for given, label in ((event, event.kind), (turned, "get" if event.kind == "give" else "give")):
                    asked = word(event, "subject", language)
                    examples.append(Example((*say(given, language), asked), label + "s"))
    return examples


def next_sentence(stories: Sequence[Story], seed: int = 0) -> list[Example]:
    """Whether the second text follows the first ("next") or comes from another story ("other").

    The text is cut after the opening at a random place; one sentence follows, half of the time that of another story.
    """
    draw = random.Random(seed)
    rich = [story for story in stories if len(_events(story)) >= 1]
    examples = []
    for story in rich:
        cut = draw.randrange(len(_opening(story)), len(story.statements))
        label = draw.choice(("next", "other"))
        source = story if label == "next" else draw.choice([other for other in rich if other is not story])
        follows = story.statements[cut] if label == "next" else draw.choice(_events(source))
        language = story.world.language
        first = [token for event in story.statements[:cut] for token in say(event, language)]
        examples.append(Example((*first, SEPARATOR, *say(follows, language)), label))
    return examples


def sentence_order(stories: Sequence[Story], seed: int = 0) -> list[Example]:
    """Whether two neighbouring sentences stand "in order" or "swapped"; the words are the same either way."""
    draw = random.Random(seed)
    examples = []
    for story in stories:
        if len(_events(story)) < 2:
            continue
        cut = draw.randrange(len(_opening(story)), len(story.statements) - 1)
        pair = list(story.statements[cut : cut + 2])
        label = draw.choice(("in order", "swapped"))
        texts = [say(event, story.world.language) for event in (pair if label == "in order" else pair[::-1])]
        first = [token for event in story.statements[:cut] for token in say(event, story.world.language)]
        examples.append(Example((*first, SEPARATOR, *texts[0], SEPARATOR, *texts[1]), label))
    return examples


CLASSIFICATION_TASKS: dict[str, Callable[[Sequence[Story]], list[Example]]] = {
    "genre": genre,
    "sentiment": sentiment,
    "meeting": meeting,
    "giver": giver,
    "next sentence": next_sentence,
    "sentence order": sentence_order,
}


def _about(story: Story, event: Event, label: str, asked: bool) -> Example:
    """The text, then the question without its one word of answer; or the names that it asks about, then the text."""
    question = say(event, story.world.language)[:-2]
    if asked:
        return Example((*told(story), *question), label, len(question))
    names = [token for token, name in tagged(event, story.world.language) if name in ("subject", "other")]
    return Example((*names, SEPARATOR, *told(story)), label)


def _opening(story: Story) -> list[Event]:
    return [event for event in story.statements if event.kind == "be"]


def _events(story: Story) -> list[Event]:
    return [event for event in story.statements if event.kind != "be"]
