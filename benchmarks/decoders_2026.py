"""The parts of open decoders of 2024 to 2026, each put into one small decoder alone, at equal training FLOPs.

    python benchmarks/decoders_2026.py

The plain decoder is Llama's kind, about 0.2 million parameters. Each change is trained on the same stories, in the
same order, for the same number of steps. The feed-forward networks are made narrower or wider until a step costs as
many FLOPs as the plain decoder's, as :func:`companion.training.flops.measured_flops` counts them. Initial weights and
stories are drawn by the seed. One learning rate serves all, and was tuned for none. The result goes to
`benchmarks/results/decoders_2026.json`, for `book/algorithms/decoders_2026.ipynb`, run by run; what the file has
already is not computed again.
"""

import json
from typing import Any

import report

from companion.lessons.decoders_2026.experiments.trained import (
    BATCH,
    CHANGES,
    RATE,
    STEPS,
    count_gap,
    flops,
    train,
    width,
)


def row(change: str) -> dict[str, Any]:
    """What a change costs, without its runs."""
    return {"d_ff": width(change), "flops_per_token": flops(change, width(change)), "runs": {}}


def main() -> None:
    """Run what the file lacks, row by row, and write it run by run."""
    asked = report.arguments(__doc__)
    path = report.RESULTS / "decoders_2026.json"
    table: dict[str, Any] = json.loads(path.read_text(encoding="utf8")) if path.exists() else {}
    table |= {"seeds": asked.seeds, "steps": STEPS, "batch": BATCH, "learning_rate": RATE}
    rows, counts = table.setdefault("rows", {}), table.setdefault("n-grams", {})
    for change in CHANGES:
        if change not in rows:
            rows[change] = row(change)
        runs = rows[change]["runs"]
        for seed in map(str, range(asked.seeds)):
            if seed not in runs:
                runs[seed] = train(change, int(seed))[1]._asdict()
                print(f"{change}, seed {seed}: {runs[seed]}", flush=True)
                report.write("decoders_2026", table)
    for order in (2, 3):
        counts.setdefault(str(order), count_gap(order))
        report.write("decoders_2026", table)


if __name__ == "__main__":
    main()
