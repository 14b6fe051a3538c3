"""Accuracy of a language model on the questions of a story, and the attention heads that look for the answer.

Chapter: ``book/concepts/storyworld.ipynb``.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from companion.nn.capture import capture
from companion.storyworld import QUESTIONS, Event, Story
from companion.storyworld.language import say, tagged, word
from companion.storyworld.views import told


@dataclass(frozen=True)
class Question:
    """A question about a story, as a prompt for a language model.

    Attributes:
        story: story of the question; its own questions are left out.
        event: the question with its right answer.
        prompt: tokens of what happened and of the question, up to the answer.
        answer: right tokens after the prompt, the full stop included.
    """

    story: Story
    event: Event
    prompt: tuple[str, ...]
    answer: tuple[str, ...]


def ask(stories: Sequence[Story], kind: str, seed: int = 0) -> list[Question]:
    """One random question of one kind about each story that allows it.

    >>> from companion.storyworld import World
    >>> (question,) = ask(World("tiny").stories(1), "see", seed=1)
    >>> " ".join(question.prompt), question.answer
    ('Tom is in the kitchen . Anna is in the kitchen . Can Tom see Anna', ('yes', '.'))

    Raises:
        ValueError: when ``kind`` is not one of ``QUESTIONS``.
    """
    if kind not in QUESTIONS:
        raise ValueError(f"kind must be one of {', '.join(QUESTIONS)}; got {kind!r}")
    draw = random.Random(seed)
    questions = []
    for story in stories:
        events = story.world.process.questions_of(story.end, kind)
        if events:
            questions.append(_question(story, draw.choice(events)))
    return questions


def _question(story: Story, event: Event) -> Question:
    language = story.world.language
    sentence = say(event, language)
    begins = len(sentence) - (3 if event.kind == "find" else 2)
    return Question(story, event, (*told(story), *sentence[:begins]), sentence[begins:])


@torch.no_grad()
def predictions(model: nn.Module, questions: Sequence[Question]) -> list[tuple[str, ...]]:
    """Greedy continuation of each prompt, for as many tokens as the answer has.

    The second token is predicted after the model's own first one.

    Args:
        model: a causal model over the stories' vocabulary, in evaluation mode.
        questions: see :func:`ask`.

    Raises:
        ValueError: when there is no question.
    """
    if not questions:
        raise ValueError("there is no question to answer")
    vocabulary = questions[0].story.world.vocabulary
    number = {token: i for i, token in enumerate(vocabulary)}
    device = next(model.parameters()).device
    room = max(len(q.prompt) + len(q.answer) for q in questions)
    ids = torch.zeros(len(questions), room, dtype=torch.int64, device=device)  # a causal model reads no padding
    ends = torch.tensor([len(q.prompt) for q in questions], device=device)
    for row, question in zip(ids, questions, strict=True):
        row[1 : len(question.prompt) + 1] = torch.tensor([number[token] for token in question.prompt])
    rows = torch.arange(len(questions), device=device)
    given: list[list[str]] = [[] for _ in questions]
    for step in range(max(len(q.answer) for q in questions)):
        chosen = torch.cat([model(part) for part in torch.split(ids, 64)])[rows, ends + step].argmax(-1)
        ids[rows, (ends + step + 1).clamp(max=room - 1)] = chosen
        for words, question, token in zip(given, questions, chosen.tolist(), strict=True):
            if step < len(question.answer):
                words.append(vocabulary[token])
    return [tuple(words) for words in given]


def accuracy(model: nn.Module, stories: Sequence[Story], seed: int = 0) -> dict[str, float]:
    """Exact-match accuracy of a model on each kind of question.

    Args:
        model: a causal model over the stories' vocabulary, in evaluation mode.
        stories: held-out stories.
        seed: seed of the choice of questions.
    """
    accuracies = {}
    for kind in QUESTIONS:
        questions = ask(stories, kind, seed)
        right = [given == q.answer for given, q in zip(predictions(model, questions), questions, strict=True)]
        accuracies[kind] = sum(right) / len(right)
    return accuracies


def attention_from_answer(model: nn.Module, questions: Sequence[Question], kind: str) -> Tensor:
    """Mean attention of each head to what the question is about, from the position that predicts the answer.

    Args:
        model: a causal model over the stories' vocabulary.
        questions: see :func:`ask`.
        kind: kind of :func:`targets`: "place" is the last mention of where the person who matters is; "person" the
            other person of a *see* question; "sentence" all tokens, the full stop too, of the last statement about who
            has the object in question.

    Returns:
        mean attention (layers, heads), from 0 to 1.

    Raises:
        ValueError: on another kind, or when no question has such a token.
    """
    if kind not in ("place", "person", "sentence"):
        raise ValueError(f"kind must be place, person or sentence; got {kind!r}")
    scores = []
    for question in questions:
        looked_for = targets(question, kind)
        if looked_for:
            weights = _attention(model, question.story, question.prompt)
            scores.append(weights[:, :, -1, looked_for].sum(-1))
    if not scores:
        raise ValueError(f"none of the {len(questions)} questions has a {kind} to look at")
    return torch.stack(scores).mean(0)


def targets(question: Question, kind: str) -> list[int]:
    """Positions in ``<|endoftext|>`` + prompt of what the question is about.

    >>> from companion.storyworld import World
    >>> (question,) = ask(World("tiny").stories(1), "where", seed=1)
    >>> question.prompt[-1], targets(question, "place"), question.prompt[targets(question, "place")[0] - 1]
    ('Tom', [5], 'kitchen')

    Args:
        question: see :func:`ask`.
        kind: see :func:`attention_from_answer`.
    """
    event, language = question.event, question.story.world.language
    if kind == "person":
        return [question.prompt.index(word(event, "subject", language), len(told(question.story))) + 1]
    found, position = [], 1
    for statement in question.story.statements:
        sentence = tagged(statement, language)
        if kind == "sentence" and event.object and statement.object == event.object:
            found = list(range(position, position + len(sentence)))  # an earlier holder counts no more
        if kind == "place" and statement.subject == (event.other or event.subject):
            found = [position + i for i, (_, name) in enumerate(sentence) if name == "place"] or found
        position += len(sentence)
    return found


def pronoun_attention(model: nn.Module, stories: Sequence[Story]) -> Tensor:
    """Mean attention of each head from a pronoun to its name, the subject of the sentence before.

    Returns:
        mean attention (layers, heads).

    Raises:
        ValueError: when no story has a pronoun.
    """
    scores = []
    for story in stories:
        weights, position, before = None, 1, 0
        for statement in story.statements:
            if statement.pronoun:
                weights = _attention(model, story, told(story)) if weights is None else weights
                scores.append(weights[:, :, position, before])
            before = position
            position += len(say(statement, story.world.language))
    if not scores:
        raise ValueError(f"none of the {len(stories)} stories has a pronoun")
    return torch.stack(scores).mean(0)


def previous_token_attention(model: nn.Module, stories: Sequence[Story]) -> Tensor:
    """Mean attention of each head to the token just before, over all positions but the first two.

    Returns:
        mean attention (layers, heads).
    """
    scores = []
    for story in stories:
        weights = _attention(model, story, told(story))  # (layers, heads, n, n)
        scores.append(weights.diagonal(-1, -2, -1)[:, :, 1:].mean(-1))
    return torch.stack(scores).mean(0)


@torch.no_grad()
def _attention(model: nn.Module, story: Story, tokens: Sequence[str]) -> Tensor:
    """Attention weights over ``<|endoftext|>`` + tokens: (layers, heads, n, n)."""
    number = {token: i for i, token in enumerate(story.world.vocabulary)}
    device = next(model.parameters()).device
    with capture(model) as record:
        model(torch.tensor([[0, *(number[token] for token in tokens)]], device=device))
    return torch.stack([weights[0] for weights in record.attention]).cpu()
