"""How close to the floor the story-world chapter's GPT comes: five seeds, with and without the sinusoidal start.

    python benchmarks/storyworld.py

The model is that of the cell "Train one" of `book/concepts/storyworld.ipynb`, trained on the same kind of stories for
longer, and with a rate that falls to 0; the page's own run is shorter and keeps its rate. The result goes to
`benchmarks/results/storyworld.json`: for each seed the gap, the fraction of questions answered and the processor time,
and their mean and spread. Steps and processor seconds are counted, never the clock on the wall.
"""

from typing import Any

import report
import torch

from companion.metrics.language_model import excess_nll
from companion.models.gpt import GPT, GPTConfig
from companion.nn.initialization import sinusoidal_initialization
from companion.storyworld import VERSION, World, quiz, rows, story_batches
from companion.training import Optimization, Runtime, fit

STEPS = 1800


def run(seed: int, sines: bool, steps: int) -> dict[str, float]:
    """Train once and measure."""
    world = World()
    torch.manual_seed(seed)
    config = GPTConfig(len(world.vocabulary), context_length=144, n_layers=3, n_heads=4, d_model=64)
    model = GPT(config)
    if sines:
        sinusoidal_initialization(model)
    history = fit(
        model,
        story_batches(world, batch_size=16, seed=seed),
        steps=steps,
        learning_rate=3e-3,
        optimization=Optimization("muon", weight_decay=0.0, schedule="linear"),
        runtime=Runtime(device="cpu", seed=seed),
        progress=False,
    )
    held_out = world.stories(300, seed=1_000_000)
    gap = excess_nll(model, rows(held_out), [story.log_probs for story in held_out])
    answered = quiz.accuracy(model, held_out)
    return {"gap": gap.value, "gap_standard_error": gap.standard_error, "cpu_seconds": history.cpu_seconds, **answered}


def main() -> None:
    """Run every seed both ways, and write the table."""
    given = report.arguments(__doc__, steps=STEPS)
    result: dict[str, Any] = {"world": {"version": VERSION, "size": "small", "language": "en"}}
    for name, sines in (("sinusoidal start", True), ("noise", False)):
        runs = []
        for seed in range(given.seeds):
            runs.append(run(seed, sines, given.steps))
            print(f"{name:>16}, seed {seed}: " + "  ".join(f"{k} {v:.3f}" for k, v in runs[-1].items()), flush=True)
        result[name] = {"runs": runs, "summary": report.summary(runs)}
    report.write("storyworld", result)


if __name__ == "__main__":
    main()
