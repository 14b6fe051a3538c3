"""Results of the benchmarks, for the chapters to show.

Each file is written by a program in ``benchmarks/``, or by ``tests/test_parity.py``, and holds the command, the seeds
and the versions beside the numbers. Chapter: ``book/algorithms/bert.ipynb``.
"""

import json
from pathlib import Path
from typing import Any

FOLDERS = (Path(__file__).parents[1] / "benchmark_results", Path(__file__).parents[2] / "benchmarks" / "results")


def benchmark_table(subject: str) -> dict[str, Any]:
    """Results of a benchmark, such as "parity".

    >>> benchmark_table("parity")["command"]
    'python tests/test_parity.py'

    Raises:
        ValueError: when there are no results of this name.
    """
    folder = next((folder for folder in FOLDERS if folder.is_dir()), FOLDERS[-1])
    known = sorted(path.stem for path in folder.glob("*.json"))
    if subject not in known:
        raise ValueError(f"there are no results of {subject!r}; choose from {', '.join(known)}")
    table: dict[str, Any] = json.loads((folder / f"{subject}.json").read_text(encoding="utf8"))
    return table
