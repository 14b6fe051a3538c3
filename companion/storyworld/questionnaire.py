"""A story and many questions about its end, as one pair of texts for a bidirectional encoder.

``[CLS] what happened [SEP] where is Tom garden . who has the key Anna . … [SEP]``: the answers stand in the text, and
some of them are masked. To predict one, the model must know who is where and who has what. Facts about the end may
stand between the questions (*Tom is in the garden .*), with a word to be predicted as well.
Chapter: ``book/algorithms/finetuning.ipynb``.
"""

import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from companion.data.batch import IGNORED, padded
from companion.data.batching import POOL, by_length, check_batch_size
from companion.data.vocabulary import Vocabulary
from companion.losses.masked import mask_tokens
from companion.losses.sentences import Pretraining
from companion.storyworld.language import say, tagged
from companion.storyworld.state import QUESTIONS, Event
from companion.storyworld.views import summary_events, told
from companion.storyworld.world import Story, World

SPECIALS = ("[CLS]", "[SEP]", "[MASK]")
FACT = len(QUESTIONS) + 1


class Questionnaire(NamedTuple):
    """A batch of stories with questions and answers.

    Attributes:
        ids: token ids (batch, length), padded with 0 at the end.
        token_type_ids: segment of each token (batch, length), 0 = what happened, 1 = the questions.
        attention_mask: boolean (batch, length), True = a real token.
        kinds: kind of each token that can be asked for (batch, length): in an answer the index of the question's kind
            in ``QUESTIONS``, counted from 1; ``FACT`` at one word of each fact; 0 elsewhere.
        labels: class of each pair (batch,), 0 = the questions are about this story, 1 = about another one.
    """

    ids: Tensor
    token_type_ids: Tensor
    attention_mask: Tensor
    kinds: Tensor
    labels: Tensor


def vocabulary_of(world: World) -> Vocabulary:
    """Vocabulary of a world with BERT's special tokens, numbered as ``world.tokenizer(SPECIALS)`` does.

    >>> vocabulary_of(World("tiny")).tokens[-4:]
    ['no', '[CLS]', '[SEP]', '[MASK]']
    """
    return Vocabulary([*world.vocabulary, *SPECIALS])


def lay_out(
    stories: Sequence[Story],
    n_questions: int,
    draw: random.Random,
    *,
    kinds: Sequence[str] = QUESTIONS,
    facts: bool = False,
    fewer: float = 0.0,
    elsewhere: float = 0.0,
) -> Questionnaire:
    """A batch of stories, each with questions of all kinds in turn, no question twice.

    >>> world = World("tiny")
    >>> batch = lay_out(world.stories(1), n_questions=1, draw=random.Random(0))
    >>> " ".join(vocabulary_of(world).decode(batch.ids[0]))
    '[CLS] Tom is in the kitchen . Anna is in the kitchen . [SEP] Where is Anna kitchen . [SEP]'

    Args:
        stories: stories of one world; each must allow a question of these kinds.
        n_questions: largest number of questions per story; a story in which little happens allows fewer.
        draw: source of random numbers.
        kinds: kinds of questions, among ``QUESTIONS``.
        facts: whether what is true at the end stands between the questions.
        fewer: probability that a story gets a random smaller number of questions, from 1 on.
        elsewhere: probability that a story gets the questions of the story before it instead (BERT's second task).

    Raises:
        ValueError: when there is no story, one allows no question, or a kind is unknown.
    """
    for kind in kinds:
        if kind not in QUESTIONS:
            raise ValueError(f"kinds must be among {', '.join(QUESTIONS)}; got {kind!r}")
    asked = []
    for story in stories:
        count = draw.randint(1, n_questions) if draw.random() < fewer else n_questions
        asked.append(_questions(story, count, kinds, draw))
    if not all(asked) or not asked:
        raise ValueError(f"each story must allow a question, and there must be one; got {len(stories)} stories")
    vocabulary = vocabulary_of(stories[0].world)
    labels = [int(draw.random() < elsewhere) for _ in stories]
    rows, types, numbers = [], [], []
    for number, story in enumerate(stories):
        first = ["[CLS]", *told(story), "[SEP]"]
        second: list[str] = []
        of_kind: list[int] = []
        other = number - labels[number]
        events = asked[other] + (summary_events(stories[other].end) if facts else [])
        for event in draw.sample(events, len(events)):
            sentence, asks = _asking(event, story.world.language, draw)
            second += sentence
            of_kind += asks
        rows.append(vocabulary.encode([*first, *second, "[SEP]"]))
        types.append([0] * len(first) + [1] * (len(second) + 1))
        numbers.append([0] * len(first) + of_kind + [0])
    ids, real = padded(rows)
    return Questionnaire(ids, padded(types)[0], real, padded(numbers)[0], torch.tensor(labels))


def hide(
    batch: Questionnaire,
    world: World,
    *,
    answer_probability: float,
    mask_probability: float,
    generator: torch.Generator,
) -> Pretraining:
    """Inputs and targets of masked language modelling, with answers masked on top of other tokens.

    >>> world = World("tiny")
    >>> batch = lay_out(world.stories(1), n_questions=1, draw=random.Random(0))
    >>> generator = torch.Generator().manual_seed(0)
    >>> masked = hide(batch, world, answer_probability=1.0, mask_probability=0.01, generator=generator)
    >>> " ".join(vocabulary_of(world).decode(masked.inputs[0, -4:]))
    'Anna [MASK] . [SEP]'

    Args:
        batch: see :func:`lay_out`.
        world: world of the stories.
        answer_probability: probability that a token of an answer is replaced by "[MASK]"; answers about another story
            stay.
        mask_probability: probability that any other token is chosen, see :func:`companion.losses.masked.mask_tokens`.
        generator: source of random numbers.
    """
    vocabulary = vocabulary_of(world)
    cls_id, sep_id, mask_id = vocabulary.encode(SPECIALS)
    masked = mask_tokens(
        batch.ids,
        batch.attention_mask,
        mask_id=mask_id,
        vocab_size=len(world.vocabulary),
        special_ids=(0, cls_id, sep_id),
        mask_probability=mask_probability,
        generator=generator,
    )
    chosen = (batch.kinds > 0) & (batch.labels == 0)[:, None]
    chosen &= torch.rand(batch.ids.shape, generator=generator) < answer_probability
    inputs = masked.inputs.masked_fill(chosen, mask_id)
    targets = torch.where(chosen, batch.ids, masked.targets)
    return Pretraining(inputs, targets, masked.visible, batch.token_type_ids, batch.labels)


def questionnaire_batches(
    world: World,
    batch_size: int,
    seed: int = 0,
    *,
    n_questions: int = 8,
    fewer: float = 0.25,
    elsewhere: float = 0.0,
    answer_probability: float = 0.9,
    mask_probability: float = 0.05,
) -> Iterator[Pretraining]:
    """Pre-training batches of new stories with questions and facts, masked, without end.

    Args:
        world: world that tells the stories.
        batch_size: stories per batch.
        seed: seed of everything that is drawn.
        n_questions: see :func:`lay_out`.
        fewer: see :func:`lay_out`.
        elsewhere: see :func:`lay_out`.
        answer_probability: see :func:`hide`.
        mask_probability: see :func:`hide`.

    Raises:
        ValueError: when ``batch_size`` is below 1.
    """
    check_batch_size(batch_size)
    generator, draw = torch.Generator().manual_seed(seed), random.Random(seed)
    pool = 0
    while True:
        stories = world.stories(POOL * batch_size, seed=f"questionnaire/{seed}/{pool}")
        for batch in by_length([len(told(story)) for story in stories], batch_size, generator):
            chosen = [stories[i] for i in batch]
            laid = lay_out(chosen, n_questions, draw, facts=True, fewer=fewer, elsewhere=elsewhere)
            yield hide(
                laid,
                world,
                answer_probability=answer_probability,
                mask_probability=mask_probability,
                generator=generator,
            )
        pool += 1


def hide_answers(batch: Questionnaire, world: World) -> tuple[Tensor, Tensor]:
    """Inputs with every answer masked and no other word, and targets that are ``IGNORED`` elsewhere."""
    asked = batch.kinds > 0
    return batch.ids.masked_fill(asked, vocabulary_of(world).number("[MASK]")), batch.ids.masked_fill(~asked, IGNORED)


def _asking(event: Event, language: str, draw: random.Random) -> tuple[tuple[str, ...], list[int]]:
    """A sentence, and the kind of each of its tokens as in ``Questionnaire.kinds``."""
    sentence = say(event, language)
    if event.kind in QUESTIONS:
        words = 2 if event.kind == "find" else 1
        return sentence, [0] * (len(sentence) - words - 1) + [QUESTIONS.index(event.kind) + 1] * words + [0]
    asked = draw.choice(("subject", "object")) if event.kind == "take" else "place" if event.kind == "be" else "word"
    return sentence, [FACT * (field == asked) for _, field in tagged(event, language)]


def _questions(story: Story, count: int, kinds: Sequence[str], draw: random.Random) -> list[Event]:
    by_kind = {kind: story.world.process.questions_of(story.end, kind) for kind in kinds}
    for events in by_kind.values():
        draw.shuffle(events)
    chosen: list[Event] = []
    while len(chosen) < count and any(by_kind.values()):
        for events in by_kind.values():
            if events and len(chosen) < count:
                chosen.append(events.pop())
    return chosen
