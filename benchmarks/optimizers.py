"""What the optimisation chapter's runs say over five seeds, each optimizer with the same budget of learning rates.

    python benchmarks/optimizers.py

Network and text are those of `book/concepts/optimization.ipynb`. A seed draws the weights and the order of the stories,
the same for every choice, so that two choices can be compared seed by seed. Optimizers have four learning rates each, a
factor of about three apart; the rate of each is the one with the lowest mean over the seeds. The result goes to
`benchmarks/results/optimizers.json`, after each seed.

    race      four optimizers: the excess by rate, in all and by how common the word is
    warm-up   at a good rate and at five times that rate, AdamW
    decay     none, L2 penalty under Adam, AdamW: the query matrix and the excess
    few       forty stories or many, with weight decay, with dropout
    schedule  four others beside the race's cosine, AdamW, at three of its rates
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

import report
import torch
from torch import Tensor, nn

from companion.data.batch import IGNORED
from companion.metrics.language_model import excess_nll, padded_like, token_nll
from companion.models.gpt import GPT, GPTConfig
from companion.storyworld import World, rows
from companion.training import Evaluation, Optimization, Runtime, fit

GRIDS = {
    "sgd": [0.3, 1.0, 3.0, 10.0],
    "momentum": [0.1, 0.3, 1.0, 3.0],
    "adamw": [3e-3, 1e-2, 3e-2, 1e-1],
    "muon": [1e-2, 3e-2, 1e-1, 3e-1],
}
BANDS = {"rarest": (0.0, 0.005), "rare": (0.005, 0.02), "common": (0.02, 1.0)}  # of a word's frequency
DECAYS = {"no decay": ("adam", 0.0), "L2 penalty, Adam": ("adam", 0.1), "decoupled, AdamW": ("adamw", 0.1)}
RECIPES = {
    "few, plain": (True, 0.0, 0.0),
    "few, decay": (True, 1.0, 0.0),
    "few, dropout": (True, 0.0, 0.3),
    "many, plain": (False, 0.0, 0.0),
    "many, dropout": (False, 0.0, 0.3),
}  # name -> (only forty stories, weight decay, dropout)
FEW = 40

WORLD = World()
STORIES = WORLD.stories(3000, seed=1)
FRESH = rows(STORIES)
HELD_OUT = WORLD.stories(128, seed=2)
UNSEEN, EXACT = rows(HELD_OUT), [story.log_probs for story in HELD_OUT]


def excess(model: nn.Module) -> float:
    """Nats per word above the floor, on held-out stories."""
    return excess_nll(model, UNSEEN, EXACT).value


def batches(stories: Tensor, seed: int) -> Iterator[Tensor]:
    """Batches of eight random stories, cut to the longest of each."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        batch = stories[torch.randint(len(stories), (8,), generator=generator)]
        yield batch[:, : int((batch != IGNORED).sum(1).max())]


def train(how: Optimization, rate: float, seed: int) -> GPT:
    """Train the chapter's network once."""
    torch.manual_seed(seed)
    model = GPT(GPTConfig(len(WORLD.vocabulary), WORLD.longest, n_layers=1, n_heads=4, d_model=32))
    fit(
        model,
        batches(FRESH, seed),
        steps=150,
        learning_rate=rate,
        optimization=how,
        runtime=Runtime(device="cpu", seed=seed),
        progress=False,
    )
    return model


def by_band(model: GPT) -> dict[str, float]:
    """Nats per word above the floor, by how common the word is in the training stories."""
    frequency = torch.bincount(FRESH[FRESH != IGNORED], minlength=len(WORLD.vocabulary))
    targets = UNSEEN[:, 1:]
    common = (frequency / frequency.sum())[targets.clamp(min=0)]
    gap = token_nll(model, UNSEEN) + padded_like(UNSEEN, EXACT)
    inside = {name: (targets != IGNORED) & (low <= common) & (common < high) for name, (low, high) in BANDS.items()}
    return {name: gap[words].mean().item() for name, words in inside.items()}


def race(seed: int) -> dict[str, Any]:
    """Excess at each rate of each optimizer, in all, by band, and the processor seconds of a run."""
    found: dict[str, Any] = {}
    for name, rates in GRIDS.items():
        for rate in rates:
            started = time.process_time()
            model = train(Optimization(name, weight_decay=0.0), rate, seed)
            seconds = time.process_time() - started
            found.setdefault(name, {})[f"{rate:g}"] = {
                "excess": excess(model),
                "seconds": seconds,
                **by_band(model),
            }
    return found


def warm_up(seed: int) -> dict[str, Any]:
    """Excess of AdamW with and without warm-up, at a good rate and at five times that rate."""
    return {
        f"{rate:g}": {
            str(steps): excess(train(Optimization(weight_decay=0.0, warmup=steps), rate, seed)) for steps in (0, 40)
        }
        for rate in (2e-2, 1e-1)
    }


def decay(seed: int) -> dict[str, Any]:
    """Root mean square of the query matrix, and the excess, under each kind of decay."""
    found = {}
    for name, (optimizer, strength) in DECAYS.items():
        model = train(Optimization(optimizer, weight_decay=strength), 2e-2, seed)
        query = model.state_dict()["blocks.0.attention.query.weight"]
        found[name] = {"query": query.square().mean().sqrt().item(), "excess": excess(model)}
    return found


def few(seed: int) -> dict[str, Any]:
    """Excess of a wider network on unseen stories, in the course of training, and on the forty in the end."""
    found = {}
    known = [story.log_probs for story in STORIES[:FEW]]
    for name, (only_few, strength, dropout) in RECIPES.items():
        torch.manual_seed(seed)
        model = GPT(GPTConfig(len(WORLD.vocabulary), WORLD.longest, 1, 4, d_model=48, dropout=dropout))
        history = fit(
            model,
            batches(FRESH[:FEW] if only_few else FRESH, seed),
            steps=160,
            learning_rate=2e-2,
            optimization=Optimization("muon", weight_decay=strength),
            evaluation=Evaluation(excess, every=40),
            runtime=Runtime(device="cpu", seed=seed),
            progress=False,
        )
        on_few = excess_nll(model, FRESH[:FEW], known).value
        found[name] = {"unseen": [value for _, value in history.evaluations], "the forty": on_few}
    return found


def schedule(seed: int) -> dict[str, Any]:
    """Excess of AdamW under each schedule but the race's cosine, at three of its rates."""
    return {
        name: {
            f"{rate:g}": excess(train(Optimization(weight_decay=0.0, schedule=name), rate, seed))
            for rate in GRIDS["adamw"][:3]
        }
        for name in ("linear", "constant", "inverse_sqrt", "warmup_stable_decay")
    }


PARTS: dict[str, Callable[[int], dict[str, Any]]] = {
    "race": race,
    "warm-up": warm_up,
    "decay": decay,
    "few": few,
    "schedule": schedule,
}


def main() -> None:
    """Run every part with every seed, and write the table after each seed."""
    given = report.arguments(__doc__)
    result: dict[str, Any] = {}
    for name, part in PARTS.items():
        for seed in range(given.seeds):
            result.setdefault(name, []).append(part(seed))  # one entry a seed
            print(f"{name}, seed {seed}: {time.process_time():.0f} s so far", flush=True)
            report.write("optimizers", result)


if __name__ == "__main__":
    main()
