"""What the chapter on scaling runs: GPTs of several sizes on a tiny story world, and a model that learns to copy.

Chapter: ``book/algorithms/scaling.ipynb``; ``benchmarks/scaling.py`` runs all of it on five seeds.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor, nn

from companion.data.batch import fill_ignored
from companion.metrics.heads import induction_score, offset_score
from companion.metrics.language_model import token_nll
from companion.models.gpt import GPT, GPTConfig
from companion.models.modern_decoder import ModernConfig, ModernDecoder
from companion.nn.capture import capture
from companion.nn.initialization import mimetic_initialization, sinusoidal_initialization
from companion.storyworld import World, rows
from companion.training.loop import fit
from companion.training.run_state import History
from companion.training.settings import Optimization, Runtime

WIDTHS = (8, 16, 32)
STORIES = (1000, 2000, 4000)
HELD_OUT = (64, 8000)  # width, stories
RATES = {8: 0.08, 16: 0.04, 32: 0.03, 64: 0.02}  # peak learning rate by width
BATCH = 8  # stories
HEAD = 8  # width of a head
EXAM = 300  # held-out stories
LENGTHS = (1, 2, 4, 8, 16)  # forced tokens in a row that must all be right


WORLD = World("tiny")
EVERYWHERE = Runtime(device="cpu", precision="float32")  # a run is the same on every machine, or nearly


class Exam(NamedTuple):
    """Held-out stories.

    Attributes:
        rows: token ids (stories, length + 1), padded.
        forced: (stories, length), whether the world leaves no choice for a token; False where a row is padded.
        floor: cross-entropy of the world's own probabilities on these stories, in nats per token.
    """

    rows: Tensor
    forced: Tensor
    floor: float


@lru_cache(maxsize=1)
def exam() -> Exam:
    """Held-out stories, and what the world knows of their tokens.

    >>> exam().rows.size(0)
    300
    """
    stories = WORLD.stories(EXAM, seed="scaling/exam")
    log_probs = [torch.tensor(story.log_probs) for story in stories]
    padded = torch.nn.utils.rnn.pad_sequence(log_probs, batch_first=True, padding_value=-torch.inf)
    return Exam(rows(stories), padded > -1e-9, -torch.cat(log_probs).mean().item())


@dataclass(frozen=True)
class Run:
    """One training run, and what its model does with the held-out stories.

    Attributes:
        parameters: N, all but those of the two embeddings.
        embeddings: parameters of the two embeddings.
        tokens: D, number of tokens that it read, each once.
        loss: cross-entropy on the held-out stories, in nats per token.
        exact: by number k, the fraction of k forced tokens in a row that are all right, each the model's first choice.
    """

    parameters: int
    embeddings: int
    tokens: int
    loss: float
    exact: dict[int, float]


def new_gpt(d_model: int, seed: int) -> GPT:
    """GPT of two layers, untrained, with the initial weights from which a small model learns soonest."""
    torch.manual_seed(seed)
    model = GPT(GPTConfig(len(WORLD.vocabulary), WORLD.longest + 1, 2, d_model // HEAD, d_model))
    sinusoidal_initialization(model)
    mimetic_initialization(model)
    return model


def train(d_model: int, stories: int, seed: int, rate: float | None = None) -> Run:
    """Run of a GPT of this width over so many stories, each read once; the learning rate falls to 0 at its end.

    >>> train(8, stories=16, seed=0).parameters
    1760

    Args:
        d_model: width, a multiple of 8.
        stories: number of stories; those of a smaller number are the first of a larger one.
        seed: of the initial weights and of the stories.
        rate: peak learning rate; that of ``RATES`` when not given.
    """
    told = WORLD.stories(stories, seed=f"scaling/{seed}")
    batches = [rows(told[first : first + BATCH]) for first in range(0, stories, BATCH)]
    model = new_gpt(d_model, seed)
    fit(
        model,
        batches,
        steps=len(batches),
        learning_rate=RATES[d_model] if rate is None else rate,
        optimization=Optimization("muon", weight_decay=0.0, schedule="linear"),
        runtime=EVERYWHERE,
        progress=False,
    )
    tables = model.token_embedding.weight.numel() + model.position_embedding.weight.numel()
    return Run(
        sum(weight.numel() for weight in model.parameters()) - tables,
        tables,
        sum(len(story.tokens) for story in told),
        token_nll(model, exam().rows).nanmean().item(),
        exact_matches(right_where_forced(model, exam())),
    )


@torch.no_grad()
def right_where_forced(model: nn.Module, asked: Exam) -> list[Tensor]:
    """For each story, whether the model's first choice is right at its forced tokens, in their order."""
    inputs = fill_ignored(asked.rows[:, :-1])
    choices = torch.cat([model(part).argmax(-1) for part in inputs.split(100)])
    right = choices == asked.rows[:, 1:]
    return [one[forced] for one, forced in zip(right, asked.forced, strict=True)]


def exact_matches(right: Sequence[Tensor], lengths: Sequence[int] = LENGTHS) -> dict[int, float]:
    """Exact match by length: fraction of k forced tokens in a row, free ones left out, all right; no k above all texts.

    >>> exact_matches([torch.tensor([True, True, True, False])], lengths=(1, 3))
    {1: 0.75, 3: 0.5}
    """
    windows = {k: [one.unfold(0, k, 1).all(1) for one in right if len(one) >= k] for k in lengths}
    return {k: torch.cat(some).float().mean().item() for k, some in windows.items() if some}


# a model that learns to copy

CHOICES = 32  # tokens
LENGTH = 48  # of a text
PERIODS = (6, 19)  # shortest and longest passage
TEXTS = 32  # of a batch
COPY_EXAM = {"count": 100, "seed": -1}  # held-out texts
COPY_RATE = 0.02
ROPE_BASE = 100.0  # of so short a text


def repeating_texts(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Texts in which a passage of different random tokens comes again and again, and the length of each passage.

    How long the passage is differs from text to text, so that no distance is right for all of them.

    >>> texts, periods = repeating_texts(2, seed=0)
    >>> bool((texts[0, periods[0] :] == texts[0, : -periods[0]]).all())
    True

    Returns:
        texts (count, LENGTH) and lengths (count,).
    """
    draw = torch.Generator().manual_seed(seed)
    passages = torch.rand(count, CHOICES, generator=draw).argsort(1)
    periods = torch.randint(PERIODS[0], PERIODS[1] + 1, (count,), generator=draw)
    return passages.gather(1, torch.arange(LENGTH) % periods[:, None]), periods


class Checkpoint(NamedTuple):
    """What a model in training does with held-out texts, between two steps.

    Attributes:
        step: number of steps before it.
        loss: cross-entropy where the passage has come before, in nats per token.
        accuracy: fraction of these tokens that are the model's first choice.
        previous: highest previous-token score of a head.
        induction: highest induction score of a head.
        attention: of the first held-out text, by layer: (heads, query, key).
    """

    step: int
    loss: float
    accuracy: float
    previous: float
    induction: float
    attention: list[Tensor]


def learn_to_copy(n_layers: int, seed: int, steps: int, every: int = 20, d_model: int = 64) -> list[Checkpoint]:
    """Checkpoints of a decoder that is trained on texts in which a passage comes again.

    It has rotary positions and normalised queries and keys, as today's decoders do: the token before is then the same
    rotation everywhere, and a few seconds are enough.

    >>> [checkpoint.step for checkpoint in learn_to_copy(1, seed=0, steps=2, every=1, d_model=16)]
    [0, 1, 2]

    Args:
        n_layers: number of blocks.
        seed: of the initial weights and of the texts.
        steps: of training.
        every: steps from one checkpoint to the next.
        d_model: width, a multiple of 8.
    """
    torch.manual_seed(seed)
    config = ModernConfig(CHOICES, LENGTH, n_layers, n_heads=4, d_model=d_model, family="qwen3", rope_base=ROPE_BASE)
    model = ModernDecoder(config)
    seen = [_checkpoint(model, 0)]

    def batches() -> Iterator[Tensor]:
        for step in range(steps):
            yield repeating_texts(TEXTS, seed * 100_000 + step)[0]

    def look(step: int, _: History) -> None:
        if step % every == 0:
            model.eval()
            seen.append(_checkpoint(model, step))
            model.train()

    how = Optimization("muon", weight_decay=0.0, schedule="constant")
    fit(model, batches(), steps=steps, learning_rate=COPY_RATE, optimization=how, runtime=EVERYWHERE, progress=look)
    return seen


@torch.no_grad()
def _checkpoint(model: nn.Module, step: int) -> Checkpoint:
    texts, periods = repeating_texts(**COPY_EXAM)
    again = torch.arange(1, LENGTH) > periods[:, None]  # the token before the target has been seen, and what followed
    twice = torch.cat([texts[:, : PERIODS[1]], texts[:, : PERIODS[1]]], 1)
    logits = model(texts[:, :-1])
    loss = nn.functional.cross_entropy(logits[again], texts[:, 1:][again]).item()
    accuracy = (logits.argmax(-1) == texts[:, 1:])[again].float().mean().item()
    with capture(model) as record:
        model(twice)
    previous, induction = offset_score(record.attention, -1).max(), induction_score(record.attention).max()
    with capture(model) as record:
        model(texts[:1])
    return Checkpoint(step, loss, accuracy, previous.item(), induction.item(), [one[0] for one in record.attention])
