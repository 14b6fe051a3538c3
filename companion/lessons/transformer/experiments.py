"""What the chapter on the Transformer translates and trains with, and what it asks a published model.

Chapter: ``book/concepts/transformer.ipynb``.
"""

import random
from collections.abc import Iterable, Iterator, Sequence
from functools import cache

from torch import nn

from companion.data.vocabulary import Vocabulary
from companion.generation import GREEDY, generate
from companion.losses.spans import Seq2Seq, pairs, sequence_loss
from companion.models.transformer import Transformer
from companion.storyworld import Event, Story, World
from companion.storyworld.language import say
from companion.training.loop import OnStep, fit
from companion.training.run_state import History
from companion.training.settings import Evaluation, Optimization

WORLDS = {"en": World("small", "en"), "zh": World("small", "zh")}
VOCABULARY = Vocabulary(dict.fromkeys([*WORLDS["en"].vocabulary, *WORLDS["zh"].vocabulary]))
STEPS, BATCH_SIZE = 200, 32
Passage = tuple[Event, ...]  # one sentence, or two in a row

PROMPTS = {  # kind -> prompt and the token that answers it
    "capital": {
        f"The capital of {country} is": f" {city}"
        for country, city in {
            "France": "Paris",
            "Italy": "Rome",
            "Germany": "Berlin",
            "Spain": "Madrid",
            "Japan": "Tokyo",
            "Russia": "Moscow",
            "Egypt": "Cairo",
            "England": "London",
            "Greece": "Athens",
            "Norway": "Oslo",
        }.items()
    },
    "opposite": {
        f"The opposite of {word} is": f" {other}"
        for word, other in {
            "hot": "cold",
            "up": "down",
            "big": "small",
            "left": "right",
            "day": "night",
            "good": "bad",
            "black": "white",
            "old": "young",
            "fast": "slow",
            "open": "closed",
        }.items()
    },
    "past tense": {
        f"Today I {verb}. Yesterday I": f" {past}"
        for verb, past in {
            "walk": "walked",
            "play": "played",
            "go": "went",
            "see": "saw",
            "eat": "ate",
            "sing": "sang",
            "write": "wrote",
            "run": "ran",
            "work": "worked",
            "sleep": "slept",
        }.items()
    },
}


def said(events: Iterable[Event], language: str) -> list[str]:
    """Words of these events in a language, "en" or "zh".

    >>> " ".join(said(WORLDS["en"].stories(1, seed=2)[0].statements[:1], "en"))
    'Susan is in the station .'
    """
    return [word for event in events for word in say(event, language)]


def collate(some: Sequence[Passage]) -> Seq2Seq:
    """Batch with Chinese to read and English to write.

    >>> collate(training_passages()[:3]).inputs.shape[0]
    3
    """
    chinese, english = ([VOCABULARY.encode(said(one, language)) for one in some] for language in ("zh", "en"))
    return pairs(chinese, english, start_id=0, end_id=0)


def passages(stories: Iterable[Story], seed: int) -> Iterator[Passage]:
    """One sentence, or two in a row, from each story.

    >>> len(list(passages(WORLDS["en"].stories(4), seed=0)))
    4
    """
    draw = random.Random(seed)
    for story in stories:
        count = draw.randint(1, 2)
        begin = draw.randrange(len(story.statements) - count + 1)
        yield tuple(story.statements[begin : begin + count])


@cache
def training_passages() -> list[Passage]:
    """Passages of one run, in the order in which they are read.

    >>> len(training_passages()) == STEPS * BATCH_SIZE
    True
    """
    return list(passages(WORLDS["en"].stories(STEPS * BATCH_SIZE, seed=0), seed=0))


@cache
def training_batches() -> list[Seq2Seq]:
    """The training passages in batches.

    >>> len(training_batches()) == STEPS
    True
    """
    read = training_passages()
    return [collate(read[i : i + BATCH_SIZE]) for i in range(0, len(read), BATCH_SIZE)]


def train(
    model: nn.Module,
    steps: int = STEPS,
    *,
    warmup: int | None = None,
    loss_on: Seq2Seq | None = None,
    progress: bool | OnStep = False,
) -> History:
    """Train a translator on the first batches of the training passages, with AdamW and a linear schedule.

    >>> from companion.models.transformer import Transformer, TransformerConfig
    >>> model = Transformer(TransformerConfig(len(VOCABULARY), 32, n_layers=1, n_heads=1, d_model=8))
    >>> len(train(model, steps=2).loss)
    2

    Args:
        model: a model of the two languages.
        steps: of the optimizer.
        warmup: steps of warm-up; a twentieth of all when not given.
        loss_on: held-out batch, whose loss is measured every twenty steps.
        progress: what shows the run, see :func:`companion.training.fit`.
    """
    measure = None if loss_on is None else Evaluation(lambda one: sequence_loss(one, loss_on).item(), every=20)
    return fit(
        model,
        training_batches()[:steps],
        steps=steps,
        loss=sequence_loss,
        learning_rate=3e-3,
        optimization=Optimization(weight_decay=0.0, schedule="linear", warmup=warmup),
        evaluation=measure,
        progress=progress,
    )


def translate(model: Transformer, batch: Seq2Seq) -> list[list[str]]:
    """Greedy translations of a batch, in words.

    >>> from companion.models.transformer import TransformerConfig
    >>> model = Transformer(TransformerConfig(len(VOCABULARY), 32, n_layers=1, n_heads=1, d_model=8)).eval()
    >>> len(translate(model, collate(training_passages()[:3])))
    3
    """
    texts = generate(model, batch.inputs, 20, attention_mask=batch.attention_mask, decoding=GREEDY, stop=0)
    return [VOCABULARY.decode(text[: [*text, 0].index(0)]) for text in texts[:, 1:].tolist()]
