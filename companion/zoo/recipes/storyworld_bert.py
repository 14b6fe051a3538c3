"""Recipe of the story world's BERT: sizes, training, measurements, and the model card.

Chapter: ``book/algorithms/finetuning.ipynb``.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from companion.data.batch import IGNORED
from companion.losses.sentences import pretraining_loss
from companion.models.bert import BertConfig, BertForPreTraining
from companion.nn.initialization import positional_initialization
from companion.storyworld import QUESTIONS, VERSION, Story, World
from companion.storyworld.questionnaire import (
    SPECIALS,
    hide,
    hide_answers,
    lay_out,
    questionnaire_batches,
    vocabulary_of,
)
from companion.training.run_state import History, joined
from companion.zoo.recipes.common import begin, facts, finish, train_on_stories


@dataclass(frozen=True)
class BertRecipe:
    """Everything that determines a model's weights, beside the versions of Python and torch.

    Attributes:
        language: of the stories.
        config: sizes of the model; its vocabulary is the world's and BERT's special tokens.
        rounds: steps of each round; the learning rate rises and falls in each.
        elsewhere: in each round the fraction of stories with another story's questions, for next-sentence prediction;
            0 before the model can answer.
        batch_size: stories per step, each of them read once.
        offsets: initial distance, in tokens, at which each head of the first layer attends.
        learning_rate: at its peak, of Muon and AdamW, without weight decay: no story is read twice.
        seed: of the weights and of the stories.
    """

    language: str
    config: BertConfig
    rounds: tuple[int, ...]
    elsewhere: tuple[float, ...]
    batch_size: int
    offsets: tuple[int, ...]
    learning_rate: float
    seed: int


RECIPES = {
    "storyworld-bert": BertRecipe(
        language="en",
        config=BertConfig(len(vocabulary_of(World())), context_length=224, n_layers=4, n_heads=4, d_model=64),
        rounds=(5_000, 7_000, 7_000),
        elsewhere=(0.0, 0.0, 0.125),
        batch_size=16,
        offsets=(1, 2, 3, 4),
        learning_rate=3e-3,
        seed=2026,
    ),
}
HELD_OUT_SEED = 10**6  # never a seed of training
HELD_OUT = 1000  # stories


def train(name: str, target: Path, threads: int = 1) -> History:
    """Make the model: train it, and write its folder with a model card.

    Interrupted and called again, it resumes from the checkpoints in the folder and ends with the same weights.

    Args:
        name: one of ``RECIPES``.
        target: folder of the model, made when missing.
        threads: number of torch's threads; another number changes the last bits of the weights.

    Raises:
        ValueError: on an unknown name.
    """
    recipe = begin(name, RECIPES, target, threads)
    world = World(language=recipe.language)
    world.tokenizer(SPECIALS).save(str(target / "tokenizer.json"))
    watched = world.stories(200, HELD_OUT_SEED)
    torch.manual_seed(recipe.seed)
    model = BertForPreTraining(recipe.config)
    positional_initialization(model.bert, recipe.offsets)
    histories = [
        train_on_stories(
            model,
            questionnaire_batches(world, recipe.batch_size, recipe.seed + number, elsewhere=elsewhere),
            steps,
            recipe,
            target / f"run-{number}.safetensors",
            lambda m: mean_wrong(m, watched),
            pretraining_loss,
        )
        for number, (steps, elsewhere) in enumerate(zip(recipe.rounds, recipe.elsewhere, strict=True))
    ]
    history = joined(histories)
    finish(model, target, lambda: card(name, target, history))
    return history


@torch.no_grad()
def accuracy_by_kind(model: nn.Module, stories: Sequence[Story]) -> dict[str, float]:
    """Accuracy by kind of question: the fraction of stories whose one question is answered right in every word.

    Args:
        model: ids, segments and mask -> (logits, anything), in evaluation mode.
        stories: held-out stories.

    >>> def silent(ids, segments, mask):
    ...     return nn.functional.one_hot(torch.zeros_like(ids), 200), None
    >>> set(accuracy_by_kind(silent, World().stories(5, seed=1)).values())
    {0.0}
    """
    world = stories[0].world
    accuracy = {}
    for kind in QUESTIONS:
        able = [story for story in stories if world.process.questions_of(story.end, kind)]
        laid = lay_out(able, 1, random.Random(0), kinds=[kind])
        inputs, targets = hide_answers(laid, world)
        texts = zip(*(torch.split(x, 100) for x in (inputs, laid.token_type_ids, laid.attention_mask)), strict=True)
        said = torch.cat([model(*text)[0].argmax(-1) for text in texts])
        accuracy[kind] = ((said == targets) | (targets == IGNORED)).all(1).float().mean().item()
    return accuracy


def mean_wrong(model: nn.Module, stories: Sequence[Story]) -> float:
    """Error rate of the answers, averaged over the kinds of questions; arguments as in :func:`accuracy_by_kind`.

    >>> def silent(ids, segments, mask):
    ...     return nn.functional.one_hot(torch.zeros_like(ids), 200), None
    >>> mean_wrong(silent, World().stories(5, seed=1))
    1.0
    """
    accuracy = accuracy_by_kind(model, stories)
    return 1 - sum(accuracy.values()) / len(accuracy)


def card(name: str, folder: Path, history: History) -> str:
    """Model card, with measurements of the weights in ``folder`` on held-out stories."""
    recipe = RECIPES[name]
    model = BertForPreTraining.from_pretrained(folder).eval()  # the rounded weights that ship
    world = World(language=recipe.language)
    stories = world.stories(HELD_OUT, HELD_OUT_SEED)
    words, pairs = _pretraining_accuracy(model, stories)
    return CARD.format(
        name=name,
        config=recipe.config,
        version=VERSION,
        recipe=recipe,
        seen=f"{sum(recipe.rounds) * recipe.batch_size:,}",
        rounds=" + ".join(f"{steps:,}" for steps in recipe.rounds),
        held_out=HELD_OUT,
        words=f"{words:.1%}",
        pairs=f"{pairs:.1%}",
        answers="\n".join(f"| {kind} | {right:.1%} |" for kind, right in accuracy_by_kind(model, stories).items()),
        **facts(model, folder, history),
    )


@torch.no_grad()
def _pretraining_accuracy(model: nn.Module, stories: Sequence[Story]) -> tuple[float, float]:
    """Accuracy of masked words and of next-sentence prediction, BERT's own two tasks."""
    laid = lay_out(stories, 8, random.Random(0), elsewhere=0.5)
    draw = torch.Generator().manual_seed(0)
    batch = hide(laid, stories[0].world, answer_probability=0.0, mask_probability=0.15, generator=draw)
    texts = zip(*(x.split(100) for x in (batch.inputs, laid.token_type_ids, laid.attention_mask)), strict=True)
    answers = [model(*text) for text in texts]
    logits, pairs = (torch.cat(parts) for parts in zip(*answers, strict=True))
    asked = batch.targets != IGNORED
    right = (logits.argmax(-1) == batch.targets)[asked].float().mean().item()
    return right, (pairs.argmax(-1) == batch.labels).float().mean().item()


CARD = """# {name}

A BERT of {config.n_layers} layers × {config.n_heads} heads, d_model {config.d_model}, context {config.context_length},
{config.vocab_size} tokens (whole words, [CLS], [SEP], [MASK]): {parameters} parameters, {megabytes} MB in float16.

**For** fine-tuning on tasks about stories, as a teacher, and for filling in `[MASK]`. **Not for** any other text: it
knows the words of the story world and no others.

**Trained on** English stories of `companion.storyworld`, version {version}, size small, each with up to eight
questions about its end, and what is true then, as the second part of the text: {seen} of them, each read once. Hidden
are 5 % of all words, and nine tenths of the answers on top; in the last round one story in eight comes with the
questions of another one, for next-sentence prediction (`companion.storyworld.questionnaire`).

**Trained by** `python -m companion.zoo train {name}`: {rounds} steps of {recipe.batch_size} stories,
first heads that begin by looking 1 to 4 tokens back (`companion.nn.initialization.positional_initialization`),
Muon and AdamW, peak learning rate {recipe.learning_rate}, seed {recipe.seed}, torch {torch}, Python {python};
{minutes} minutes of processor time, one thread.

**Measured** on {held_out} held-out stories, with the rounded weights that ship: {words} of the hidden words are right
(15 % of the words of a story and its questions), and {pairs} of the pairs, of which every second is another story's:
it has hardly learned to tell them apart. One question to a story, its answer hidden, every word of it right:

| question | right |
| --- | --- |
{answers}

License: Apache-2.0, like the book.
"""
