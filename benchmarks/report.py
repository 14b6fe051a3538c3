"""What every benchmark says beside its numbers, and how it sums up its seeds."""

import argparse
import json
import platform
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

RESULTS = Path(__file__).parent / "results"


def arguments(description: str | None, **options: int) -> argparse.Namespace:
    """Read ``--seeds`` (5) and the options, whole numbers with these defaults; compute on one thread."""
    parser = argparse.ArgumentParser(description=description)
    for name, default in ({"seeds": 5} | options).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default)
    torch.set_num_threads(1)
    return parser.parse_args()


def summary(runs: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Mean, standard deviation, lowest and highest of each number over the runs, one a seed."""
    columns = {name: [run[name] for run in runs] for name in runs[0]}
    return {
        name: {
            "mean": statistics.mean(values),
            "sd": statistics.stdev(values) if len(values) > 1 else 0.0,
            "min": min(values),
            "max": max(values),
        }
        for name, values in columns.items()
    }


def write(subject: str, table: Mapping[str, Any]) -> None:
    """Write ``results/<subject>.json``: the command, the versions and the table."""
    command = " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])
    versions = {"python": platform.python_version(), "torch": torch.__version__.split("+")[0], "threads": 1}
    path = RESULTS / f"{subject}.json"
    path.write_text(json.dumps({"command": command, **versions, **table}, indent=1) + "\n", encoding="utf8")
    print(f"written: {path.name}")
