"""Scaling: the loss of GPTs by size and text on the tiny story world, and the phase change of a model that copies.

    python benchmarks/scaling.py

Each of five seeds has its own initial weights and stories. Three widths meet three numbers of stories; the held-out
run has more of both. Each run reads its stories once, with a learning rate that falls to 0 at its own end. The copying
model has two blocks; its control one, with more parameters and as many steps. Last, half and twice the learning rate of
each width that is in the fit, with the first seed and the fewest stories. The result goes to
`benchmarks/results/scaling.json`, for `book/algorithms/scaling.ipynb`, part by part; what the file has already is not
computed again.
"""

import json
import time
from dataclasses import asdict
from typing import Any

import report

from companion.lessons.scaling.experiments import HELD_OUT, RATES, STORIES, WIDTHS, exam, learn_to_copy, train

STEPS = 200
WIDE = 96  # of the control's only block


def runs(seed: int) -> list[dict[str, Any]]:
    """Every run of one seed, smallest first, the held-out one last."""
    pairs = [(width, stories) for width in WIDTHS for stories in STORIES]
    return [
        {"d_model": width, "stories": stories} | asdict(train(width, stories, seed))
        for width, stories in (*pairs, HELD_OUT)
    ]


def copying(seed: int) -> dict[str, list[dict[str, float]]]:
    """Checkpoints of the copying model and of its control, without their attention."""
    curves = {"two blocks": learn_to_copy(2, seed, STEPS), "one block": learn_to_copy(1, seed, STEPS, d_model=WIDE)}
    return {
        name: [{key: value for key, value in one._asdict().items() if key != "attention"} for one in curve]
        for name, curve in curves.items()
    }


def rates() -> dict[int, dict[float, float]]:
    """Loss after half and twice the learning rate of each width."""
    return {
        width: {factor: train(width, STORIES[0], 0, factor * RATES[width]).loss for factor in (0.5, 2.0)}
        for width in WIDTHS
    }


def main() -> None:
    """Run what the file lacks, and write it part by part."""
    asked = report.arguments(__doc__)
    path = report.RESULTS / "scaling.json"
    table: dict[str, Any] = json.loads(path.read_text(encoding="utf8")) if path.exists() else {}
    table |= {"seeds": asked.seeds, "floor": exam().floor}
    for seed in range(asked.seeds):
        for name, part in (("runs", runs), ("copying", copying)):
            if str(seed) not in table.setdefault(name, {}):
                started = time.process_time()
                table[name][str(seed)] = part(seed)
                report.write("scaling", table)
                print(f"{name}, seed {seed}: {time.process_time() - started:.0f} s of processor time", flush=True)
    if "rates" not in table:
        report.write("scaling", table | {"rates": rates()})


if __name__ == "__main__":
    main()
