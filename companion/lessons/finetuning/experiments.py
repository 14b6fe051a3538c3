"""Texts, baselines and bodies for the experiments of ``book/algorithms/finetuning.ipynb``."""

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import torch
from tokenizers import Encoding, Tokenizer
from torch import Tensor

from companion import zoo
from companion.data import hub, reviews
from companion.data.labelled import Labelled, Tagged, tagged
from companion.data.vocabulary import Vocabulary
from companion.finetuning.predictions import predict, predicted_tags
from companion.generation import GREEDY, generate
from companion.generation.sampling import left_padded
from companion.losses.causal import Completions, completions
from companion.metrics.classification import Report
from companion.metrics.entities import entity_report
from companion.models.baselines.naive_bayes import NaiveBayes
from companion.models.bert import Bert
from companion.models.gpt import GPT
from companion.nn.capture import capture
from companion.nn.initialization import positional_initialization, sinusoidal_initialization
from companion.storyworld import Story, World, tasks, views
from companion.storyworld.language import say
from companion.storyworld.questionnaire import SPECIALS, hide, lay_out, vocabulary_of
from companion.zoo.recipes.storyworld_bert import HELD_OUT_SEED, mean_wrong

BERT = "storyworld-bert"
WORLD = World("small", language="en")
TOKENIZER: Tokenizer = WORLD.tokenizer(SPECIALS)
WORDS = Vocabulary(WORLD.vocabulary)
END = 0  # before and after each text of the story GPT
OFFSETS = (1, 2, 3, 4)  # of the first heads, where the pre-training of the story BERT began
INITIALIZATIONS: dict[str, Callable[[Bert], None]] = {
    "from scratch": sinusoidal_initialization,
    "same initialization": partial(positional_initialization, offsets=OFFSETS),
}
ROLES = ["O", *sorted({f"B-{role}" for role in views.ROLES.values()})]
KINDS = ("names", "verb", "[CLS], [SEP]", "the rest")  # of tokens that [CLS] may look at


def lesson_of_pretraining() -> tuple[list[str], list[str]]:
    """A text of the story BERT's pre-training as it reads it, and the words that it is asked for."""
    laid = lay_out(WORLD.stories(1, seed=5), 3, random.Random(0), facts=True)
    draw = torch.Generator().manual_seed(0)
    lesson = hide(laid, WORLD, answer_probability=0.9, mask_probability=0.05, generator=draw)
    numbered = vocabulary_of(WORLD)
    return numbered.decode(lesson.inputs[0]), numbered.decode(lesson.targets[0][lesson.targets[0] >= 0])


def random_body(initialization: str, seed: int = 0) -> Bert:
    """A body of the story BERT's sizes from random weights, with one of ``INITIALIZATIONS``."""
    torch.manual_seed(seed)
    body = Bert(zoo.load(BERT)[0].config)
    INITIALIZATIONS[initialization](body)
    return body


def weight_by_distance(body: Bert, farthest: int = 5) -> list[list[float]]:
    """Mean attention weight that each head of the first layer gives to the token 0, 1, … ``farthest`` places back."""
    laid = lay_out(WORLD.stories(1, seed=5), 3, random.Random(0), facts=True)
    with torch.no_grad(), capture(body.eval()) as record:
        body(laid.ids)
    return [[w.diagonal(-back)[8:].mean().item() for back in range(farthest + 1)] for w in record.attention[0][0]]


def told() -> tasks.Split:
    """Stories to learn from, to choose by, and to be judged by; no two parts have one in common."""
    return tasks.split(WORLD, train=500, validation=150, test=500, seed=7)


def who_gave(stories: Sequence[Story], n: int | None = None) -> list[tasks.Example]:
    """The first ``n`` sentences about a person who gives or gets, all of the stories without ``n``."""
    return tasks.giver(stories)[:n]


def topic_by_counting(known: Sequence[Story], new: Sequence[Story]) -> float:
    """Accuracy of naive Bayes on the genre of a story."""
    return counted(tasks.genre(known), tasks.genre(new))


def counted(train: Sequence[tasks.Example], test: Sequence[tasks.Example]) -> float:
    """Accuracy of naive Bayes, which counts the words under each label."""
    bayes = NaiveBayes([one.tokens for one in train], [one.label for one in train])
    return bayes.accuracy([one.tokens for one in test], [one.label for one in test])


class Sentences(NamedTuple):
    """Sentences with a tag for each word.

    Attributes:
        words: of each sentence.
        encodings: what the tokenizer made of them.
        tags: names, one per word.
        rows: the same for a model.
    """

    words: list[list[str]]
    encodings: list[Encoding]
    tags: list[list[str]]
    rows: Tagged

    def report(self, said: Sequence[Sequence[str]]) -> Report:
        """Precision, recall and F1 of some tags, by kind of entity and over all."""
        return entity_report(said, self.tags)

    def judged(self, model: torch.nn.Module) -> Report:
        """The report of what a model says."""
        return self.report(predicted_tags(predict(model, self.rows), self.encodings, ROLES))


def role_sentences(n: int, seed: str) -> Sentences:
    """Sentences of ``n`` stories, one of each, with the role of each word."""
    draw = random.Random(seed)
    events = [draw.choice(story.statements) for story in WORLD.stories(n, seed)]
    pairs = [views.tags(Story(WORLD, (event,), ""), "role") for event in events]
    words, tags = ([[pair[side] for pair in text] for text in pairs] for side in (0, 1))
    encodings = [TOKENIZER.encode(text, is_pretokenized=True) for text in words]
    return Sentences(words, encodings, tags, tagged(encodings, tags, ROLES))


def by_lexicon(known: Sentences, new: Sentences, *, next_too: bool) -> Report:
    """Report of the tag that each word had most often, by itself or together with the word after it."""

    def keys(text: list[str]) -> list[object]:
        return list(zip(text, [*text[1:], "."], strict=True)) if next_too else list(text)

    seen: defaultdict[object, Counter[str]] = defaultdict(Counter)
    for text, tags in zip(known.words, known.tags, strict=True):
        for key, tag in zip(keys(text), tags, strict=True):
            seen[key][tag] += 1
    found = ([seen[key] for key in keys(text)] for text in new.words)
    return new.report([[one.most_common(1)[0][0] if one else "O" for one in text] for text in found])


class Question(NamedTuple):
    """A question about a sentence, and the number of the word that answers it."""

    asked: list[str]
    sentence: list[str]
    place: int


def hand_overs(stories: Sequence[Story]) -> list[Question]:
    """Who gives and who gets, of each sentence in which something changes hands and both are named."""
    found = []
    for event in (event for story in stories for event in story.statements):
        if event.kind in ("give", "get") and not event.pronoun:
            sentence = list(say(event, "en"))
            pair = (event.subject, event.other)
            for verb, person in zip(("gives", "gets"), pair if event.kind == "give" else pair[::-1], strict=True):
                found.append(Question(["Who", verb], sentence, sentence.index(str(person))))
    return found


def summary(story: Story) -> list[str]:
    """Who is where at the end of a story."""
    return list(views.summary(story)[: 6 * len(story.end.place)])


def opening(story: Story) -> list[str]:
    """As many words of the story's beginning as its summary has: who was where."""
    return list(views.told(story)[: len(summary(story))])


def prompt(story: Story) -> list[int]:
    """What the story GPT reads before it sums a story up."""
    return [END, *WORDS.encode(views.told(story)), END]


def summaries(stories: Sequence[Story], size: int, seed: int = 0) -> Iterator[Completions]:
    """Batches of stories with their summaries, without end."""
    draw = torch.Generator().manual_seed(seed)
    while True:
        order = torch.randperm(len(stories), generator=draw).tolist()
        for first in range(0, len(stories) - size + 1, size):
            some = [stories[i] for i in order[first : first + size]]
            yield completions([prompt(one) for one in some], [[*WORDS.encode(summary(one)), END] for one in some])


def written(writer: GPT, stories: Sequence[Story], tokens: int = 25) -> list[list[str]]:
    """What a GPT writes after each story, the likeliest token each time."""
    device = next(writer.parameters()).device
    ids, real = (x.to(device) for x in left_padded([prompt(story) for story in stories]))
    rows = generate(writer, ids, tokens, attention_mask=real, decoding=GREEDY, stop=END)[:, ids.size(1) :].cpu()
    return [WORDS.decode(row[row != END]) for row in rows]


def right_on_old_task(model: torch.nn.Module, stories: int = 40) -> float:
    """Fraction of the gaps in questions about held-out stories that the story BERT still fills rightly."""
    return 1 - mean_wrong(model.cpu().eval(), WORLD.stories(stories, HELD_OUT_SEED))


@torch.no_grad()
def cls_looks(model: torch.nn.Module, texts: Sequence[Encoding], rows: Labelled) -> Tensor:
    """Mean attention weight of [CLS] by kind of token, over heads and texts: (layers, kinds)."""
    kinds = torch.zeros(*rows.inputs.shape, len(KINDS))
    for row, text in enumerate(texts):
        for place, token in enumerate(text.tokens):
            kinds[row, place, KINDS.index(_kind(token))] = 1
    with capture(model.cpu().eval()) as record:
        model(*rows[:3])
    own = [weights[:, :, 0].mean(1) for weights in record.attention]  # of [CLS]: (texts, length)
    return torch.stack([(weights[:, None] @ kinds)[:, 0].mean(0) for weights in own])


@torch.no_grad()
def attention(model: torch.nn.Module, text: Encoding) -> list[Tensor]:
    """Attention weights of every layer on one text."""
    with capture(model.cpu().eval()) as record:
        model(torch.tensor([text.ids]))
    return record.attention


def _kind(token: str) -> str:
    if token in WORLD.process.people:
        return "names"
    if token in ("gives", "gets"):
        return "verb"
    return "[CLS], [SEP]" if token in ("[CLS]", "[SEP]") else "the rest"


class Reviews(NamedTuple):
    """Sentences of film reviews as a published model reads them.

    Attributes:
        train: sentences with labels to learn from.
        test: held-out ones.
        texts: held-out ones as they were written.
    """

    train: Labelled
    test: Labelled
    texts: list[str]


def review_rows(tokenizer: Tokenizer, labels: int, held_out: int, seed: int = 0) -> Reviews:
    """Film reviews with an opinion, so many to learn from and so many to be judged by, drawn from parts kept apart."""
    parts, draw = reviews.split(reviews.opinions(reviews.movie_reviews())), random.Random(seed)
    chosen = [draw.sample(parts.train, labels), draw.sample(parts.test, held_out)]
    texts = [reviews.polarity(some) for some in chosen]
    train, test = (one.rows(hub.encode(tokenizer, one.texts, 64)) for one in texts)
    return Reviews(train, test, texts[1].texts)
