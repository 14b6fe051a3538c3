"""Distillation of a whole fine-tuned checkpoint into a student of fewer layers, from the dataset to a folder.

Chapter: ``book/algorithms/distillation.ipynb``. The methods' sources are in :mod:`companion.distillation.losses`.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from companion import checkpoints
from companion.data.tokenization import load_tokenizer
from companion.distillation.losses import Distiller, distilbert_loss, hinton_loss, pkd_loss, tinybert_loss
from companion.distillation.student import every_second, initialise_from, skip_layers
from companion.finetuning.heads import SequenceClassifier
from companion.finetuning.run import Settings, train
from companion.finetuning.tasks import Head, Held, Task, measure, read_parts
from companion.models.bert import Bert
from companion.training.loop import pick_device

METHODS: dict[str, Callable[..., Tensor]] = {
    "hinton": hinton_loss,
    "distilbert": distilbert_loss,
    "pkd": pkd_loss,
    "tinybert": tinybert_loss,
}


def distil(
    task: Task,
    out: str | Path,
    *,
    model: str | Path,
    method: str = "pkd",
    layers: int | None = None,
    data: str | Path | None = None,
    revision: str | None = None,
    limit: int | None = None,
    settings: Settings | None = None,
) -> tuple[Held, Held]:
    """Teach a student with fewer layers, which begins with some of its teacher's, what the teacher says of the texts.

    Args:
        task: what the teacher was fine-tuned on.
        out: the folder for the student; a run in it that was cut off goes on.
        model: the teacher, such as the ``out`` of :func:`finetune`: a folder, or an id on the hub.
        method: one of ``METHODS``, with its own settings; TinyBERT's compares all four terms at once.
        layers: of the student; half of the teacher's when not given. It begins with every second layer then, and
            else with layers spread over the teacher.
        data: as for :func:`finetune`, and so the three below; the tags or labels must be those of the teacher.
        revision: of ``data``.
        limit: texts of each split.
        settings: how the run goes.

    Returns:
        what teacher and student are worth on the held-out texts.

    Raises:
        ValueError: on an unknown method, an impossible number of layers, or a teacher of other labels; and as
            :func:`finetune`, like the other errors.
    """
    settings = settings or Settings()
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}; got {method!r}")
    folder = checkpoints.locate(model)
    tokenizer, teacher = load_tokenizer(folder), task.head.from_pretrained(folder)
    parts = read_parts(task, tokenizer, teacher.config.context_length, data, revision, limit)
    if teacher.labels != parts[0].names:
        raise ValueError(f"the teacher must have the labels {parts[0].names}, in order; got {teacher.labels}")
    teacher.to(pick_device(settings.device))
    torch.manual_seed(settings.seed)
    student = _student(teacher, layers)
    depth, depths = student.config.n_layers, teacher.config.n_layers
    own: dict[str, Any] = {"layers": skip_layers(depth, depths)} if method in ("pkd", "tinybert") else {}
    own |= {"stage": "task"} if method == "tinybert" else {}
    told = {"teacher": str(model), "method": method, "layers": depth, "data": str(data or task.data), "limit": limit}
    train(student, Distiller(teacher, METHODS[method], **own), parts, Path(out), folder, settings, told)
    return measure(teacher, parts[2]), measure(student, parts[2])


def _student(teacher: Head, layers: int | None) -> Head:
    """A model of fewer layers, which begins with some of its teacher's."""
    depths = teacher.config.n_layers
    start = every_second(depths)
    if layers is not None and layers != len(start):
        start = skip_layers(layers, depths)
    body = Bert(replace(teacher.config, n_layers=len(start)))
    if isinstance(teacher, SequenceClassifier):
        student: Head = SequenceClassifier(body, teacher.labels, teacher.pooling)
    else:
        student = type(teacher)(body, teacher.labels)
    if teacher.bert.pooler is None:
        body.pooler = None
    initialise_from(student, teacher, start)
    return student
