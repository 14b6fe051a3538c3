"""The story world: tells stories in English or Chinese, and knows the exact probability of every token.

Chapter: ``book/concepts/storyworld.ipynb``.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from tokenizers import Tokenizer

from companion.nn.checks import check_integer
from companion.storyworld.language import LANGUAGES, make_tokenizer, say, vocabulary, write
from companion.storyworld.lexicon import GENRES, SIZES
from companion.storyworld.process import Process
from companion.storyworld.reader import Reader
from companion.storyworld.state import QUESTIONS, Event, State

MOST_STORIES = 10_000_000  # at once: each is some kilobytes
VERSION = 1  # of the stories: another number means other stories for the same seed


@dataclass(frozen=True)
class Story:
    """A story, with the exact probability of each of its tokens.

    >>> (story,) = World("tiny").stories(1)
    >>> story.text
    'Tom is in the kitchen. Anna is in the kitchen. Can Tom see Anna? yes.'
    >>> [round(value, 2) for value in story.log_probs[:5]]  # "is in the" is certain
    [-0.69, 0.0, 0.0, 0.0, -0.69]

    Attributes:
        world: world that told the story.
        events: events of the story, the last one "end".
        genre: hidden kind of the story, a word of ``lexicon.GENRES``.
    """

    world: "World" = field(repr=False)
    events: tuple[Event, ...]
    genre: str

    @cached_property
    def tokens(self) -> list[str]:
        """Tokens of the story; the last one is ``<|endoftext|>``."""
        return [token for event in self.events for token in say(event, self.world.language)]

    @cached_property
    def log_probs(self) -> list[float]:
        """Exact ``log p(token | the tokens before it)`` of each token, in nats."""
        reader = self.world.reader()
        return [reader.read(token) for token in self.tokens]

    @property
    def text(self) -> str:
        """Text of the story."""
        space = " " if self.world.language == "en" else ""
        return space.join(write(event, self.world.language) for event in self.events[:-1])

    @property
    def statements(self) -> tuple[Event, ...]:
        """Events of the story, without the questions and the end."""
        return tuple(event for event in self.events if event.kind not in (*QUESTIONS, "end"))

    @property
    def end(self) -> State:
        """State of the world when the story is over."""
        return State.after(self.events)

    def told_in(self, language: str) -> "Story":
        """The same events, told in another language.

        Raises:
            ValueError: on an unknown language.
        """
        return Story(World(self.world.size_name, language), self.events, self.genre)


class World:
    """A simulator of people, places, objects, possessions and moods that tells short stories.

    The same seed gives the same events in both languages.

    >>> world = World("tiny")
    >>> world.stories(1)[0].text
    'Tom is in the kitchen. Anna is in the kitchen. Can Tom see Anna? yes.'
    >>> world.next_probabilities(["Tom", "is", "in", "the"])
    {'kitchen': 0.5, 'garden': 0.5}
    """

    def __init__(self, size: str = "small", language: str = "en") -> None:
        """Make a world.

        Args:
            size: "tiny" (for proofs), "small" or "large".
            language: "en" or "zh".

        Raises:
            ValueError: on an unknown size or language.
        """
        if size not in SIZES:
            raise ValueError(f"size must be one of {', '.join(SIZES)}; got {size!r}")
        if language not in LANGUAGES:
            raise ValueError(f"language must be one of {', '.join(LANGUAGES)}; got {language!r}")
        self.size_name, self.language = size, language
        self.process = Process(SIZES[size])

    def stories(self, n: int, seed: int | str = 0) -> list[Story]:
        """Random stories; the first ones are the same for a larger ``n``.

        Args:
            n: number of stories.
            seed: seed of the stories.

        Raises:
            ValueError: when ``n`` is negative, or more than ``MOST_STORIES``.
        """
        check_integer("the number of stories", n, least=0, most=MOST_STORIES)
        draw = random.Random(f"{VERSION}/{self.size_name}/{seed}")
        return [self._tell(draw) for _ in range(n)]

    def reader(self) -> Reader:
        """A reader before the first token of a story."""
        return Reader(self.process, self.language)

    def next_probabilities(self, prefix: Sequence[str]) -> dict[str, float]:
        """Exact probability of every token that can follow ``prefix``; they sum to 1.

        Raises:
            ValueError: when no story begins like this, naming the token.
        """
        reader = self.reader()
        for token in prefix:
            reader.read(token)
        return reader.next_probabilities()

    def read(self, tokens: Sequence[str]) -> list[Event]:
        """The events that a story's tokens tell of, a parse of the text.

        Raises:
            ValueError: when no story reads like this, or the last sentence is not whole.
        """
        reader = self.reader()
        for token in tokens:
            reader.read(token)
        if [token for event in reader.events for token in say(event, self.language)] != list(tokens):
            raise ValueError(f"the last sentence breaks off after {tokens[-1]!r}")
        return reader.events

    @cached_property
    def vocabulary(self) -> list[str]:
        """All tokens; the first is ``<|endoftext|>``, the second stands for unknown words."""
        p = self.process
        return vocabulary(self.language, p.people, p.places, p.objects, p.moods)

    def tokenizer(self, specials: Sequence[str] = ()) -> Tokenizer:
        """The tokenizer of this world's language: one token per word.

        Args:
            specials: special tokens, such as "[MASK]", numbered after the world's own and recognised in a text. With
                "[CLS]" and "[SEP]" among them a text is framed as BERT's: ``[CLS] text [SEP]``.
        """
        return make_tokenizer(self.language, self.vocabulary, specials)

    @property
    def longest(self) -> int:
        """Upper bound of a story's length in tokens, with one ``<|endoftext|>`` before and one after it."""
        size = self.process.size
        return 2 + 7 * (size.cast + size.events + size.questions)

    def _tell(self, draw: random.Random) -> Story:
        genre = draw.randrange(self.process.size.genres)
        state, events = State(), []
        while not state.ended:
            event = self.process.sample(state, genre, draw)
            state.apply(event)
            events.append(event)
        return Story(self, tuple(events), GENRES[genre])
