"""Common part of the command lines of fine-tuning and distillation: options, and the table of held-out scores.

Chapters: ``book/algorithms/finetuning.ipynb``, ``book/algorithms/distillation.ipynb``.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from companion.finetuning.run import Settings
from companion.finetuning.tasks import PUBLIC_TASKS, HeldOutResult, Task

SETTINGS = ("epochs", "batch_size", "rate", "seed", "device")


def parser_of(program: str, description: str | None) -> argparse.ArgumentParser:
    """Argument parser with the options that both commands have."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {program}", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default = Settings()
    parser.add_argument("--task", choices=PUBLIC_TASKS, required=True)
    parser.add_argument("--out", type=Path, required=True, help="a folder; an interrupted run in it is resumed")
    parser.add_argument("--data", help="a folder in the hub's layout, or an id on the hub; the task's when not given")
    parser.add_argument("--revision", help="branch of the dataset on the hub, such as refs/convert/parquet")
    parser.add_argument("--limit", type=int, help="number of texts read of each split, for a trial")
    parser.add_argument("--epochs", type=int, default=default.epochs, help="passes over the texts, at most")
    parser.add_argument("--batch-size", type=int, default=default.batch_size)
    parser.add_argument("--rate", type=float, default=default.rate, help="peak learning rate")
    parser.add_argument("--seed", type=int, default=default.seed)
    parser.add_argument("--device", default=default.device, help="auto, cuda, mps or cpu")
    return parser


def execute(given: argparse.Namespace, run: Callable[..., dict[str, HeldOutResult]]) -> None:
    """Run what a parsed command line asks for, and print the held-out scores; exit on a bad input.

    Args:
        given: parsed options of :func:`parser_of`, and those that ``run`` takes beside them.
        run: (task, settings=…, the other options) -> held-out scores of each model, by its name.
    """
    options: dict[str, Any] = vars(given)
    task = PUBLIC_TASKS[options.pop("task")]
    try:
        settings = Settings(**{name: options.pop(name) for name in SETTINGS})
        rows = run(task, settings=settings, **options)
    except (ValueError, OSError, ModuleNotFoundError) as error:  # the package's errors on a bad input
        sys.exit(f"error: {error}")
    print(table(task, rows))
    for name, scored in rows.items():
        print(f"\n{name}, label by label\n{scored.report}")


def table(task: Task, rows: dict[str, HeldOutResult]) -> str:
    """Table of the held-out scores, one model per row."""
    head = f"{'':10}  layers  {'parameters':>11}  {task.score:>9}  texts per second"
    lines = [
        f"{name:10}  {scored.model.config.n_layers:6}  {scored.parameters:11,}  {scored.report.micro.f1:9.4f}  "
        f"{scored.texts_per_second:16,.0f}"
        for name, scored in rows.items()
    ]
    return "\n".join([f"held out: split {task.test!r}", head, *lines])
