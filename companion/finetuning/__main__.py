"""Fine-tune or distil a real checkpoint: ``python -m companion.finetuning finetune --task sst2 --out runs/sst2``.

Chapters: ``book/algorithms/finetuning.ipynb``, ``book/algorithms/distillation.ipynb``.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from companion import finetuning as real
from companion.distillation.run import METHODS, distil
from companion.finetuning.run import Settings, finetune
from companion.finetuning.tasks import TASKS, Held, Task


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse a command line, the process's own when not given, do what it says, and print the held-out table."""
    given = vars(_parser().parse_args(arguments))
    task, command = TASKS[given.pop("task")], given.pop("command")
    try:
        settings = Settings(**{name: given.pop(name) for name in ("epochs", "batch_size", "rate", "seed", "device")})
        if command == "finetune":
            rows = {"fine-tuned": finetune(task, settings=settings, **given)}
        else:
            rows = dict(zip(("teacher", "student"), distil(task, settings=settings, **given), strict=True))
    except (ValueError, OSError, ModuleNotFoundError) as error:  # what the package says of a bad input
        sys.exit(f"error: {error}")
    print(table(task, rows))
    for name, held in rows.items():
        print(f"\n{name}, label by label\n{held.report}")


def table(task: Task, rows: dict[str, Held]) -> str:
    """Return what models are worth on the held-out texts, one a row."""
    head = f"{'':10}  layers  {'parameters':>11}  {task.score:>9}  texts a second"
    lines = [
        f"{name:10}  {held.model.config.n_layers:6}  {held.parameters:11,}  {held.report.micro.f1:9.4f}  "
        f"{held.per_second:14,.0f}"
        for name, held in rows.items()
    ]
    return "\n".join([f"held out: split {task.held_out!r}", head, *lines])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m companion.finetuning",
        description=real.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    tune = commands.add_parser("finetune", help="put a head on a pre-trained model, and train both on labels")
    tune.add_argument("--model", help="a folder, or an id on the hub; the task's BERT-base when not given")
    teach = commands.add_parser("distil", help="teach a student of fewer layers what a fine-tuned model says")
    teach.add_argument("--model", required=True, help="the teacher: the --out of finetune, or an id on the hub")
    teach.add_argument("--method", choices=METHODS, default="pkd")
    teach.add_argument("--layers", type=int, help="of the student; half of the teacher's when not given")
    usual = Settings()
    for command in (tune, teach):
        command.add_argument("--task", choices=TASKS, required=True)
        command.add_argument("--out", type=Path, required=True, help="a folder; what is cut off in it goes on")
        command.add_argument("--data", help="a folder in the hub's layout, or an id on the hub; the task's own else")
        command.add_argument("--revision", help="of the data on the hub, such as refs/convert/parquet")
        command.add_argument("--limit", type=int, help="texts of each split that are read, for a trial")
        command.add_argument("--epochs", type=int, default=usual.epochs, help="passes over the texts, at most")
        command.add_argument("--batch-size", type=int, default=usual.batch_size)
        command.add_argument("--rate", type=float, default=usual.rate, help="of learning, at its peak")
        command.add_argument("--seed", type=int, default=usual.seed)
        command.add_argument("--device", default=usual.device, help="auto, cuda, mps or cpu")
    return parser


if __name__ == "__main__":
    main()
