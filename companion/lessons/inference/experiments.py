"""What the chapter on inference runs beside its concepts: timed runs, lists of lengths, drafts of stories, a test.

Chapter: ``book/algorithms/inference.ipynb``.
"""

import importlib
import time
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from tokenizers import Tokenizer
from torch import Tensor

from companion.data import prose
from companion.generation.draws import Draw, seeded_draw
from companion.generation.speculative import Draft, Round
from companion.models.baselines.ngram import NGram, NGramConfig
from companion.storyworld import World
from companion.storyworld.rows import rows

Outcome = TypeVar("Outcome", bound=Hashable)


@torch.no_grad()
def seconds(model: Any, batch: int, past: int, new: int, repeats: int = 3) -> float:
    """Processor seconds of one run over ``new`` tokens of each of ``batch`` texts after ``past`` tokens, the fastest.

    >>> from companion.models.gpt import GPT, GPTConfig
    >>> seconds(GPT(GPTConfig(9, 8, 1, 2, 8)), batch=2, past=3, new=1) > 0
    True

    Args:
        model: decoder-only.
        batch: number of texts.
        past: tokens in the cache; 0 for a prompt.
        new: tokens of each text that are run.
        repeats: number of runs.
    """
    ids = torch.arange(past + new) % model.config.vocab_size
    times = []
    for _ in range(repeats):
        cache = model.new_cache()
        if past:
            model(ids[None, :past], cache=cache)
            for layer in cache:
                layer.reorder(torch.zeros(batch, dtype=torch.long))  # the same text in each row
        start = time.process_time()
        model(ids[past:].expand(batch, -1).contiguous(), cache=cache)
        times.append(time.process_time() - start)
    return min(times)


def help_lengths(n: int) -> list[int]:
    """Numbers of words of the first ``n`` help texts of Python, by name: a few are long, most are short.

    >>> len(help_lengths(5))
    5
    """
    topics: dict[str, str] = importlib.import_module("pydoc_data.topics").topics
    return [len(topics[name].split()) for name in sorted(topics)[:n]]


def shuffled(values: Sequence[int], seed: int) -> list[int]:
    """The values in an order of their own for each seed.

    >>> sorted(shuffled([3, 1, 2], seed=0))
    [1, 2, 3]
    """
    order = torch.randperm(len(values), generator=torch.Generator().manual_seed(seed))
    return [values[place] for place in order.tolist()]


def story_drafts(orders: Sequence[int], stories: int = 2000) -> dict[int, Draft]:
    """N-gram drafts of the story world, by order, counted on the same stories.

    >>> story_drafts([2], stories=20)[2]([0]).shape  # what begins a story
    torch.Size([51])
    """
    told = rows(World().stories(stories, seed=0))
    vocab_size = len(World().vocabulary)
    models = {order: NGram(NGramConfig(vocab_size, order)).count(told) for order in orders}
    return {order: _remembered(model, order) for order, model in models.items()}


def _remembered(model: NGram, order: int) -> Draft:
    """A draft that asks the model once for each context."""
    known: dict[tuple[int, ...], Tensor] = {}

    def draft(text: Sequence[int]) -> Tensor:
        context = tuple(text[-max(1, order - 1) :])
        if context not in known:
            known[context] = model(torch.tensor([context]))[0, -1].exp()
        return known[context]

    return draft


def remembered(target: Callable[[Sequence[int], Sequence[int]], Tensor]) -> Callable[..., Tensor]:
    """A target that asks the model once for each text; for many samples of a few tokens."""
    known: dict[tuple[tuple[int, ...], tuple[int, ...]], Tensor] = {}

    def probabilities(text: Sequence[int], proposed: Sequence[int]) -> Tensor:
        key = tuple(text), tuple(proposed)
        if key not in known:
            known[key] = target(text, proposed)
        return known[key]

    return probabilities


def sampled(program: Callable[[Draw], Outcome], n: int, seed: int) -> Counter[Outcome]:
    """How often each outcome comes in ``n`` runs of a program that draws.

    >>> sampled(lambda draw: draw(torch.tensor([0.0, 1.0])), n=3, seed=0)
    Counter({1: 3})
    """
    draw = seeded_draw(seed)
    return Counter(program(draw) for _ in range(n))


def chi_square(counts: Mapping[Outcome, int], expected: Mapping[Outcome, float], least: float = 5.0) -> float:
    """P-value of Pearson's chi-square test: the chance of a distance as large, if the counts come from ``expected``.

    Outcomes that are expected fewer than ``least`` times are counted together.

    >>> chi_square({"heads": 50, "tails": 50}, {"heads": 0.5, "tails": 0.5})
    1.0

    Args:
        counts: number of times that each outcome came.
        expected: probability of each outcome that can come.
        least: expected number below which outcomes are pooled.

    Raises:
        ValueError: when an outcome came that cannot.
    """
    if impossible := set(counts) - set(expected):
        raise ValueError(f"outcomes that have no probability came: {sorted(map(str, impossible))[:3]}")
    n = sum(counts.values())
    frequent = [outcome for outcome, probability in expected.items() if probability * n >= least]
    pairs = [(counts.get(outcome, 0), expected[outcome] * n) for outcome in frequent]
    rest = n - sum(seen for seen, _ in pairs), n - sum(hoped for _, hoped in pairs)
    pairs += [rest] if rest[1] >= least else []
    distance = sum((seen - hoped) ** 2 / hoped for seen, hoped in pairs)
    freedom = torch.tensor((len(pairs) - 1) / 2, dtype=torch.float64)
    return float(torch.special.gammaincc(freedom, torch.tensor(distance / 2, dtype=torch.float64)))


def kept(rounds: Sequence[Round]) -> float:
    """Fraction of the judged proposals that were kept.

    >>> kept([Round([3, 1, 4], proposed=4), Round([5, 6], proposed=1)])  # two of three, one of one
    0.75
    """
    judged = sum(min(one.accepted + 1, one.proposed) for one in rounds)
    return sum(one.accepted for one in rounds) / judged


def prose_window(tokenizer: Tokenizer, length: int) -> Tensor:
    """The first ids of held-out prose, (1, length)."""
    return prose.token_stream(tokenizer, prose.split(prose.documents())[1])[None, :length]


def token_texts(tokenizer: Tokenizer) -> list[str | None]:
    """Text of each token; None for one that is no whole character.

    >>> from companion.data.tokenization import train_byte_bpe
    >>> token_texts(train_byte_bpe(["ab"], 257))[65:67]
    ['a', 'b']
    """
    texts = [tokenizer.decode([number]) for number in range(tokenizer.get_vocab_size())]
    return [None if "\ufffd" in text else text for text in texts]
