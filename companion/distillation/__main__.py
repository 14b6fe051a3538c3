"""Distil a fine-tuned checkpoint: ``python -m companion.distillation --task sst2 --model runs/sst2 --out runs/small``.

It needs a network, and is best run on a GPU. A folder in the hub's layout may replace a dataset or model of the hub,
and the same command, given again, resumes an interrupted run. Chapter: ``book/algorithms/distillation.ipynb``.
"""

from collections.abc import Sequence
from typing import Any

from companion.distillation.run import METHODS, distil
from companion.finetuning.command_line import execute, parser_of
from companion.finetuning.tasks import HeldOutResult


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line, the process's own when not given: distil, and print the held-out scores."""
    parser = parser_of("companion.distillation", "Distil a fine-tuned model into a student with fewer layers.")
    parser.add_argument("--model", required=True, help="the teacher: the --out of fine-tuning, or an id on the hub")
    parser.add_argument("--method", choices=METHODS, default="pkd")
    parser.add_argument("--layers", type=int, help="layers of the student; half of the teacher's when not given")
    execute(parser.parse_args(arguments), _run)


def _run(*task: Any, **options: Any) -> dict[str, HeldOutResult]:
    teacher, student = distil(*task, **options)
    return {"teacher": teacher, "student": student}


if __name__ == "__main__":
    main()
