"""Four objectives on equal terms: causal, masked, permutation and span, at equal parameters and equal compute.

    python benchmarks/objectives.py

The models are as wide and have as many parameters that learn, within one in a hundred; T5 has two layers in its encoder
and two in its decoder, the others three. A step costs them unlike many operations, so each gets as many steps as make
the same number of operations, forward and backward, as torch counts them in matrix products; the optimizer's own work
is not counted. All read the first words of the same stories in the same order, whoever has more steps more of them.
Each chooses its learning rate by two trials of the whole budget, with seeds and stories of their own: from the same
three, and by the same rule from more of them, twice as far at the end where the best one stands, until the best stands
between two others. Then five seeds, and as many of half of the budget, which tell whether they still learn. What the
file has already is not computed again: a run that was cut off goes on, and to begin anew one deletes it.

All are asked the same: one word of each of 400 held-out texts, all other words given. BERT finds a mask in its place;
XLNet sees it last of all; T5 is asked for a span of just one word; GPT reads the text once with each word of the world
there, and the probabilities of the texts say which word it is, by Bayes' rule. Beside it, GPT from the left alone.
Everything is in nats. What the world itself knows, either way, is beside.
"""

import itertools
import json
import math
import statistics
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import report
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from companion.data.batch import IGNORED, fill_ignored
from companion.losses import causal_loss
from companion.losses.masked import Masked, mask_tokens, masked_loss
from companion.losses.permutation import Permuted, permutation_loss, permute
from companion.losses.spans import Seq2Seq, corrupt, sequence_loss
from companion.metrics.confidence import interval
from companion.models.bert import BertConfig, BertForPreTraining
from companion.models.gpt import GPT, GPTConfig
from companion.models.t5 import T5, T5Config
from companion.models.xlnet import XLNet, XLNetConfig
from companion.nn.initialization import sinusoidal_initialization
from companion.storyworld import VERSION, World, rows, story_batches
from companion.storyworld.lexicon import MOODS, OBJECTS, PEOPLE, PLACES
from companion.storyworld.optimum import fill_in
from companion.storyworld.text_to_text import t5_learning_rates
from companion.training import Optimization, Runtime, fit

BUDGETS = {"whole": 1.2e11, "half": 6e10}  # operations
RATES = (5e-3, 1e-2, 2e-2)
TRIALS = (100, 101)  # seeds
TEST_SEED, VALIDATION_SEED = 1_000_000, 2_000_000
BATCH, LENGTH, HELD_OUT, VALIDATION = 16, 32, 400, 200
WORLD = World()
WORDS = len(WORLD.vocabulary)
MASK, END, START = WORDS, WORDS + 1, WORDS + 2
SENTINELS = list(range(WORDS + 3, WORDS + 11))
SIZES: dict[str, Any] = {"vocab_size": WORDS + 11, "n_heads": 4, "d_model": 64}  # as many tokens for each
NAMED = {*PEOPLE, *PLACES, *OBJECTS, *MOODS}


class Asked(NamedTuple):
    """One hidden word of each text.

    Attributes:
        ids: token ids (texts, length) of the whole text.
        real: boolean (texts, length), False = padding.
        place: of the hidden word (texts,), never the first.
        words: the hidden words (texts,).
        left: the world's own log-probabilities of them from the left, (texts,).
        both: the same, from both sides.
    """

    ids: Tensor
    real: Tensor
    place: Tensor
    words: Tensor
    left: Tensor
    both: Tensor


def questions(n: int, seed: int) -> Asked:
    """The texts of a seed, and one word of each."""
    stories = WORLD.stories(n, seed=seed)
    told = rows(stories)[:, : LENGTH + 1]
    draw = torch.Generator().manual_seed(seed)
    place = 1 + (torch.rand(n, generator=draw) * ((told != IGNORED).sum(1) - 1)).long()
    pairs = [(story, at - 1) for story, at in zip(stories, place.tolist(), strict=True)]  # a row has one token more
    left = [story.log_probs[at] for story, at in pairs]
    both = [math.log(fill_in(story.tokens[:LENGTH], at, WORLD)[story.tokens[at]]) for story, at in pairs]
    return Asked(*text(told), place, told[torch.arange(n), place], torch.tensor(left), torch.tensor(both))


def text(stories: Tensor) -> tuple[Tensor, Tensor]:
    """The ids of story rows, and where they are real."""
    return fill_ignored(stories), stories != IGNORED


def causal(stories: Tensor, _: torch.Generator) -> Tensor:
    """Each next token."""
    return stories


def masked(stories: Tensor, draw: torch.Generator) -> Masked:
    """15 % of the tokens, hidden."""
    return mask_tokens(*text(stories), mask_id=MASK, vocab_size=WORDS, special_ids=(0,), generator=draw)


def permuted(stories: Tensor, draw: torch.Generator) -> Permuted:
    """The last sixth of a random order."""
    return permute(*text(stories), generator=draw)


def spans(stories: Tensor, draw: torch.Generator) -> Seq2Seq:
    """15 % of the tokens, cut out in runs of three."""
    return corrupt(*text(stories), sentinel_ids=SENTINELS, end_id=END, start_id=START, generator=draw)


def from_left(model: nn.Module, asked: Asked) -> Tensor:
    """Scores of each word of the world at the places, given what stands before: (texts, words)."""
    return model(asked.ids, attention_mask=asked.real)[torch.arange(len(asked.ids)), asked.place - 1, :WORDS]


def by_bayes(model: nn.Module, asked: Asked) -> Tensor:
    """The same given all but itself: the log-probability of the text with each word in the place."""
    scores = []
    for word in range(WORDS):
        filled = asked.ids.scatter(1, asked.place[:, None], word)
        log_p = model(filled[:, :-1], attention_mask=asked.real[:, :-1]).log_softmax(-1)
        each = log_p.gather(-1, filled[:, 1:, None])[..., 0]  # (texts, length - 1)
        scores.append((each * asked.real[:, 1:]).sum(1))
    return torch.stack(scores, 1)


def by_mask(model: nn.Module, asked: Asked) -> Tensor:
    """The same, at a mask."""
    inputs = asked.ids.scatter(1, asked.place[:, None], MASK)
    return model(inputs, None, asked.real)[0][torch.arange(len(inputs)), asked.place, :WORDS]


def by_order(model: nn.Module, asked: Asked) -> Tensor:
    """The same, as the last of an order in which all others come first."""
    order = torch.zeros_like(asked.ids).scatter(1, asked.place[:, None], 1)
    return model(asked.ids, asked.real, order=order, targets=asked.place[:, None])[:, 0, :WORDS]


def by_span(model: T5, asked: Asked) -> Tensor:
    """The same, as a span of one word, after which the target ends."""
    n = len(asked.ids)
    inputs = asked.ids.scatter(1, asked.place[:, None], SENTINELS[0])
    ends = torch.cat([inputs, torch.zeros_like(inputs[:, :1])], 1).scatter(1, asked.real.sum(1, keepdim=True), END)
    seen = torch.cat([torch.ones_like(asked.real[:, :1]), asked.real], 1)
    memory = model.encode(ends, seen)
    scores = []
    for word in range(WORDS):
        begun = torch.tensor([[START, SENTINELS[0], word]]).expand(n, -1)
        log_p = model.decode(begun, memory, seen).log_softmax(-1)
        scores.append(log_p[:, 1, word] + log_p[:, 2, SENTINELS[1]])
    return torch.stack(scores, 1)


class Objective(NamedTuple):
    """A model, how its batches are made of stories, its loss, and how it is asked for a hidden word."""

    model: Callable[[], nn.Module]
    batch: Callable[..., Any]
    loss: Callable[..., Tensor]
    ask: Callable[..., Tensor]


def gpt() -> GPT:
    """The causal model."""
    return GPT(GPTConfig(**SIZES, context_length=LENGTH + 1, n_layers=3, d_ff=256))


def bert() -> BertForPreTraining:
    """The masked one; its pooler and its head for pairs of sentences are there, and are not asked."""
    return BertForPreTraining(BertConfig(**SIZES, context_length=LENGTH + 1, n_layers=3, d_ff=244))


def xlnet() -> XLNet:
    """The one of all orders."""
    return XLNet(XLNetConfig(**SIZES, n_layers=3, d_ff=232))


def t5() -> T5:
    """The one of spans."""
    return T5(T5Config(**SIZES, n_layers=2, d_ff=104, start_id=START))


OBJECTIVES = {
    "causal (GPT)": Objective(gpt, causal, causal_loss, by_bayes),
    "masked (BERT)": Objective(bert, masked, masked_loss, by_mask),
    "permutation (XLNet)": Objective(xlnet, permuted, permutation_loss, by_order),
    "span (T5)": Objective(t5, spans, sequence_loss, by_span),
}


def cost(objective: Objective) -> dict[str, float]:
    """How many parameters learn, and the operations of a step, in the mean of ten."""
    torch.manual_seed(0)
    model, draw = objective.model(), torch.Generator().manual_seed(0)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        for stories in told(0, 10):
            objective.loss(model, objective.batch(stories, draw)).backward()
    learn = sum(p.numel() for p in model.parameters() if p.grad is not None)
    return {"parameters": learn, "operations per step": counter.get_total_flops() / 10}


@cache
def told(seed: int, n: int) -> list[Tensor]:
    """The first words of stories, in n batches."""
    return [stories[:, : LENGTH + 1] for stories in itertools.islice(story_batches(WORLD, BATCH, seed), n)]


def trained(objective: Objective, seed: int, steps: int, rate: float, most: int) -> tuple[nn.Module, float]:
    """A model, and the processor seconds of its training; ``most`` are the steps of whoever has most of them."""
    torch.manual_seed(seed)
    model, draw = objective.model(), torch.Generator().manual_seed(seed)
    body = getattr(model, "bert", model)
    if hasattr(body, "position_embedding"):
        sinusoidal_initialization(body)
    lr_multiplier = t5_learning_rates(SIZES["d_model"] // SIZES["n_heads"]) if isinstance(model, T5) else None
    history = fit(
        model,
        (objective.batch(stories, draw) for stories in told(seed, most)),
        steps=steps,
        loss=objective.loss,
        learning_rate=rate,
        optimization=Optimization("muon", weight_decay=0.0, schedule="linear", lr_multiplier=lr_multiplier),
        runtime=Runtime(device="cpu", seed=seed),
        progress=False,
    )
    return model, history.cpu_seconds


@torch.no_grad()
def surprisal(scores: Tensor, asked: Asked) -> Tensor:
    """Nats of each hidden word, (texts,)."""
    return -scores.log_softmax(-1)[torch.arange(len(scores)), asked.words]


def by_kind(nats: Tensor, asked: Asked) -> dict[str, float]:
    """The mean over all words, over those that name a person, place, thing or mood, and over the others."""
    named = torch.tensor([WORLD.vocabulary[word] in NAMED for word in asked.words.tolist()])
    groups = {"all": torch.ones_like(named), "names": named, "others": ~named}
    return {group: nats[chosen].mean().item() for group, chosen in groups.items()}


@torch.no_grad()
def measured(name: str, model: nn.Module, asked: Asked) -> dict[str, float]:
    """What a model pays for the hidden words, of all kinds; GPT also from the left."""
    found = by_kind(surprisal(OBJECTIVES[name].ask(model, asked), asked), asked)
    if isinstance(model, GPT):
        found["from the left"] = surprisal(from_left(model, asked), asked).mean().item()
    return found


def steps_of(costs: dict[str, dict[str, float]], budget: str) -> dict[str, int]:
    """How many steps each objective gets from a budget."""
    return {name: round(BUDGETS[budget] / cost["operations per step"]) for name, cost in costs.items()}


def missing(found: dict[str, list[float]]) -> list[float]:
    """The learning rates that are still to be tried; none when the best stands between two others."""
    first = [rate for rate in RATES if f"{rate:g}" not in found]
    if first:
        return first
    best, tried = best_rate(found), [float(rate) for rate in found]
    return [best / 2] if best == min(tried) else [2 * best] if best == max(tried) else []


def trials(name: str, steps: int, most: int, found: dict[str, list[float]]) -> None:
    """Nats of validation words by learning rate, one for each trial, added to those that were found before."""
    while rates := missing(found):
        asked = questions(VALIDATION, VALIDATION_SEED)
        for rate in rates:
            models = [trained(OBJECTIVES[name], seed, steps, rate, most)[0] for seed in TRIALS]
            found[f"{rate:g}"] = [measured(name, model, asked)["all"] for model in models]
            print(name, rate, found[f"{rate:g}"], flush=True)


def best_rate(found: dict[str, list[float]]) -> float:
    """The learning rate with the lowest mean."""
    return float(min(found, key=lambda rate: statistics.fmean(found[rate])))


def compared(runs: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Runs with their means, and each two objectives compared in pairs, seed by seed, on every kind of word."""
    table: dict[str, Any] = {name: {"runs": of} for name, of in runs.items()}
    if len(next(iter(runs.values()))) < 2:
        return {"objectives": table}
    for row in table.values():
        row["summary"] = {what: interval([run[what] for run in row["runs"]])._asdict() for what in row["runs"][0]}
    differences = {
        f"{one} less {other}": {
            group: interval([a[group] - b[group] for a, b in zip(runs[one], runs[other], strict=True)])._asdict()
            for group in ("all", "names", "others")
        }
        for one, other in itertools.combinations(runs, 2)
    }
    return {"objectives": table, "differences": differences}


def begun() -> dict[str, Any]:
    """The table as far as an earlier run came, or a new one."""
    path = report.RESULTS / "objectives.json"
    if path.exists():
        table: dict[str, Any] = json.loads(path.read_text(encoding="utf8"))
        return table
    asked = questions(HELD_OUT, TEST_SEED)
    costs = {name: cost(objective) for name, objective in OBJECTIVES.items()}
    return {
        "world": {"version": VERSION, "size": "small", "language": "en", "words of a text": LENGTH},
        "floor": {"from the left": by_kind(-asked.left, asked), "from both sides": by_kind(-asked.both, asked)},
        "operations": BUDGETS,
        "cost": costs,
        "steps": {budget: steps_of(costs, budget) for budget in BUDGETS},
        "rates": {name: {} for name in OBJECTIVES},
        "budgets": {budget: compared({name: [] for name in OBJECTIVES}) for budget in BUDGETS},
    }


def main() -> None:
    """Choose the rates, run every objective with every seed, and write the table anew after each."""
    given = report.arguments(__doc__)
    table, asked = begun(), questions(HELD_OUT, TEST_SEED)
    steps = table["steps"]
    for name in OBJECTIVES:
        trials(name, steps["whole"][name], max(steps["whole"].values()), table["rates"][name])
        report.write("objectives", table)
    runs = {b: {name: table["budgets"][b]["objectives"][name]["runs"] for name in OBJECTIVES} for b in BUDGETS}
    for budget, seed in itertools.product(BUDGETS, range(given.seeds)):
        for name, of in runs[budget].items():
            if len(of) == seed:
                rate, most = best_rate(table["rates"][name]), max(steps[budget].values())
                model, seconds = trained(OBJECTIVES[name], seed, steps[budget][name], rate, most)
                of.append(measured(name, model, asked) | {"cpu_seconds": seconds})
                print(seed, budget, name, of[-1], flush=True)
        table["budgets"][budget] = compared(runs[budget])
        report.write("objectives", table)


if __name__ == "__main__":
    main()
