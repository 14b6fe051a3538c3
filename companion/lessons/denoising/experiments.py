"""Experiments of the chapter on denoising: short stories, damage, a training and what it restores.

Chapter: ``book/algorithms/denoising.ipynb``. ``benchmarks/denoising.py`` repeats them with five seeds.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from companion.data.batch import IGNORED, padded
from companion.data.batching import length_buckets
from companion.data.vocabulary import Vocabulary
from companion.generation import GREEDY, generate
from companion.losses.denoising import noise
from companion.losses.spans import Seq2Seq
from companion.metrics.text import exact_match, rouge_l
from companion.models.transformer import Transformer
from companion.nn.capture import capture
from companion.storyworld import Story, World
from companion.storyworld.lexicon import MOODS, OBJECTS, PEOPLE, PLACES
from companion.storyworld.views import told
from companion.training import Evaluation, Optimization, Runtime, fit
from companion.training.run_state import History

Text = Sequence[str]

WORLD = World()
VOCABULARY = Vocabulary([*WORLD.vocabulary, "[MASK]"])
MASK, STOP, END = (VOCABULARY.number(token) for token in ("[MASK]", ".", "<|endoftext|>"))
KINDS: Mapping[str, Collection[str]] = {"names": PEOPLE, "places": PLACES, "things": OBJECTS, "moods": MOODS}
DRAWN = 10_000


class ShortStories(NamedTuple):
    """Different stories of at most 32 words in which something happens after the opening.

    Attributes:
        held_out: 200, to be restored and found.
        more: 300, to find stories with a mirror among.
        training: all others.
        fraction: of the world's stories that are such, texts that are told twice counted twice.
    """

    held_out: list[Story]
    more: list[Story]
    training: list[Story]
    fraction: float


@cache
def short_stories() -> ShortStories:
    """Short stories of the world, in three parts.

    >>> len(short_stories().held_out)
    200
    """
    found = [
        story
        for story in WORLD.stories(DRAWN)
        if len(told(story)) <= 32 and len(story.statements) > len(story.end.place)
    ]
    different = list({told(story): story for story in found}.values())
    return ShortStories(different[:200], different[200:500], different[500:], len(found) / DRAWN)


def collate(texts: Sequence[Text], vocabulary: Vocabulary = VOCABULARY) -> tuple[Tensor, Tensor]:
    """Ids of texts and a mask of the real ones, both (batch, length)."""
    return padded([vocabulary.encode(text) for text in texts])


def spoiled(stories: Sequence[Story], noises: Sequence[str] = ("permutation", "infilling"), seed: int = 0) -> Seq2Seq:
    """Stories with noise: what the encoder reads, what the decoder reads, and what it is asked for.

    >>> batch = spoiled(short_stories().held_out[:1], ["deletion"])
    >>> len(words(batch.inputs[0])) < len(words(batch.targets[0]))
    True
    """
    return noise(
        *collate([told(story) for story in stories]),
        noises=noises,
        mask_id=MASK,
        stop_id=STOP,
        start_id=END,
        end_id=END,
        generator=torch.Generator().manual_seed(seed),
    )


def spoiled_batches(stories: Sequence[Story], seed: int = 0) -> Iterator[Seq2Seq]:
    """Batches of 16 stories without end, spoiled anew each time."""
    lengths = [len(told(story)) for story in stories]
    for step, rows in enumerate(length_buckets(lengths, batch_size=16, seed=seed)):
        yield spoiled([stories[i] for i in rows], seed=100_000 * seed + step)


def words(ids: Tensor) -> list[str]:
    """Words of a row up to its end token, without padding."""
    numbers = ids[ids >= 0].tolist()
    return VOCABULARY.decode(numbers[: numbers.index(END)] if END in numbers else numbers)


@torch.no_grad()
def nats_per_word(model: Transformer, batch: Seq2Seq) -> float:
    """Cross-entropy of the targets without the end token, in nats."""
    inputs, decoder_inputs, targets, real = (
        part.to(next(model.parameters()).device)
        for part in (batch.inputs, batch.decoder_inputs, batch.targets, batch.attention_mask)
    )
    logits = model(inputs, decoder_inputs, real)
    return F.cross_entropy(logits.flatten(0, 1), targets.masked_fill(targets == END, IGNORED).flatten()).item()


def restored(model: Transformer, batch: Seq2Seq) -> list[list[str]]:
    """Texts that the model writes for spoiled ones, greedily."""
    written = generate(model, batch.inputs, 48, attention_mask=batch.attention_mask, decoding=GREEDY, stop=END)
    return [words(row[1:]) for row in written]


def by_rule(text: Text) -> list[str]:
    """Text restored by hand: masks dropped, sentences with *is* first.

    >>> " ".join(by_rule("She takes [MASK] . Anna is in the garden .".split()))
    'Anna is in the garden . She takes .'
    """
    parts = [part.split() for part in " ".join(word for word in text if word != "[MASK]").split(" .")]
    parts = sorted(filter(None, parts), key=lambda sentence: "is" not in sentence)
    return [word for sentence in parts for word in (*sentence, ".")]


def possible(text: Text) -> bool:
    """Whether the world could have told this text."""
    try:
        return bool(WORLD.read(text))
    except ValueError:
        return False


def judged(texts: Sequence[Text], originals: Sequence[Text]) -> dict[str, float]:
    """Restored texts beside the originals: mean ROUGE-L, the fraction that the world could have told, exact match."""
    return {
        "ROUGE-L": sum(map(rouge_l, texts, originals)) / len(originals),
        "possible": sum(map(possible, texts)) / len(originals),
        "exact": exact_match([tuple(text) for text in texts], originals),
    }


class Lookups(NamedTuple):
    """Cross-attention at the moments when a word is written that stands in the spoiled text exactly once.

    Attributes:
        weights: on that word, (layer, head, moments).
        kinds: index in ``KINDS`` of each word, (moments,).
        even: the weight that it would have if all tokens had the same, on average.
    """

    weights: Tensor
    kinds: Tensor
    even: float


@torch.no_grad()
def lookups(model: Transformer, batch: Seq2Seq) -> Lookups:
    """Cross-attention of a denoiser to the names, places, things and moods that it writes."""
    kind_of = {word: number for number, group in enumerate(KINDS.values()) for word in group}
    kind_ids = torch.tensor([kind_of.get(word, len(KINDS)) for word in VOCABULARY.tokens])
    with capture(model) as record:
        model(batch.inputs, batch.decoder_inputs, batch.attention_mask)
    cross = torch.stack(record.cross_attention)  # (layer, batch, head, query, key)
    same = batch.targets[:, :, None] == batch.inputs[:, None]  # (batch, query, key)
    same &= (batch.attention_mask & (kind_ids < len(KINDS))[batch.inputs])[:, None]
    once = same.sum(-1) == 1  # (batch, query)
    weights = (cross * same[:, None]).sum(-1).transpose(1, 2)[:, :, once]  # (layer, head, moments)
    even = (1 / batch.attention_mask.sum(1))[:, None].expand_as(once)[once].mean().item()
    return Lookups(weights, kind_ids[batch.targets.clamp(min=0)][once], even)


def train(
    model: nn.Module,
    batches: Iterator[Any],
    steps: int,
    *,
    loss: Callable[..., Tensor],
    learning_rate: float = 3e-3,
    seed: int = 0,
    optimizer: str = "adamw",
    device: str = "auto",
    evaluate: Callable[[nn.Module], float] | None = None,
) -> History:
    """History of a training with a linear schedule; the model is left on the CPU.

    Args:
        model: a denoiser, or with its own loss any other model.
        batches: without end.
        steps: number of steps.
        loss: of a model and a batch.
        learning_rate: the largest of the schedule.
        seed: seed of dropout.
        optimizer: see :class:`companion.training.Optimization`.
        device: where it computes.
        evaluate: what is measured every 80 steps.
    """
    history = fit(
        model,
        batches,
        steps=steps,
        loss=loss,
        learning_rate=learning_rate,
        optimization=Optimization(optimizer, weight_decay=0.0, schedule="linear"),
        evaluation=Evaluation(evaluate, every=80) if evaluate else None,
        runtime=Runtime(device=device, seed=seed),
        progress=False,
    )
    model.cpu()
    return history


def seed_table(rows: Mapping[str, Mapping[str, Any]], title: str = "") -> str:
    """Results of a benchmark as lines of text: for each row mean and standard deviation of its numbers over the seeds.

    >>> runs = [{"summary": 0.5}, {"summary": 0.7}]
    >>> print(seed_table({"twins": {"runs": runs, "summary": {"summary": {"mean": 0.6, "sd": 0.141}}}}))
                                     summary
    twins                      0.600 ± 0.141

    Args:
        rows: name -> "runs" and their "summary", as ``benchmarks/report.py`` writes them.
        title: stands above the names.
    """
    columns = list(next(iter(rows.values()))["summary"])
    lines = [f"{title:24}" + "".join(f"{column:>16}" for column in columns)]
    for name, row in rows.items():
        found = [row["summary"][column] for column in columns]
        spread = len(row["runs"]) > 1  # what needs no training has one run
        cells = (f"{one['mean']:.3f} ± {one['sd']:.3f}" if spread else f"{one['mean']:.3f}{'':8}" for one in found)
        lines.append(f"{name:24}" + "".join(f"{cell:>16}" for cell in cells))
    return "\n".join(lines)
