"""Recipes of the story world's GPTs: sizes, training, measurements, and the model card.

Chapter: ``book/concepts/storyworld.ipynb``.
"""

from dataclasses import dataclass
from pathlib import Path

import torch

from companion.metrics.language_model import excess_nll, padded_like, per_token
from companion.models.gpt import GPT, GPTConfig
from companion.nn.initialization import sinusoidal_initialization
from companion.storyworld import VERSION, World, quiz, rows, story_batches
from companion.training.run_state import History, joined
from companion.zoo.recipes.common import begin, facts, finish, train_on_stories


@dataclass(frozen=True)
class StoryRecipe:
    """Everything that determines a model's weights, beside the versions of Python and torch.

    Attributes:
        language: of the stories.
        config: sizes of the model; its vocabulary is the world's.
        rounds: steps of each round; the learning rate rises and falls in each (warm restarts: Loshchilov & Hutter
            2017), which undoes half-learned habits.
        batch_size: stories per step, each of them read once.
        learning_rate: at its peak, of Muon and AdamW, without weight decay: no story is read twice.
        seed: of the weights and of the stories.
    """

    language: str
    config: GPTConfig
    rounds: tuple[int, ...]
    batch_size: int
    learning_rate: float
    seed: int


def _config(language: str) -> GPTConfig:
    vocabulary = World(language=language).vocabulary
    return GPTConfig(vocab_size=len(vocabulary), context_length=144, n_layers=4, n_heads=4, d_model=64)


ROUNDS = {"en": (40_000, 30_000), "zh": (40_000, 30_000, 20_000)}  # until it answers all kinds of questions
RECIPES = {
    f"storyworld-{language}": StoryRecipe(
        language=language,
        config=_config(language),
        rounds=rounds,
        batch_size=16,
        learning_rate=3e-3,
        seed=2026,
    )
    for language, rounds in ROUNDS.items()
}
HELD_OUT_SEED = 10**6  # never a seed of training
HELD_OUT = 1000  # stories


def train(name: str, target: Path, threads: int = 1) -> History:
    """Make one of these models: train it, and write its folder with a model card.

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
    world.tokenizer().save(str(target / "tokenizer.json"))
    watched = world.stories(200, HELD_OUT_SEED)
    watched_rows, exact = rows(watched), [story.log_probs for story in watched]
    torch.manual_seed(recipe.seed)
    model = GPT(recipe.config)
    sinusoidal_initialization(model)
    histories = [
        train_on_stories(
            model,
            story_batches(world, recipe.batch_size, recipe.seed + number),
            steps,
            recipe,
            target / f"run-{number}.safetensors",
            lambda m: excess_nll(m, watched_rows, exact).value,
        )
        for number, steps in enumerate(recipe.rounds)
    ]
    history = joined(histories)
    finish(model, target, lambda: card(name, target, history))
    return history


def card(name: str, folder: Path, history: History) -> str:
    """Model card, with measurements of the weights in ``folder`` on held-out stories."""
    recipe = RECIPES[name]
    model = GPT.from_pretrained(folder)  # the rounded weights that ship
    stories = World(language=recipe.language).stories(HELD_OUT, HELD_OUT_SEED)
    laid, exact = rows(stories), [story.log_probs for story in stories]
    floor = per_token(-padded_like(laid, exact))
    gap = excess_nll(model, laid, exact)
    asked = {kind: quiz.ask(stories[:200], kind) for kind in ("where", "see", "who")}
    heads = {
        "*where* → the place": quiz.attention_from_answer(model, asked["where"], "place"),
        "*see* → the other person": quiz.attention_from_answer(model, asked["see"], "person"),
        "*who* → the sentence that tells": quiz.attention_from_answer(model, asked["who"], "sentence"),
        "any token → the one before": quiz.previous_token_attention(model, stories[:200]),
        "pronoun → name": quiz.pronoun_attention(model, stories[:200]),
    }
    return CARD.format(
        name=name,
        config=recipe.config,
        language={"en": "English", "zh": "Chinese"}[recipe.language],
        version=VERSION,
        recipe=recipe,
        seen=f"{sum(recipe.rounds) * recipe.batch_size:,}",
        rounds=" + ".join(f"{steps:,}" for steps in recipe.rounds),
        held_out=HELD_OUT,
        floor=floor,
        gap=gap,
        answers="\n".join(f"| {kind} | {accuracy:.1%} |" for kind, accuracy in quiz.accuracy(model, stories).items()),
        heads="\n".join(f"| {what} | {_best(scores)} |" for what, scores in heads.items()),
        **facts(model, folder, history),
    )


def _best(scores: torch.Tensor) -> str:
    layer, head = divmod(int(scores.argmax()), scores.size(1))
    return f"{scores.max():.2f} | {layer} | {head}"


CARD = """# {name}

A GPT of {config.n_layers} layers × {config.n_heads} heads, d_model {config.d_model}, context {config.context_length},
{config.vocab_size} whole words: {parameters} parameters, {megabytes} MB in float16.

**For** watching a model keep track of who is where and who has what, in a page or a notebook, on a text whose exact
probabilities are known. **Not for** any other text: it knows the words of the story world and no others.

**Trained on** {language} stories of `companion.storyworld`, version {version}, size small: {seen} of them, each
read once.

**Trained by** `python -m companion.zoo train {name}`: {rounds} steps of {recipe.batch_size} stories,
learned positions that begin as sines, Muon and AdamW, peak learning rate {recipe.learning_rate}, seed {recipe.seed},
torch {torch}, Python {python}; {minutes} minutes of processor time, one thread.

**Measured** on {held_out} held-out stories, with the rounded weights that ship: the stories' exact entropy is {floor}
nats a token, and the model is {gap} nats a token above it. Questions asked after a story, answered freely (each word
is the model's own, also where the next one builds on it):

| question | right |
| --- | --- |
{answers}

Highest mean attention of a head, over held-out stories:

| from → to | attention | layer | head |
| --- | --- | --- | --- |
{heads}

License: Apache-2.0, like the book.
"""
