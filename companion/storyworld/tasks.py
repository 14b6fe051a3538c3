"""Text classification on stories, with the labels that the world knows.

Chapter: ``book/concepts/storyworld.ipynb``. :func:`split` keeps the stories of training, validation and test apart.
Where a label must depend on *who did what* and not on which words occur, each story makes an example of either label,
so the words are the same by construction.
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
        tokens: tokens of the text; two texts are divided by ``SEPARATOR``.
        label: name of the right class.
        question_length: number of tokens at the end that are a question about the text.
    """

    tokens: tuple[str, ...]
    label: str
    question_length: int = 0

    @property
    def parts(self) -> tuple[tuple[str, ...], ...]:
        """The text and its question, or the two texts, for a model that reads pairs; otherwise the text alone."""
        if self.question_length:
            return self.tokens[: -self.question_length], self.tokens[-self.question_length :]
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
    """Training, validation and test stories, no two of the same events.

    >>> parts = split(World("tiny"), train=3, validation=1, test=2)
    >>> len(parts.train), len(parts.validation), len(parts.test)
    (3, 1, 2)

    Raises:
        ValueError: when a number is negative, or the world has too few different stories.
    """
    if min(train, validation, test) < 0:
        raise ValueError(f"numbers of stories must be at least 0; got {train}, {validation} and {test}")
    wanted = train + validation + test
    stories = world.stories(2 * wanted + 100, seed)
    different = list({story.events: story for story in stories}.values())
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
    """Examples of the genre of each story; it shows in the choice of places and things, so a bag of words suffices."""
    return [Example(told(story), story.genre) for story in stories]


def sentiment(stories: Sequence[Story], with_question: bool = True) -> list[Example]:
    """Examples of how somebody feels at the end, "positive" or "negative".

    Of stories in which one person feels well and another does not, an example is made of each, so the two examples of a
    story differ in one name.

    Args:
        stories: stories to choose from.
        with_question: whether the text ends with the question (*How is Tom*); otherwise the name alone stands before
            the text.
    """
    examples = []
    for story in stories:
        moods = story.end.mood.items()
        good = [person for person, mood in moods if mood in POSITIVE]
        bad = [person for person, mood in moods if mood not in POSITIVE]
        for label, people in (("positive", good), ("negative", bad)):
            if good and bad:
                event = Event("how", people[0], word=story.end.mood[people[0]])
                examples.append(_about(story, event, label, with_question))
    return examples


def meeting(stories: Sequence[Story], with_question: bool = True) -> list[Example]:
    """Examples of whether two people are together at the end, "yes" or "no": it depends on who moved where.

    Of stories in which one pair is together and another is not, an example is made of each.

    >>> example = meeting(World().stories(20))[0]
    >>> " ".join(example.parts[1]), example.label
    ('Can Jack see Mary', 'yes')

    Args:
        stories: stories to choose from.
        with_question: whether the text ends with the question (*Can Tom see Anna*); otherwise the two names alone stand
            before the text.
    """
    examples = []
    for story in stories:
        end = story.end
        pairs = [(a, b) for a in end.place for b in end.place if a < b]
        yes = [pair for pair in pairs if end.together(*pair)]
        no = [pair for pair in pairs if not end.together(*pair)]
        for label, alike in (("yes", yes), ("no", no)):
            if yes and no:
                a, b = alike[0]
                examples.append(_about(story, Event("see", a, other=b, word=label), label, with_question))
    return examples


def giver(stories: Sequence[Story]) -> list[Example]:
    """Examples of whether a person gives ("gives") or is given something ("gets"): it depends on word order alone.

    Each sentence makes two examples about the same person: *Tom gives Anna the ball* and *Anna gives Tom the ball*.

    >>> [(" ".join(example.tokens), example.label) for example in giver(World("tiny").stories(8))]
    [('Anna gets the lamp from Tom . Anna', 'gets'), ('Tom gets the lamp from Anna . Anna', 'gives')]
    """
    examples = []
    for story in stories:
        for event in story.statements:
            if event.kind in ("give", "get") and not event.pronoun:
                language = story.world.language
                turned = event._replace(subject=event.other, other=event.subject)
                for given, label in ((event, event.kind), (turned, "get" if event.kind == "give" else "give")):
                    person = word(event, "subject", language)
                    examples.append(Example((*say(given, language), person), label + "s"))
    return examples


def next_sentence(stories: Sequence[Story], seed: int = 0) -> list[Example]:
    """Examples of whether the second text follows the first ("next") or comes from another story ("other").

    The text is cut after the opening at a random sentence; half of the time the next sentence is from another story.

    >>> example = next_sentence(World("tiny").stories(3))[0]
    >>> [" ".join(part) for part in example.parts], example.label
    (['Anna is in the kitchen . Tom is in the garden . Anna takes the lamp .', 'Tom takes the lamp .'], 'other')
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
    """Examples of two neighbouring sentences, "in order" or "swapped"; the words are the same either way.

    >>> example = sentence_order(World("tiny").stories(2))[0]
    >>> " ".join(example.tokens[12:]), example.label
    ('<|endoftext|> She feels happy . <|endoftext|> Anna takes the lamp .', 'swapped')
    """
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


def _about(story: Story, event: Event, label: str, with_question: bool) -> Example:
    """The text, then the question without its one word of answer; or the names in the question, then the text."""
    question = say(event, story.world.language)[:-2]
    if with_question:
        return Example((*told(story), *question), label, len(question))
    names = [token for token, name in tagged(event, story.world.language) if name in ("subject", "other")]
    return Example((*names, SEPARATOR, *told(story)), label)


def _opening(story: Story) -> list[Event]:
    return [event for event in story.statements if event.kind == "be"]


def _events(story: Story) -> list[Event]:
    return [event for event in story.statements if event.kind != "be"]
