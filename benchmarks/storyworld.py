"""How close to the floor the story-world chapter's GPT comes: five seeds, with and without the sinusoidal start.

    python benchmarks/storyworld.py

The model and its training are those of the cell "Train one" of `book/concepts/storyworld.ipynb`. The result goes to
`benchmarks/results/storyworld.json`: for each seed the gap, the share of questions answered and the processor time,
and their mean and spread. Steps and processor seconds are counted, never the clock on the wall.
"""

import argparse
import json
import platform
import statistics
from pathlib import Path

import torch

from companion import quiz
from companion.data.storyworld import QUESTIONS, VERSION, World, rows, story_batches
from companion.gpt import GPT, GPTConfig
from companion.metrics import gap_to_floor
from companion.positions import sinusoidal_start
from companion.training import fit

RESULTS = Path(__file__).parent / "results" / "storyworld.json"
STEPS = 1800


def run(seed: int, sines: bool, steps: int) -> dict[str, float]:
    """Train once and measure."""
    world = World()
    torch.manual_seed(seed)
    config = GPTConfig(len(world.vocabulary), context_length=144, n_layers=3, n_heads=4, d_model=64)
    model = GPT(config)
    if sines:
        sinusoidal_start(model)
    history = fit(
        model,
        story_batches(world, batch_size=16, seed=seed),
        steps=steps,
        optimizer="muon",
        learning_rate=3e-3,
        weight_decay=0.0,
        schedule="linear",
        seed=seed,
        device="cpu",
        progress=False,
    )
    held_out = world.stories(300, seed=1_000_000)
    gap = gap_to_floor(model, rows(held_out), [story.log_probs for story in held_out])
    shares = quiz.accuracy(model, held_out)
    return {"gap": gap.value, "gap_standard_error": gap.standard_error, "cpu_seconds": history.cpu_seconds, **shares}


def summary(runs: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Mean, standard deviation, lowest and highest of each number over the seeds."""
    columns = {name: [one[name] for one in runs] for name in ("gap", "cpu_seconds", *QUESTIONS)}
    return {
        name: {
            "mean": statistics.mean(values),
            "sd": statistics.stdev(values) if len(values) > 1 else 0.0,
            "min": min(values),
            "max": max(values),
        }
        for name, values in columns.items()
    }


def main() -> None:
    """Run every seed both ways, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=STEPS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    result = {
        "command": f"python benchmarks/storyworld.py --seeds {arguments.seeds} --steps {arguments.steps}",
        "world": {"version": VERSION, "size": "small", "language": "en"},
        "python": platform.python_version(),
        "torch": torch.__version__.split("+")[0],
        "threads": 1,
    }
    for name, sines in (("sinusoidal start", True), ("noise", False)):
        runs = []
        for seed in range(arguments.seeds):
            runs.append(run(seed, sines, arguments.steps))
            print(f"{name:>16}, seed {seed}: " + "  ".join(f"{k} {v:.3f}" for k, v in runs[-1].items()), flush=True)
        result[name] = {"runs": runs, "summary": summary(runs)}
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf8")
    print(f"written: {RESULTS.name}")


if __name__ == "__main__":
    main()
