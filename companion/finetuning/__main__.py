"""Fine-tune a published checkpoint: ``python -m companion.finetuning --task sst2 --out runs/sst2``.

With a network, and best with a GPU. A folder in the hub's layout may stand in for what comes from the hub, and a run
that was cut off goes on when the same command is given again. Chapter: ``book/algorithms/finetuning.ipynb``.
"""

from collections.abc import Sequence
from typing import Any

from companion.finetuning.command_line import execute, parser_of
from companion.finetuning.run import finetune
from companion.finetuning.tasks import Held


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse a command line, the process's own when not given, fine-tune, and print the held-out table."""
    parser = parser_of("companion.finetuning", "Put a head on a pre-trained model, and train both on labels.")
    parser.add_argument("--model", help="a folder, or an id on the hub; the task's BERT-base when not given")
    execute(parser.parse_args(arguments), _work)


def _work(*task: Any, **options: Any) -> dict[str, Held]:
    return {"fine-tuned": finetune(*task, **options)}


if __name__ == "__main__":
    main()
