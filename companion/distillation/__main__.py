"""Distil a fine-tuned checkpoint: ``python -m companion.distillation --task sst2 --model runs/sst2 --out runs/student``.

With a network, and best with a GPU. A folder in the hub's layout may stand in for what comes from the hub, and a run
that was cut off goes on when the same command is given again. Chapter: ``book/algorithms/distillation.ipynb``.
"""

from collections.abc import Sequence
from typing import Any

from companion.distillation.run import METHODS, distil
from companion.finetuning.command_line import execute, parser_of
from companion.finetuning.tasks import Held


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse a command line, the process's own when not given, distil, and print the held-out table."""
    parser = parser_of("companion.distillation", "Teach a student of fewer layers what a fine-tuned model says.")
    parser.add_argument("--model", required=True, help="the teacher: the --out of fine-tuning, or an id on the hub")
    parser.add_argument("--method", choices=METHODS, default="pkd")
    parser.add_argument("--layers", type=int, help="of the student; half of the teacher's when not given")
    execute(parser.parse_args(arguments), _work)


def _work(*task: Any, **options: Any) -> dict[str, Held]:
    teacher, student = distil(*task, **options)
    return {"teacher": teacher, "student": student}


if __name__ == "__main__":
    main()
