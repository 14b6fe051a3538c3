"""Texts, bodies, a baseline and a look at attention for the experiments of ``book/concepts/transfer.ipynb``."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from tokenizers import Encoding, Tokenizer
from torch import Tensor, nn

from companion import zoo
from companion.data.hub import Texts
from companion.data.labelled import Labelled, labelled
from companion.models.baselines.naive_bayes import NaiveBayes
from companion.models.gpt import GPT
from companion.nn.capture import capture
from companion.nn.initialization import sinusoidal_initialization
from companion.storyworld import GENRES, Story, World, tasks

MODEL = "storyworld-en"
WORLD = World("small", language="en")
TOKENIZER: Tokenizer = WORLD.tokenizer()
TOPICS = list(GENRES)
BACK_TO_PEOPLE, QUESTION = (0, 2), 4  # *Can Anna see Tom*: the two names from its end, and its length


def told() -> tasks.Split:
    """Stories to learn from and stories to be tested on, with none in common."""
    return tasks.split(WORLD, train=600, validation=0, test=700, seed=26)


def meetings(stories: Sequence[Story], n: int | None = None) -> list[tasks.Example]:
    """The first ``n`` questions whether two people are together at the end of a story, all without ``n``."""
    return tasks.meeting(stories)[:n]


def encoded(example: tasks.Example) -> Encoding:
    """An example's text and question as the story GPT reads them."""
    return TOKENIZER.encode(list(example.tokens), is_pretokenized=True)


def topic_rows(stories: Sequence[Story]) -> Labelled:
    """Stories with their genre, one of ``TOPICS``."""
    examples = tasks.genre(stories)
    return labelled([encoded(one) for one in examples], [one.label for one in examples], TOPICS)


def counted(train: Sequence[tasks.Example], test: Sequence[tasks.Example]) -> float:
    """Accuracy of naive Bayes, which counts the words under each label."""
    bayes = NaiveBayes([one.tokens for one in train], [one.label for one in train])
    return bayes.accuracy([one.tokens for one in test], [one.label for one in test])


def body(begin: str) -> GPT:
    """The story GPT, "pre-trained", or "scratch": of its sizes, with the weights that its pre-training began from."""
    trained: GPT = zoo.load(MODEL)[0]
    if begin == "pre-trained":
        return trained
    fresh = GPT(trained.config)
    sinusoidal_initialization(fresh)
    return fresh


@torch.no_grad()
def vectors(gpt: GPT, rows: Labelled) -> dict[str, Tensor]:
    """Two vectors (texts, d_model) that a frozen body gives each text: of its last token, and the mean of all."""
    real = rows.attention_mask
    hidden = gpt.hidden(rows.inputs, real)  # (texts, length, d_model)
    last = hidden[torch.arange(len(hidden)), real.sum(1) - 1]
    return {"last token": last, "mean of all": (hidden * real[..., None]).sum(1) / real.sum(1, keepdim=True)}


class Looks(NamedTuple):
    """Attention weight of the last token by what it looks at, mean over heads and texts: one number per layer each.

    Attributes:
        people: mentions in the story of the two people that the question names.
        places: all places in the story.
        others: the other words of the story.
    """

    people: Tensor
    places: Tensor
    others: Tensor


@torch.no_grad()
def last_token_looks(gpt: nn.Module, rows: Labelled) -> Looks:
    """What the last token of each text and question looks at."""
    ids, real = rows.inputs, rows.attention_mask
    last, texts = real.sum(1) - 1, torch.arange(len(ids))
    asked = torch.stack([ids[texts, last - back] for back in BACK_TO_PEOPLE], 1)
    in_story = torch.arange(ids.size(1)) < (last - QUESTION + 1)[:, None]
    people = (ids[:, :, None] == asked[:, None]).any(-1)
    places = torch.isin(ids, torch.tensor([TOKENIZER.token_to_id(place) for place in WORLD.process.places]))
    with capture(gpt.cpu().eval()) as record:
        gpt(ids, real)
    own = [weights[texts, :, last].mean(1) for weights in record.attention]  # (texts, length) each
    groups = (people, places, ~people & ~places)
    return Looks(*(torch.stack([(w * (group & in_story)).sum(1).mean() for w in own]) for group in groups))


@torch.no_grad()
def attention(model: nn.Module, text: Encoding) -> list[Tensor]:
    """Attention weights of every layer on one text."""
    with capture(model.cpu().eval()) as record:
        model(torch.tensor([text.ids]))
    return record.attention


def bayes_on_characters(train: Texts, test: Texts, size: int) -> float:
    """Accuracy of naive Bayes whose words are all runs of ``size`` characters, for texts without spaces.

    >>> bayes_on_characters(Texts(["很好", "不好"], ["+", "-"], ("+", "-")), Texts(["很"], ["+"], ("+", "-")), 1)
    1.0
    """
    runs = (
        [[text[i : i + size] for i in range(len(text) - size + 1)] for text in part.texts] for part in (train, test)
    )
    counted, asked = runs
    return NaiveBayes(counted, train.labels).accuracy(asked, test.labels)
