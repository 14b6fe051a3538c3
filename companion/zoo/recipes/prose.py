"""Recipe of the prose GPT: data, sizes, training, and the model card.

Chapter: ``book/algorithms/gpt.ipynb``.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from tokenizers import Tokenizer
from torch import Tensor

from companion.data import prose
from companion.data.tokenization import train_byte_bpe
from companion.metrics.language_model import bits_per_character, cross_entropy, perplexity
from companion.models.gpt import GPT, GPTConfig
from companion.training import Checkpoint, Evaluation, Optimization, Runtime, fit
from companion.training.run_state import History
from companion.zoo.recipes.common import begin, facts, finish


@dataclass(frozen=True)
class Recipe:
    """Everything that determines a model's weights, beside the versions of Python and torch.

    Attributes:
        config: sizes of the model.
        steps: number of training steps.
        batch_size: windows of ``config.context_length`` tokens per step.
        learning_rate: at its peak, of Muon and AdamW.
        weight_decay: strong, because there are more parameters than tokens and each token is read several times.
        vocabulary_from: sources that the tokenizer is trained on, one named twice counting twice; they favour the
            primer, so that everyday words are whole tokens.
        seed: of the weights and of the windows.
    """

    config: GPTConfig
    steps: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    vocabulary_from: tuple[str, ...]
    seed: int


RECIPES = {
    "prose": Recipe(
        config=GPTConfig(vocab_size=3072, context_length=256, n_layers=6, n_heads=6, d_model=144),
        steps=2000,
        batch_size=8,
        learning_rate=6e-3,
        weight_decay=0.4,
        vocabulary_from=("primer", "primer", "primer", "topics"),
        seed=2026,
    ),
}


@dataclass(frozen=True)
class Corpus:
    """Training and validation split of the prose corpus, and the tokenizer trained on the former."""

    training: list[str]
    validation: dict[str, list[str]]  # source -> documents
    tokenizer: Tokenizer

    def held_out(self, source: str) -> Tensor:
        """Held-out documents of one source as token ids (tokens,)."""
        return prose.token_stream(self.tokenizer, self.validation[source])


def train(name: str, target: Path, threads: int = 1) -> History:
    """Make a zoo model: train its tokenizer and its weights, and write its folder with a model card.

    Interrupted and called again, it resumes from ``<target>/run.safetensors`` and ends with the same weights.

    Args:
        name: one of ``RECIPES``.
        target: folder of the model, made when missing.
        threads: number of torch's threads; another number changes the last bits of the weights.

    Raises:
        ValueError: on an unknown name.
    """
    recipe = begin(name, RECIPES, target, threads)
    corpus = _corpus(recipe)
    corpus.tokenizer.save(str(target / "tokenizer.json"))
    stream = prose.token_stream(corpus.tokenizer, corpus.training)
    watched = torch.cat([corpus.held_out(source)[:4096] for source in corpus.validation])
    torch.manual_seed(recipe.seed)
    model = GPT(recipe.config)
    history = fit(
        model,
        prose.random_windows(stream, recipe.batch_size, recipe.config.context_length, recipe.seed),
        steps=recipe.steps,
        learning_rate=recipe.learning_rate,
        optimization=Optimization("muon", weight_decay=recipe.weight_decay),
        evaluation=Evaluation(lambda m: cross_entropy(cast(GPT, m), watched), every=250),
        checkpoint=Checkpoint(target / "run.safetensors", every=50),
        runtime=Runtime(device="cpu", seed=recipe.seed),
    )
    finish(model, target, lambda: _card(name, recipe, corpus, stream.numel(), history, target))
    return history


def _corpus(recipe: Recipe) -> Corpus:
    training: dict[str, list[str]] = {}
    validation: dict[str, list[str]] = {}
    for source in prose.SOURCES:
        training[source], validation[source] = prose.split(prose.documents([source]))
    words = [text for source in recipe.vocabulary_from for text in training[source]]
    texts = [text for source in prose.SOURCES for text in training[source]]
    return Corpus(texts, validation, train_byte_bpe(words, recipe.config.vocab_size))


def _card(name: str, recipe: Recipe, corpus: Corpus, tokens: int, history: History, target: Path) -> str:
    model = GPT.from_pretrained(target)  # the rounded weights that ship
    rows = []
    for source, texts in corpus.validation.items():
        stream = corpus.held_out(source)
        nats = cross_entropy(model, stream)
        bits = bits_per_character(nats, stream.numel(), sum(map(len, texts)))
        rows.append(f"| {source} | {len(texts)} | {nats:.3f} | {perplexity(nats):.1f} | {bits:.3f} |")
    config = recipe.config
    seen = recipe.steps * recipe.batch_size * config.context_length
    return CARD.format(
        name=name,
        config=config,
        fingerprint=prose.fingerprint(corpus.training),
        tokens=f"{tokens:,}",
        recipe=recipe,
        seen=f"{seen:,}",
        epochs=f"{seen / tokens:.1f}",
        loss=f"{sum(history.loss[-100:]) / len(history.loss[-100:]):.3f}",
        rows="\n".join(rows),
        **facts(model, target, history),
    )


CARD = """# {name}

A GPT of {config.n_layers} layers × {config.n_heads} heads, d_model {config.d_model}, context {config.context_length},
byte-level BPE vocabulary {config.vocab_size}: {parameters} parameters, {megabytes} MB in float16.

**For** looking at attention, causal masks, caches and sampling, in a page or a notebook, with no download. **Not for**
facts: it is small enough to run on each keystroke and knows grammar, not the world.

**Trained on** English prose that every machine has: the primer written for this book (`companion/data/primer`),
Python's `help()` topics and the docstrings of its standard library (Python Software Foundation License). {tokens}
tokens, fingerprint `{fingerprint}` on Python {python}; one document in twenty is held out, by a hash of its text.

**Trained by** `python -m companion.zoo train {name}`: {recipe.steps} steps of {recipe.batch_size} windows, {seen}
tokens ({epochs} passes), Muon and AdamW, peak learning rate {recipe.learning_rate}, weight decay
{recipe.weight_decay}, seed {recipe.seed}, torch {torch}; {minutes} minutes of processor time, one thread. Mean training
loss over the last 100 steps: {loss} nats a token.

**Measured** on held-out documents, with the rounded weights that ship:

| source | documents | nats a token | perplexity | bits a character |
| --- | --- | --- | --- | --- |
{rows}

License: Apache-2.0, like the book.
"""
