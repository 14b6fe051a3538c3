"""The story world's tasks, each put as one text to read and one to write, for one model of all of them.

Chapter: ``book/algorithms/t5.ipynb``. Source: Raffel et al. 2020, "Exploring the Limits of Transfer Learning with a
Unified Text-to-Text Transformer", section 2.4: a few words before a text tell the model which task it is.
"""

import itertools
import random
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

import torch

from companion.data.batch import padded
from companion.data.batching import POOL, by_length
from companion.data.vocabulary import Vocabulary
from companion.generation import GREEDY, generate
from companion.losses.spans import Seq2Seq, corrupt, pairs
from companion.models.t5 import T5
from companion.storyworld import QUESTIONS, Story, World
from companion.storyworld.language import tagged
from companion.storyworld.views import questions, summary, told
from companion.training.schedules import LearningRateMultiplier

START, END = "<pad>", "</s>"  # as in T5, whose decoder begins with the token of padding
PREFIXES = ("translate to Chinese:", "translate to English:", "summarize:", "question:", "context:")  # a token each
SENTINELS = tuple(f"<{letter}>" for letter in "XYZABCDEFG")
ENGLISH, CHINESE = World(), World(language="zh")
VOCABULARY = Vocabulary([START, END, *ENGLISH.vocabulary[2:], *CHINESE.vocabulary[2:], *PREFIXES, *SENTINELS])
START_ID, END_ID = 0, 1
LONGEST = 96  # no text of the small world, with its prefix or its end, is longer

Text = tuple[str, ...]


class Example(NamedTuple):
    """What is read, what shall be written, and a finer name of the task: a question's kind, or "".

    Attributes:
        source: with the prefix, without ``END``.
        target: without ``END``.
        kind: of question.
    """

    source: Text
    target: Text
    kind: str = ""


def to_chinese(story: Story, draw: random.Random) -> Example:
    """An English story, to be told in Chinese."""
    return Example(("translate to Chinese:", *told(story)), told(story.told_in("zh")))


def to_english(story: Story, draw: random.Random) -> Example:
    """A Chinese story, to be told in English."""
    return Example(("translate to English:", *told(story.told_in("zh"))), told(story))


def summarise(story: Story, draw: random.Random) -> Example:
    """An English story, of which what is true at the end shall be told."""
    return Example(("summarize:", *told(story)), summary(story))


def question_answering(story: Story, draw: random.Random) -> Example:
    """A question about an English story; every kind that the story allows is as likely as any other."""
    asked = list(questions(story))
    kind = draw.choice([kind for kind in QUESTIONS if any(q.kind == kind for q in asked)])
    one = draw.choice([q for q in asked if q.kind == kind])
    return Example(("question:", *one.question, "context:", *one.context), one.answer, kind)


TEXT_TO_TEXT_TASKS: dict[str, Callable[[Story, random.Random], Example]] = {
    "to Chinese": to_chinese,
    "to English": to_english,
    "summary": summarise,
    "answer": question_answering,
}


def examples(task: str, stories: Sequence[Story], seed: int = 0) -> list[Example]:
    """Make one example of each English story; the seed draws what is asked.

    Raises:
        ValueError: when the task is none of ``TEXT_TO_TEXT_TASKS``.
    """
    if task not in TEXT_TO_TEXT_TASKS:
        raise ValueError(f"task must be one of {', '.join(TEXT_TO_TEXT_TASKS)}; got {task!r}")
    draw = random.Random(seed)
    return [TEXT_TO_TEXT_TASKS[task](story, draw) for story in stories]


def alignment(story: Story, source: str = "en", target: str = "zh") -> list[tuple[int, int]]:
    """Pair each name, place, thing and mood of a story's telling with the same one in the other language's.

    Args:
        story: in either language.
        source: the language that is read.
        target: the language that is written.

    Returns:
        pairs (place in the target, place in the source), counted from 0 in :func:`told` of each.
    """
    pairs_, starts = [], (0, 0)
    for event in story.statements:
        written, read = tagged(event, target), tagged(event, source)
        where = {field: place for place, (_, field) in enumerate(read) if field}
        pairs_ += [(starts[0] + i, starts[1] + where[field]) for i, (_, field) in enumerate(written) if field]
        starts = starts[0] + len(written), starts[1] + len(read)
    return pairs_


def collate(batch: Sequence[Example]) -> Seq2Seq:
    """Number the words of examples, and lay them out as a batch; each source ends with ``END``, as T5's do."""
    sources = [VOCABULARY.encode((*example.source, END)) for example in batch]
    targets = [VOCABULARY.encode(example.target) for example in batch]
    return pairs(sources, targets, start_id=START_ID, end_id=END_ID)


def task_mixture(
    shares: Mapping[str, float], batch_size: int = 16, seed: int = 0, held_out: Collection[Story] = ()
) -> Iterator[Seq2Seq]:
    """Tell new stories without end, draw a task for each, and deal them out in batches of about the same length.

    Args:
        shares: task -> how often it is drawn, beside the others.
        batch_size: examples a batch, of any tasks.
        seed: of the stories, the tasks and the order of the batches.
        held_out: stories that are left out when they are told again.

    Raises:
        ValueError: on an unknown task, shares that are negative or all zero, or a ``batch_size`` below 1.
    """
    unknown = [task for task in shares if task not in TEXT_TO_TEXT_TASKS]
    if unknown or min(shares.values(), default=0) < 0 or not any(shares.values()):
        raise ValueError(
            f"shares must be of {', '.join(TEXT_TO_TEXT_TASKS)}, none negative and not all 0; got {dict(shares)}"
        )

    def make(story: Story, draw: random.Random) -> Example:
        return TEXT_TO_TEXT_TASKS[draw.choices(list(shares), list(shares.values()))[0]](story, draw)

    return map(collate, _dealt(make, batch_size, seed, held_out))


def span_corruption_batches(
    batch_size: int = 16, seed: int = 0, held_out: Collection[Story] = (), share: float = 0.15
) -> Iterator[Seq2Seq]:
    """Tell new stories without end, in either language, and cut spans out of them; for the arguments see above."""
    cuts = torch.Generator().manual_seed(seed)

    def make(story: Story, draw: random.Random) -> Example:
        return Example(told(story.told_in(draw.choice(("en", "zh")))), ())

    for batch in _dealt(make, batch_size, seed, held_out):
        yield span_corruption([example.source for example in batch], cuts, share)


def span_corruption(texts: Sequence[Text], generator: torch.Generator, share: float = 0.15) -> Seq2Seq:
    """Cut spans out of texts, see :func:`companion.losses.spans.corrupt`."""
    ids, real = padded([VOCABULARY.encode(text) for text in texts])
    sentinels = VOCABULARY.encode(SENTINELS)
    return corrupt(
        ids, real, sentinel_ids=sentinels, end_id=END_ID, start_id=START_ID, noise_density=share, generator=generator
    )


def t5_learning_rates(d_head: int) -> LearningRateMultiplier:
    """Return each parameter's share of the learning rate, for a T5 that Muon and AdamW train.

    T5 does not scale its scores by ``1 / sqrt(d_head)``, and its query matrices begin smaller by that factor. Its
    release trained it with Adafactor, whose steps are in proportion to the weights; those of Muon and AdamW are not. So
    here queries take steps smaller by the factor, and the biases of distances, which must grow to several units before
    they point a head at one place, larger ones.
    """
    shares = {"query.weight": d_head**-0.5, "relative_bias.table.weight": 30.0}
    return lambda name, step: next((share for end, share in shares.items() if name.endswith(end)), 1.0)


def generate_texts(model: T5, sources: Sequence[Text], at_most: int = LONGEST - 1, together: int = 100) -> list[Text]:
    """Let a model write the likeliest token again and again, until the end.

    Args:
        model: of :data:`VOCABULARY`.
        sources: with their prefixes.
        at_most: tokens to write.
        together: sources read at once, sorted by length.

    Returns:
        what it wrote for each source, without ``START`` and ``END``.
    """
    device = model.token_embedding.weight.device
    written: list[Text] = [()] * len(sources)
    by_size = sorted(range(len(sources)), key=lambda i: len(sources[i]))
    for places in (by_size[i : i + together] for i in range(0, len(sources), together)):
        ids, real = padded([VOCABULARY.encode((*sources[i], END)) for i in places])
        tokens = generate(model, ids.to(device), at_most, attention_mask=real.to(device), decoding=GREEDY, stop=END_ID)
        for i, row in zip(places, tokens[:, 1:].tolist(), strict=True):
            written[i] = tuple(VOCABULARY.decode(row[: row.index(END_ID)] if END_ID in row else row))
    return written


def majority(training: Sequence[Example], asked: Sequence[Example]) -> list[Text]:
    """Answer each question with the most frequent answer to questions of its kind: a baseline that reads no text."""
    common = {
        kind: Counter(example.target for example in training if example.kind == kind).most_common(1)[0][0]
        for kind in {example.kind for example in training}
    }
    return [common[example.kind] for example in asked]


def _dealt(
    make: Callable[[Story, random.Random], Example], batch_size: int, seed: int, held_out: Collection[Story]
) -> Iterator[list[Example]]:
    """Batches of examples of about the same length, without end."""
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1; got {batch_size}")
    unseen = {told(story) for story in held_out}
    draw, order = random.Random(seed), torch.Generator().manual_seed(seed)
    for pool in itertools.count():
        stories = ENGLISH.stories(POOL * batch_size, seed=f"{seed}/{pool}")
        made = [make(story, draw) for story in stories if told(story) not in unseen]
        for rows in by_length([len(source) + len(target) for source, target, _ in made], batch_size, order):
            yield [made[i] for i in rows]
