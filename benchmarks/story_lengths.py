"""Length of the stories that a model tells, by how its batches were put together.

    python benchmarks/story_lengths.py

The same stories are read twice, by the same model from the same first weights: in batches of stories of about one
length, and in batches put together at random. The loss of a step is the mean over the tokens of its batch in both, so
in a batch of short stories each token weighs more. Measured on held-out stories: the model's probability of an end at
each place where a story may end, summed, over the exact one. The result goes to
`benchmarks/results/story_lengths.json`, for `book/concepts/storyworld.ipynb`.
"""

import itertools
import random
from collections.abc import Iterator

import report
import torch
from torch import Tensor

from companion.lessons.storyworld.experiments import end_probabilities
from companion.metrics.language_model import excess_nll
from companion.models.gpt import GPT, GPTConfig
from companion.nn.initialization import sinusoidal_initialization
from companion.storyworld import World, rows, story_batches
from companion.training import Optimization, fit

STEPS, BATCH, HELD_OUT = 300, 16, 120


def batches(world: World, seed: int, mixed: bool) -> Iterator[Tensor]:
    """Batches of one seed's stories: each of about one length, or the same stories in random order."""
    grouped = list(itertools.islice(story_batches(world, BATCH, seed), STEPS))
    if not mixed:
        return iter(grouped)
    stories = [row[row >= 0] for batch in grouped for row in batch]
    random.Random(seed).shuffle(stories)
    return (
        torch.nn.utils.rnn.pad_sequence(stories[first : first + BATCH], batch_first=True, padding_value=-100)
        for first in range(0, len(stories), BATCH)
    )


def run(world: World, seed: int, mixed: bool) -> dict[str, float]:
    """One training run, measured on held-out stories."""
    held_out = world.stories(HELD_OUT, seed=1_000_000)
    torch.manual_seed(seed)
    model = GPT(GPTConfig(len(world.vocabulary), 144, n_layers=1, n_heads=4, d_model=32))
    sinusoidal_initialization(model)
    history = fit(
        model,
        batches(world, seed, mixed),
        steps=STEPS,
        learning_rate=3e-3,
        optimization=Optimization("muon", weight_decay=0.0, schedule="linear"),
        progress=False,
    )
    said, exact = end_probabilities(model, held_out)
    gap = excess_nll(model, rows(held_out), [story.log_probs for story in held_out])
    return {"ratio": (said.sum() / exact.sum()).item(), "gap": gap.value, "cpu_seconds": history.cpu_seconds}


def main() -> None:
    """Run both ways over the seeds, and write the table after each seed."""
    arguments = report.arguments(__doc__)
    world = World("small")
    runs: dict[str, list[dict[str, float]]] = {"one length": [], "mixed": []}
    for seed in range(arguments.seeds):
        for name, found in runs.items():
            found.append(run(world, seed, name == "mixed"))
            print(seed, name, found[-1])
        report.write("story_lengths", {"steps": STEPS, "batch": BATCH, "runs": runs})


if __name__ == "__main__":
    main()
