"""Fine-tune a published checkpoint: ``python -m companion.finetuning --task sst2 --out runs/sst2``.

It needs a network, and is best run on a GPU. A folder in the hub's layout may replace a dataset or model of the hub,
and the same command, given again, resumes an interrupted run. Chapter: ``book/algorithms/finetuning.ipynb``.
"""

from collections.abc import Sequence
from typing import Any

from companion.finetuning.command_line import execute, parser_of
from companion.finetuning.run import finetune
from companion.finetuning.tasks import HeldOutResult


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line, the process's own when not given: fine-tune, and print the held-out scores."""
    parser = parser_of("companion.finetuning", "Put a task head on a pre-trained model, and train both on labels.")
    parser.add_argument("--model", help="a folder, or an id on the hub; the task's BERT-base when not given")
    execute(parser.parse_args(arguments), _run)


def _run(*task: Any, **options: Any) -> dict[str, HeldOutResult]:
    return {"fine-tuned": finetune(*task, **options)}


if __name__ == "__main__":
    main()
