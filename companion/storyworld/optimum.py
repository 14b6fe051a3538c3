"""The Bayes classifier of each task, and the exact distribution of a masked token: the best that any model can do.

Chapters: ``book/concepts/storyworld.ipynb``; ``book/algorithms/xlnet.ipynb`` (gaps). No classifier has a higher
expected accuracy than the one that always gives the label with the largest probability given the text, the Bayes
classifier. Here it is known.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache

from companion.storyworld.language import say, value_of
from companion.storyworld.lexicon import GENRES, POSITIVE
from companion.storyworld.reader import Reader
from companion.storyworld.tasks import SEPARATOR, Example
from companion.storyworld.world import World

SAMPLE = 8_000  # stories in which single sentences are counted


def best_label(task: str, example: Example, world: World) -> str:
    """Likeliest label of an example of one of ``tasks.CLASSIFICATION_TASKS``, with its question at the end.

    For "next sentence" the probability of a sentence from *another* story is estimated on a sample; all else is exact.

    >>> example = Example(("Tom", "gives", "Anna", "the", "lamp", ".", "Tom"), "gives")
    >>> best_label("giver", example, World("tiny"))
    'gives'

    Raises:
        ValueError: on an unknown task.
    """
    if task not in _BEST:
        raise ValueError(f"task must be one of {', '.join(_BEST)}; got {task!r}")
    return _BEST[task](example.tokens, world)


def fill_in(tokens: Sequence[str], position: int, world: World) -> dict[str, float]:
    """Exact distribution of a masked token, given all other tokens of a story, to its left and right.

    ``p(x_i = c | rest) = p(story with c) / sum_c' p(story with c')``: the optimum of a bidirectional model.

    >>> fill_in("Tom is in the kitchen . [MASK] is in the garden .".split(), 6, World("tiny"))
    {'Anna': 1.0}

    Args:
        tokens: tokens of a whole story or of its beginning; the one at ``position`` is not read.
        position: position of the masked token.
        world: world of the story.

    Returns:
        possible token -> probability; they sum to 1.

    Raises:
        ValueError: when there is no such position, or no token makes it a story.
    """
    if not 0 <= position < len(tokens):
        raise ValueError(f"position must be 0 to {len(tokens) - 1}; got {position}")
    found = {}
    for token in _after(tokens[:position], world).next_probabilities():
        reader = world.reader()
        try:
            found[token] = math.fsum(reader.read(t) for t in (*tokens[:position], token, *tokens[position + 1 :]))
        except ValueError:  # no story goes on like this
            continue
    if not found:
        raise ValueError(f"no token at position {position} makes this a story")
    most = max(found.values())
    total = math.fsum(math.exp(value - most) for value in found.values())
    return {token: math.exp(value - most) / total for token, value in found.items()}


def _genre(tokens: Sequence[str], world: World) -> str:
    return GENRES[int(_after(tokens, world).genres.argmax())]


def _sentiment(tokens: Sequence[str], world: World) -> str:
    return "positive" if _answer(tokens, world) in POSITIVE else "negative"


def _meeting(tokens: Sequence[str], world: World) -> str:
    return _answer(tokens, world)


def _giver(tokens: Sequence[str], world: World) -> str:
    """In both languages and both forms the sentence is about one person and then names the other."""
    *sentence, asked = tokens
    gives = {"en": "gives", "zh": "给"}[world.language] in sentence
    return "gives" if gives == (sentence[0] == asked) else "gets"


def _next_sentence(tokens: Sequence[str], world: World) -> str:
    first, second = _parts(tokens)
    reader = _after(first, world)
    counts = _sentences(world.size_name, world.language)
    elsewhere = (counts[second] + 0.5) / (counts.total() + 0.5 * len(counts))
    going_on = reader.going_on()  # the text does go on, so its probability is divided out
    return "next" if _probability(reader, [second]) > elsewhere * going_on else "other"


def _sentence_order(tokens: Sequence[str], world: World) -> str:
    first, one, two = _parts(tokens)
    given = _probability(_after(first, world), [one, two])
    turned = _probability(_after(first, world), [two, one])
    return "in order" if given >= turned else "swapped"


_BEST: dict[str, Callable[[Sequence[str], World], str]] = {
    "genre": _genre,
    "sentiment": _sentiment,
    "meeting": _meeting,
    "giver": _giver,
    "next sentence": _next_sentence,
    "sentence order": _sentence_order,
}


def _after(tokens: Sequence[str], world: World) -> Reader:
    reader = world.reader()
    for token in tokens:
        reader.read(token)
    return reader


def _answer(tokens: Sequence[str], world: World) -> str:
    """The only word that can follow a question, in English: the answer is a function of the story."""
    (token,) = _after(tokens, world).next_probabilities()
    return value_of(token, world.language)


def _parts(tokens: Sequence[str]) -> list[tuple[str, ...]]:
    parts: list[tuple[str, ...]] = [()]
    for token in tokens:
        if token == SEPARATOR:
            parts.append(())
        else:
            parts[-1] += (token,)
    return parts


def _probability(reader: Reader, sentences: Sequence[tuple[str, ...]]) -> float:
    """Probability of these sentences in this order; 0 when one of them is impossible there."""
    total = 1.0
    for sentence in sentences:
        possible = reader.sentences()
        if sentence not in possible:
            return 0.0
        total *= possible[sentence]
        for token in sentence:
            reader.read(token)
    return total


@lru_cache
def _sentences(size: str, language: str) -> Counter[tuple[str, ...]]:
    """Counts of the sentences after the opening, in a sample of stories."""
    stories = World(size, language).stories(SAMPLE, seed="single sentences")
    return Counter(say(e, language) for story in stories for e in story.statements if e.kind != "be")
