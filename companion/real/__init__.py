"""The same calls on real checkpoints: BERT-base learns a public dataset, and teaches it to a student half as deep.

With a network, and best with a GPU::

    python -m companion.real finetune --task sst2 --out runs/sst2
    python -m companion.real distil --task sst2 --model runs/sst2 --method pkd --out runs/sst2-student

Folders in the hub's layout may stand in for what comes from the hub. A run that was cut off goes on when the same
command is given again. Chapters: ``book/algorithms/finetuning.ipynb``, ``book/algorithms/distillation.ipynb``.
"""

from companion.real.runs import METHODS, Settings, distil, finetune
from companion.real.tasks import TASKS, Held, Part, Task, measure, read_parts

__all__ = ["METHODS", "TASKS", "Held", "Part", "Settings", "Task", "distil", "finetune", "measure", "read_parts"]
