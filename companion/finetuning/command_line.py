"""What the command lines of fine-tuning and of distillation share: their options, and the table of what was held out.

Chapters: ``book/algorithms/finetuning.ipynb``, ``book/algorithms/distillation.ipynb``.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from companion.finetuning.run import Settings
from companion.finetuning.tasks import PUBLIC_TASKS, Held, Task

SETTINGS = ("epochs", "batch_size", "rate", "seed", "device")


def parser_of(program: str, description: str | None) -> argparse.ArgumentParser:
    """A parser with the options that both commands have."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {program}", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    usual = Settings()
    parser.add_argument("--task", choices=PUBLIC_TASKS, required=True)
    parser.add_argument("--out", type=Path, required=True, help="a folder; what is cut off in it goes on")
    parser.add_argument("--data", help="a folder in the hub's layout, or an id on the hub; the task's own else")
    parser.add_argument("--revision", help="of the data on the hub, such as refs/convert/parquet")
    parser.add_argument("--limit", type=int, help="texts of each split that are read, for a trial")
    parser.add_argument("--epochs", type=int, default=usual.epochs, help="passes over the texts, at most")
    parser.add_argument("--batch-size", type=int, default=usual.batch_size)
    parser.add_argument("--rate", type=float, default=usual.rate, help="of learning, at its peak")
    parser.add_argument("--seed", type=int, default=usual.seed)
    parser.add_argument("--device", default=usual.device, help="auto, cuda, mps or cpu")
    return parser


def execute(given: argparse.Namespace, work: Callable[..., dict[str, Held]]) -> None:
    """Do the work that a parsed command line asks for, and print the held-out table; exit on a bad input.

    Args:
        given: the options of :func:`parser_of`, and those that ``work`` takes beside them.
        work: (task, settings=…, the other options) -> the held-out result of each model, by its name.
    """
    options: dict[str, Any] = vars(given)
    task = PUBLIC_TASKS[options.pop("task")]
    try:
        settings = Settings(**{name: options.pop(name) for name in SETTINGS})
        rows = work(task, settings=settings, **options)
    except (ValueError, OSError, ModuleNotFoundError) as error:  # what the package says of a bad input
        sys.exit(f"error: {error}")
    print(table(task, rows))
    for name, held in rows.items():
        print(f"\n{name}, label by label\n{held.report}")


def table(task: Task, rows: dict[str, Held]) -> str:
    """Table of what models are worth on the held-out texts, one model per row."""
    head = f"{'':10}  layers  {'parameters':>11}  {task.score:>9}  texts per second"
    lines = [
        f"{name:10}  {held.model.config.n_layers:6}  {held.parameters:11,}  {held.report.micro.f1:9.4f}  "
        f"{held.per_second:16,.0f}"
        for name, held in rows.items()
    ]
    return "\n".join([f"held out: split {task.held_out!r}", head, *lines])
