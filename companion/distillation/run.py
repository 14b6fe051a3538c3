"""Distillation of a whole fine-tuned checkpoint into a student with fewer layers, from the dataset to a folder.

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
from companion.distillation.distiller import Distiller
from companion.distillation.losses import distilbert_loss, hinton_loss, pkd_loss, tinybert_loss
from companion.distillation.student import every_second, initialise_from, skip_layers
from companion.finetuning.run import Settings, train
from companion.finetuning.tasks import Head, HeldOutResult, Task, evaluate, read_splits
from companion.models.bert import Bert
from companion.nn.device import pick_device

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
) -> tuple[HeldOutResult, HeldOutResult]:
    """Distil a teacher into a student with fewer layers, initialised from some of the teacher's.

    Args:
        task: the task that the teacher was fine-tuned on.
        out: folder for the student; an interrupted run in it is resumed.
        model: the teacher, such as the ``out`` of :func:`companion.finetuning.run.finetune`: a folder, or an id on the
            hub.
        method: one of ``METHODS``, with its default settings; TinyBERT's uses all four terms at once.
        layers: number of layers of the student; half of the teacher's when not given. It is initialised from every
            second layer then, and else from layers spread over the teacher.
        data: dataset, as for ``finetune``, like the three below; its labels must be those of the teacher.
        revision: branch of ``data`` on the hub.
        limit: number of texts read of each split.
        settings: hyperparameters.

    Returns:
        evaluations of teacher and student on the test split.

    Raises:
        ValueError: on an unknown method, an impossible number of layers, or a teacher of other labels; and as
            ``finetune``, like the other errors.
    """
    settings = settings or Settings()
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}; got {method!r}")
    folder = checkpoints.locate(model)
    tokenizer, teacher = load_tokenizer(folder), task.head.from_pretrained(folder)
    splits = read_splits(task, tokenizer, teacher.config.context_length, data, revision, limit)
    if teacher.labels != splits[0].names:
        raise ValueError(f"the teacher must have the labels {splits[0].names}, in order; got {teacher.labels}")
    teacher.to(pick_device(settings.device))
    torch.manual_seed(settings.seed)
    student = _student(teacher, layers)
    depth, depths = student.config.n_layers, teacher.config.n_layers
    own: dict[str, Any] = {"layers": skip_layers(depth, depths)} if method in ("pkd", "tinybert") else {}
    own |= {"stage": "task"} if method == "tinybert" else {}
    inputs = {"teacher": str(model), "method": method, "layers": depth, "data": str(data or task.data), "limit": limit}
    train(student, Distiller(teacher, METHODS[method], **own), splits, Path(out), folder, settings, inputs)
    return evaluate(teacher, splits[2]), evaluate(student, splits[2])


def _student(teacher: Head, layers: int | None) -> Head:
    """Student with this number of layers, initialised from some of its teacher's."""
    depths = teacher.config.n_layers
    start = every_second(depths)
    if layers is not None and layers != len(start):
        start = skip_layers(layers, depths)
    body = Bert(replace(teacher.config, n_layers=len(start)))
    student = teacher.with_body(body)
    if teacher.bert.pooler is None:
        body.pooler = None
    initialise_from(student, teacher, start)
    return student
