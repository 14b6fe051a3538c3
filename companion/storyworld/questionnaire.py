"""A story and many questions about its end, as one pair of texts for a model that reads both ways.

``[CLS] what happened [SEP] where is Tom garden . who has the key Anna . … [SEP]``: the answers stand in the text, and
the objective hides some of them. To fill one in, the model must know who is where and who has what. What is true at the
end may be told once more between the questions (*Tom is in the garden .*), with a word to be filled in as well.
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
    """Stories with questions and answers.

    Attributes:
        ids: (batch, length), padded with 0 at the end.
        token_type_ids: (batch, length), 0 = what happened, 1 = the questions.
        attention_mask: boolean (batch, length), True = a real token.
        kinds: (batch, length), at each token of an answer the number of its kind in ``QUESTIONS``, counted from 1;
            ``FACT`` at the word to be filled in of a sentence that tells what is true; 0 elsewhere.
        labels: (batch,), 0 = the questions are about this story, 1 = about another one.
    """

    ids: Tensor
    token_type_ids: Tensor
    attention_mask: Tensor
    kinds: Tensor
    labels: Tensor


def vocabulary_of(world: World) -> Vocabulary:
    """Return the world's tokens and BERT's special ones, numbered as ``world.tokenizer(SPECIALS)`` does."""
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
    """Put questions to each story, of all kinds in turn, no question twice.

    Args:
        stories: told by one world; each must allow a question of these kinds.
        n_questions: at most so many for each; a story in which little happens allows fewer.
        draw: chooses them.
        kinds: of questions.
        facts: also tell what is true at the end, between the questions.
        fewer: share of the stories that get any smaller number of questions, from 1 on.
        elsewhere: share of the stories that get the questions of the story before them instead (BERT's second task).

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
    batch: Questionnaire, world: World, *, answers: float, share: float, generator: torch.Generator
) -> Pretraining:
    """Hide words as BERT does, and answers on top of that.

    Args:
        batch: see :func:`lay_out`.
        world: whose words they are.
        answers: share of the answers' tokens to hide, each behind "[MASK]"; those of another story stay.
        share: of all tokens to choose, see :func:`companion.losses.masked.mask_tokens`.
        generator: draws.
    """
    vocabulary = vocabulary_of(world)
    cls_id, sep_id, mask_id = vocabulary.encode(SPECIALS)
    masked = mask_tokens(
        batch.ids,
        batch.attention_mask,
        mask_id=mask_id,
        vocab_size=len(world.vocabulary),
        special_ids=(0, cls_id, sep_id),
        mask_probability=share,
        generator=generator,
    )
    chosen = (batch.kinds > 0) & (batch.labels == 0)[:, None]
    chosen &= torch.rand(batch.ids.shape, generator=generator) < answers
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
    answers: float = 0.9,
    share: float = 0.05,
) -> Iterator[Pretraining]:
    """Tell new stories without end, put questions to them and tell what is true, and hide words and answers.

    Args:
        world: that tells them.
        batch_size: stories a batch.
        seed: of everything that is drawn.
        n_questions: see :func:`lay_out`.
        fewer: see :func:`lay_out`.
        elsewhere: see :func:`lay_out`.
        answers: see :func:`hide`.
        share: see :func:`hide`.

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
            yield hide(laid, world, answers=answers, share=share, generator=generator)
        pool += 1


def hide_answers(batch: Questionnaire, world: World) -> tuple[Tensor, Tensor]:
    """Hide every answer and no other word: inputs (batch, length), and targets that are ``IGNORED`` elsewhere."""
    asked = batch.kinds > 0
    return batch.ids.masked_fill(asked, vocabulary_of(world).number("[MASK]")), batch.ids.masked_fill(~asked, IGNORED)


def _asking(event: Event, language: str, draw: random.Random) -> tuple[tuple[str, ...], list[int]]:
    """A sentence, and at each of its tokens the number of its kind where it is asked for, or 0."""
    sentence = say(event, language)
    if event.kind in QUESTIONS:
        words = 2 if event.kind == "find" else 1
        return sentence, [0] * (len(sentence) - words - 1) + [QUESTIONS.index(event.kind) + 1] * words + [0]
    asked = draw.choice(("subject", "object")) if event.kind == "take" else "place" if event.kind == "be" else "word"
    return sentence, [FACT * (field == asked) for _, field in tagged(event, language)]


def _questions(story: Story, count: int, kinds: Sequence[str], draw: random.Random) -> list[Event]:
    by_kind = {kind: [event for _, event in story.world.process.questions_of(story.end, kind)] for kind in kinds}
    for events in by_kind.values():
        draw.shuffle(events)
    chosen: list[Event] = []
    while len(chosen) < count and any(by_kind.values()):
        for events in by_kind.values():
            if events and len(chosen) < count:
                chosen.append(events.pop())
    return chosen
