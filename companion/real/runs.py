"""Fine-tuning and distillation of a whole checkpoint, from the dataset to a folder that ``transformers`` loads.

Chapters: ``book/algorithms/finetuning.ipynb``, ``book/algorithms/distillation.ipynb``. Sources: Devlin et al. 2019,
"BERT", appendix A.3 (passes, batch size, rate); the methods' are in :mod:`companion.distillation`.
"""

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from companion import checkpoints
from companion.bert import Bert
from companion.data.labelled import minibatches
from companion.distillation import Distiller, distilbert_loss, hinton_loss, pkd_loss, tinybert_loss
from companion.finetuning import SequenceClassifier, predict
from companion.objectives.labels import classification_loss, tagging_loss
from companion.real.tasks import Head, Held, Part, Task, measure, read_parts
from companion.students import every_second, initialise_from, skip_layers
from companion.tokenization import load_tokenizer
from companion.training import fit, pick_device

METHODS: dict[str, Callable[..., Tensor]] = {
    "hinton": hinton_loss,
    "distilbert": distilbert_loss,
    "pkd": pkd_loss,
    "tinybert": tinybert_loss,
}
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")
RUN = "run.safetensors"  # the state of training; what is kept in the end is model.safetensors
CHECKS = 4  # evaluations a pass over the texts; half a run of them without a better one stops it early


@dataclass(frozen=True)
class Settings:
    """How a run goes.

    Attributes:
        epochs: passes over the training texts, at most.
        batch_size: texts a step.
        rate: the learning rate at its peak. Pre-training's was 1e-4, and would wipe out what it taught.
        seed: of the new head, the order of texts, and dropout.
        device: see :func:`companion.training.pick_device`.
    """

    epochs: int = 3
    batch_size: int = 32
    rate: float = 2e-5
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        """Raise ValueError on a run without a step."""
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)}")


def finetune(
    task: Task,
    out: str | Path,
    *,
    model: str | Path | None = None,
    data: str | Path | None = None,
    revision: str | None = None,
    limit: int | None = None,
    settings: Settings | None = None,
) -> Held:
    """Put a new head on a pre-trained body, train both on a dataset's labels, and keep the best in a folder.

    Args:
        task: one of :data:`companion.real.tasks.TASKS`.
        out: the folder; a run in it that was cut off goes on.
        model: a folder with a checkpoint and its ``tokenizer.json``, or an id on the hub; the task's when not given.
        data: a folder in the hub's layout, or an id on the hub; the task's when not given.
        revision: of ``data`` on the hub; the task's when ``data`` is not given either.
        limit: texts of each split that are read, for a trial; all when not given.
        settings: how the run goes; within what Devlin et al. 2019 tried when not given.

    Returns:
        what the model is worth on the held-out texts.

    Raises:
        ValueError: when ``out`` holds a run with other settings, or the model's own folder; see also
            :func:`companion.real.tasks.read_parts` and :func:`companion.training.fit`.
        companion.checkpoints.CheckpointError: see :func:`companion.checkpoints.load`.
        FileNotFoundError: when there is no tokenizer, or no such dataset.
    """
    settings = settings or Settings()
    folder = checkpoints.locate(model or task.model)
    tokenizer, body = load_tokenizer(folder), Bert.from_pretrained(folder)
    parts = read_parts(task, tokenizer, body.config.context_length, data, revision, limit)
    torch.manual_seed(settings.seed)
    if task.head is not SequenceClassifier:
        body.pooler = None  # no part of a head for tokens
    head = task.head(body, parts[0].names)
    loss = classification_loss if task.head is SequenceClassifier else tagging_loss
    told = {"model": str(model or task.model), "data": str(data or task.data), "limit": limit}
    _train(head, loss, parts, Path(out), folder, settings, told)
    return measure(head, parts[2])


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
    _train(student, Distiller(teacher, METHODS[method], **own), parts, Path(out), folder, settings, told)
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


def _train(
    model: Head,
    loss: Callable[[Any, Any], Tensor],
    parts: tuple[Part, Part, Part],
    out: Path,
    source: Path,
    settings: Settings,
    told: dict[str, Any],
) -> None:
    """Fit a model to the first part, stop by the second, and write it to ``out`` with the tokenizer of ``source``."""
    training, tuning, _ = parts
    if out.resolve() == source.resolve():
        raise ValueError(f"out must be another folder than the model's; got {str(out)!r} for both")
    _note(out, told | asdict(settings))
    steps = math.ceil(len(training.encodings) / settings.batch_size) * settings.epochs

    def error(model: nn.Module) -> float:
        return 1 - tuning.report(predict(model, tuning.rows)).micro.f1

    fit(
        model,
        minibatches(training.rows, settings.batch_size, settings.seed),
        steps=steps,
        loss=loss,
        learning_rate=settings.rate,
        weight_decay=0.01,
        schedule="linear",
        warmup=steps // 10,
        seed=settings.seed,
        device=settings.device,
        evaluate=error,
        evaluate_every=max(1, steps // (settings.epochs * CHECKS)),
        patience=settings.epochs * CHECKS // 2,
        checkpoint=out / RUN,
    )
    model.save_pretrained(out)
    for name in TOKENIZER_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, out / name)


def _note(out: Path, settings: dict[str, Any]) -> None:
    """Write a run's settings down, or see that they are those of the run that is there."""
    path = out / "settings.json"
    if path.is_file() and (out / RUN).is_file():
        there = json.loads(path.read_text(encoding="utf8"))
        other = [name for name in settings if there.get(name) != settings[name]]
        if other:
            told = ", ".join(f"{name} {there.get(name)!r}, not {settings[name]!r}" for name in other)
            raise ValueError(f"{out} holds a run with {told}; choose another folder, or delete that one")
    out.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf8")
