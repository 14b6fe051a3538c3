"""Fine-tuning and distillation of a whole checkpoint, from the dataset to a folder that ``transformers`` loads.

Chapters: ``book/algorithms/finetuning.ipynb``, ``book/algorithms/distillation.ipynb``. Sources: Devlin et al. 2019,
"BERT", appendix A.3 (passes, batch size, rate); the methods' are in :mod:`companion.distillation.losses`.
"""

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from companion import checkpoints
from companion.data.labelled import minibatches
from companion.data.tokenization import load_tokenizer
from companion.finetuning.heads import SequenceClassifier, predict
from companion.finetuning.tasks import Head, Held, Part, Task, measure, read_parts
from companion.losses.classification import classification_loss, tagging_loss
from companion.models.bert import Bert
from companion.training import Checkpoint, Evaluation, Optimization, Runtime, fit

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
        device: see :func:`companion.training.loop.pick_device`.
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
        task: one of :data:`companion.finetuning.tasks.PUBLIC_TASKS`.
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
            :func:`companion.finetuning.tasks.read_parts` and :func:`companion.training.fit`.
        companion.checkpoints.CheckpointError: see :func:`companion.checkpoints.load_model`.
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
    train(head, loss, parts, Path(out), folder, settings, told)
    return measure(head, parts[2])


def train(
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
        optimization=Optimization(weight_decay=0.01, schedule="linear", warmup=steps // 10),
        evaluation=Evaluation(
            error, every=max(1, steps // (settings.epochs * CHECKS)), patience=settings.epochs * CHECKS // 2
        ),
        checkpoint=Checkpoint(out / RUN),
        runtime=Runtime(device=settings.device, seed=settings.seed),
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
