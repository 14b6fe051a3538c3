"""The story world's tasks in the text-to-text format of T5: one source and one target each, for one model of all.

Chapter: ``book/algorithms/t5.ipynb``. Source: Raffel et al. 2020, "Exploring the Limits of Transfer Learning with a
Unified Text-to-Text Transformer", section 2.4: a prefix of the source names the task.
"""

import itertools
import random
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

import torch

from companion.data.batch import padded
from companion.data.batching import POOL, by_length, check_batch_size
from companion.data.vocabulary import Vocabulary
from companion.generation import GREEDY, generate
from companion.losses.spans import Seq2Seq, corrupt, pairs
from companion.models.t5 import T5
from companion.storyworld import QUESTIONS, Story, World
from companion.storyworld.views import QuestionAboutText, questions, summary, told
from companion.training.schedules import LearningRateMultiplier

START, END = "<pad>", "</s>"  # as in T5, whose decoder starts from the padding token
PREFIXES = ("translate to Chinese:", "translate to English:", "summarize:", "question:", "context:")  # a token each
SENTINELS = tuple(f"<{letter}>" for letter in "XYZABCDEFG")
ENGLISH, CHINESE = World(), World(language="zh")
VOCABULARY = Vocabulary([START, END, *ENGLISH.vocabulary[2:], *CHINESE.vocabulary[2:], *PREFIXES, *SENTINELS])
START_ID, END_ID = 0, 1
LONGEST = 96  # tokens; no text of the small world, with its prefix or its end, is longer

Text = tuple[str, ...]


class Example(NamedTuple):
    """Source and target of one example.

    Attributes:
        source: tokens that the encoder reads, with the prefix, without ``END``.
        target: tokens that the decoder writes, without ``END``.
        kind: kind of a question, "" for other tasks.
    """

    source: Text
    target: Text
    kind: str = ""


def to_chinese(story: Story, draw: random.Random) -> Example:
    """Translation of an English story into Chinese."""
    return Example(("translate to Chinese:", *told(story)), told(story.told_in("zh")))


def to_english(story: Story, draw: random.Random) -> Example:
    """Translation of a Chinese story into English."""
    return Example(("translate to English:", *told(story.told_in("zh"))), told(story))


def summarise(story: Story, draw: random.Random) -> Example:
    """Summary of an English story: what is true at the end."""
    return Example(("summarize:", *told(story)), summary(story))


def question_answering(story: Story, draw: random.Random) -> Example:
    """Question about an English story; all kinds that the story allows are equally likely."""
    possible = list(questions(story))
    kind = draw.choice([kind for kind in QUESTIONS if any(q.kind == kind for q in possible)])
    return question_example(draw.choice([q for q in possible if q.kind == kind]))


def question_example(question: QuestionAboutText) -> Example:
    """Example of a question about a text: the question first, then the text.

    >>> question_example(QuestionAboutText(("Tom", "sings", "."), ("Who", "sings"), ("Tom",), "who")).source
    ('question:', 'Who', 'sings', 'context:', 'Tom', 'sings', '.')
    """
    return Example(("question:", *question.question, "context:", *question.context), question.answer, question.kind)


TEXT_TO_TEXT_TASKS: dict[str, Callable[[Story, random.Random], Example]] = {
    "to Chinese": to_chinese,
    "to English": to_english,
    "summary": summarise,
    "answer": question_answering,
}


def examples(task: str, stories: Sequence[Story], seed: int = 0) -> list[Example]:
    """Examples of a task, one per English story; the seed draws the questions.

    >>> (example,) = examples("answer", ENGLISH.stories(1))
    >>> " ".join(example.source[:7]), example.target
    ('question: How is Susan context: Jack is', ('happy',))

    Raises:
        ValueError: when the task is none of ``TEXT_TO_TEXT_TASKS``.
    """
    if task not in TEXT_TO_TEXT_TASKS:
        raise ValueError(f"task must be one of {', '.join(TEXT_TO_TEXT_TASKS)}; got {task!r}")
    draw = random.Random(seed)
    return [TEXT_TO_TEXT_TASKS[task](story, draw) for story in stories]


def collate(batch: Sequence[Example]) -> Seq2Seq:
    """A batch of examples; each source ends with ``END``, as T5's do.

    >>> batch = collate([Example(("summarize:", "Tom"), ("Tom",))])
    >>> VOCABULARY.decode(batch.inputs[0]), VOCABULARY.decode(batch.targets[0])
    (['summarize:', 'Tom', '</s>'], ['Tom', '</s>'])
    """
    sources = [VOCABULARY.encode((*example.source, END)) for example in batch]
    targets = [VOCABULARY.encode(example.target) for example in batch]
    return pairs(sources, targets, start_id=START_ID, end_id=END_ID)


def task_mixture(
    weights: Mapping[str, float], batch_size: int = 16, seed: int = 0, held_out: Collection[Story] = ()
) -> Iterator[Seq2Seq]:
    """Batches of a mixture of tasks on new stories, of about the same length, without end.

    >>> batch = next(task_mixture({"summary": 1.0}, batch_size=2))
    >>> VOCABULARY.decode(batch.inputs[:, 0])
    ['summarize:', 'summarize:']

    Args:
        weights: task -> weight, in proportion to which it is drawn.
        batch_size: examples per batch, of any tasks.
        seed: seed of the stories, the tasks and the order of the batches.
        held_out: stories that are left out.

    Raises:
        ValueError: on an unknown task, weights that are negative or all zero, or a ``batch_size`` below 1.
    """
    unknown = [task for task in weights if task not in TEXT_TO_TEXT_TASKS]
    if unknown or min(weights.values(), default=0) < 0 or not any(weights.values()):
        raise ValueError(
            f"weights must be of {', '.join(TEXT_TO_TEXT_TASKS)}, none negative and not all 0; got {dict(weights)}"
        )

    def make(story: Story, draw: random.Random) -> Example:
        return TEXT_TO_TEXT_TASKS[draw.choices(list(weights), list(weights.values()))[0]](story, draw)

    return map(collate, _dealt(make, batch_size, seed, held_out))


def span_corruption_batches(
    batch_size: int = 16, seed: int = 0, held_out: Collection[Story] = (), noise_density: float = 0.15
) -> Iterator[Seq2Seq]:
    """Batches of :func:`span_corruption` on new stories in either language, without end.

    >>> len(next(span_corruption_batches(batch_size=1)).inputs)
    1

    For the other arguments see :func:`task_mixture`.
    """
    cuts = torch.Generator().manual_seed(seed)

    def make(story: Story, draw: random.Random) -> Example:
        return Example(told(story.told_in(draw.choice(("en", "zh")))), ())

    for batch in _dealt(make, batch_size, seed, held_out):
        yield span_corruption([example.source for example in batch], cuts, noise_density)


def span_corruption(texts: Sequence[Text], generator: torch.Generator, noise_density: float = 0.15) -> Seq2Seq:
    """T5's pre-training task on texts, see :func:`companion.losses.spans.corrupt`.

    >>> batch = span_corruption([("Tom", "goes", "to", "the", "park", ".")], torch.Generator().manual_seed(0))
    >>> VOCABULARY.decode(batch.inputs[0]), VOCABULARY.decode(batch.targets[0])
    (['Tom', 'goes', 'to', '<X>', 'park', '.', '</s>'], ['<X>', 'the', '<Y>', '</s>'])

    Args:
        texts: tokens of each text.
        generator: source of random numbers.
        noise_density: fraction of the tokens that are cut out.
    """
    ids, real = padded([VOCABULARY.encode(text) for text in texts])
    return corrupt(
        ids,
        real,
        sentinel_ids=VOCABULARY.encode(SENTINELS),
        end_id=END_ID,
        start_id=START_ID,
        noise_density=noise_density,
        generator=generator,
    )


def t5_learning_rates(d_head: int) -> LearningRateMultiplier:
    """Learning rate multiplier of each parameter, for a T5 that Muon and AdamW train.

    T5 does not scale its scores by ``1 / sqrt(d_head)``; its query matrices start smaller by that factor. Its release
    was trained by Adafactor, whose steps are in proportion to the weights; those of Muon and AdamW are not. So here
    queries take steps smaller by the factor, and the relative position biases, which must grow to several units before
    they point a head at one position, larger ones.

    >>> multiplier = t5_learning_rates(d_head=16)
    >>> multiplier("encoder.0.attention.query.weight", 1), multiplier("token_embedding.weight", 1)
    (0.25, 1.0)
    """
    multipliers = {"query.weight": d_head**-0.5, "relative_bias.table.weight": 30.0}
    return lambda name, step: next((value for end, value in multipliers.items() if name.endswith(end)), 1.0)


def generate_texts(model: T5, sources: Sequence[Text], at_most: int = LONGEST - 1, together: int = 100) -> list[Text]:
    """Greedy outputs of a model, one per source.

    >>> from companion.models.t5 import T5Config
    >>> model = T5(T5Config(len(VOCABULARY), 1, 2, 8)).eval()
    >>> [len(text) <= 3 for text in generate_texts(model, [("summarize:", "Tom")], at_most=3)]
    [True]

    Args:
        model: model over :data:`VOCABULARY`.
        sources: tokens to read, with their prefixes.
        at_most: largest number of tokens to write.
        together: batch size; sources are sorted by length.

    Returns:
        tokens written for each source, without ``START`` and ``END``.
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


def majority(training: Sequence[Example], test: Sequence[Example]) -> list[Text]:
    """Most frequent answer to questions of each test example's kind: a baseline that reads no text.

    >>> majority([Example((), ("no",), "see"), Example((), ("Tom",), "who")], [Example((), ("yes",), "see")])
    [('no',)]
    """
    common = {
        kind: Counter(example.target for example in training if example.kind == kind).most_common(1)[0][0]
        for kind in {example.kind for example in training}
    }
    return [common[example.kind] for example in test]


def _dealt(
    make: Callable[[Story, random.Random], Example], batch_size: int, seed: int, held_out: Collection[Story]
) -> Iterator[list[Example]]:
    """Batches of examples of about the same length, without end."""
    check_batch_size(batch_size)
    unseen = {told(story) for story in held_out}
    draw, order = random.Random(seed), torch.Generator().manual_seed(seed)
    for pool in itertools.count():
        stories = ENGLISH.stories(POOL * batch_size, seed=f"{seed}/{pool}")
        made = [make(story, draw) for story in stories if told(story) not in unseen]
        for rows in by_length([len(source) + len(target) for source, target, _ in made], batch_size, order):
            yield [made[i] for i in rows]
