"""What the permutation objective teaches: five seeds, three values of K, asked in every way of the chapter.

    python benchmarks/xlnet.py

Model and training are those of the cells "Train one" and "And from left to right?" of `book/algorithms/xlnet.ipynb`,
with K = 3 there. All numbers but the processor time are nats a token on held-out stories; "above the floor" are nats
above what somebody says who knows how the stories are made. The steps from the left are taken from random weights too,
at twice the learning rate, which suits those better.
"""

import math
from collections.abc import Iterator

import report
import torch
from torch import Tensor, nn

from companion.data.batch import IGNORED, fill_ignored
from companion.losses.permutation import Permuted, permutation_loss, permute
from companion.metrics.language_model import excess_nll
from companion.models.xlnet import LeftToRight, XLNet, XLNetConfig
from companion.storyworld import VERSION, World, rows, story_batches
from companion.storyworld.optimum import fill_in
from companion.training import Optimization, Runtime, fit

STEPS, FROM_THE_LEFT = 450, 100
FRACTIONS = {"K = 6": 1 / 6, "K = 3": 1 / 3, "K = 3/2": 2 / 3}
WORLD = World()
STORIES = WORLD.stories(240, seed=1_000_000)
LAID = rows(STORIES)  # (stories, longest + 1)
MUON = Optimization("muon", weight_decay=0.0, schedule="linear")


def permuted(stories: Tensor, fraction: float, draw: torch.Generator) -> Permuted:
    """Draw an order for each story."""
    return permute(fill_ignored(stories), stories != IGNORED, fraction=fraction, generator=draw)


def batches(fraction: float, seed: int) -> Iterator[Permuted]:
    """New stories without end, in random orders."""
    draw = torch.Generator().manual_seed(seed)
    return (permuted(stories, fraction, draw) for stories in story_batches(WORLD, 16, seed))


def gaps() -> tuple[Tensor, list[float]]:
    """One place of each story, any but the last, and what the best possible guess costs there."""
    draw = torch.Generator().manual_seed(0)
    places = [int(torch.randint(len(s.tokens) - 1, (1,), generator=draw)) for s in STORIES]
    exact = [-math.log(fill_in(s.tokens, i, WORLD)[s.tokens[i]]) for s, i in zip(STORIES, places, strict=True)]
    return torch.tensor(places) + 1, exact  # a row begins with <|endoftext|>


PLACES, EXACT = gaps()


@torch.no_grad()
def measure(model: XLNet) -> dict[str, float]:
    """Ask a trained model for the ends of orders, for all of them at once, and for single gaps."""
    sixth, third = (permuted(LAID, fraction, torch.Generator().manual_seed(0)) for fraction in (1 / 6, 1 / 3))
    told_last = torch.zeros_like(LAID, dtype=torch.bool).scatter_(1, third.predict, third.targets != IGNORED)
    order = third.order.masked_fill(told_last, LAID.size(1)).masked_fill(LAID == IGNORED, LAID.size(1) + 1)
    at = PLACES[:, None]
    alone = torch.zeros_like(LAID).scatter(1, at, 1).masked_fill(LAID == IGNORED, 2)
    log_p = model(fill_ignored(LAID), order=alone, targets=at)[:, 0].log_softmax(-1)
    surprise = -log_p.gather(1, LAID.gather(1, at)).mean().item()
    return {
        "last sixth of an order": permutation_loss(model, sixth).item(),
        "last third, one after the other": permutation_loss(model, third).item(),
        "last third, all at once": permutation_loss(model, third._replace(order=order)).item(),
        "one gap, above the floor": surprise - sum(EXACT) / len(EXACT),
    }


def above_the_floor(model: nn.Module) -> float:
    """Of a causal model, over whole stories."""
    return excess_nll(model, LAID, [story.log_probs for story in STORIES]).value


def from_the_left(model: LeftToRight, seed: int, learning_rate: float) -> float:
    """Train on a few stories from left to right, and measure."""
    stories = story_batches(WORLD, 16, seed=1000 + seed)  # other ones than before
    fit(
        model,
        stories,
        steps=FROM_THE_LEFT,
        learning_rate=learning_rate,
        optimization=MUON,
        runtime=Runtime(device="cpu", seed=seed),
        progress=False,
    )
    return above_the_floor(model)


def new(seed: int) -> XLNet:
    """Random weights."""
    torch.manual_seed(seed)
    return XLNet(XLNetConfig(len(WORLD.vocabulary), n_layers=2, n_heads=4, d_model=64))


def run(fraction: float, seed: int, steps: int) -> dict[str, float]:
    """Train once and measure."""
    model, stream = new(seed), batches(fraction, seed)
    history = fit(
        model,
        stream,
        steps=steps,
        loss=permutation_loss,
        learning_rate=1e-2,
        optimization=MUON,
        runtime=Runtime(device="cpu", seed=seed),
        progress=False,
    )
    found = measure(model)
    writer = LeftToRight(model)
    found["from the left as it is, above the floor"] = above_the_floor(writer)
    found["after 100 steps from the left, above the floor"] = from_the_left(writer, seed, 5e-3)
    return found | {"cpu_seconds": history.cpu_seconds}


def main() -> None:
    """Run every K with every seed, then the steps from the left alone, and write the table."""
    given = report.arguments(__doc__, steps=STEPS)
    result: dict = {"world": {"version": VERSION, "size": "small", "language": "en"}, "settings": {}}
    for name, fraction in FRACTIONS.items():
        runs = []
        for seed in range(given.seeds):
            runs.append(run(fraction, seed, given.steps))
            print(f"{name:>8}, seed {seed}: " + "  ".join(f"{k} {v:.3f}" for k, v in runs[-1].items()), flush=True)
        result["settings"][name] = {"runs": runs, "summary": report.summary(runs)}
    name = "after 100 steps from the left, above the floor"
    runs = [{name: from_the_left(LeftToRight(new(seed)), seed, 1e-2)} for seed in range(given.seeds)]
    result["random weights"] = {"runs": runs, "summary": report.summary(runs)}
    print(f"random weights: {result['random weights']['summary']}")
    report.write("xlnet", result)


if __name__ == "__main__":
    main()
