"""Fine-tuning of a whole checkpoint, from the dataset to a folder that ``transformers`` loads.

Chapters: ``book/algorithms/finetuning.ipynb``, ``book/algorithms/distillation.ipynb``. Source: Devlin et al. 2019,
"BERT", appendix A.3 (epochs, batch size, learning rate).
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
from companion.data.whole_files import write_whole
from companion.finetuning.heads import TokenClassifier
from companion.finetuning.predictions import predict
from companion.finetuning.tasks import Head, HeldOutResult, Split, Task, evaluate, read_splits
from companion.models.bert import Bert
from companion.nn.checks import check_sizes
from companion.nn.field_types import check_field_types
from companion.training import Checkpoint, Evaluation, Optimization, Runtime, fit

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")
RUN = "run.safetensors"  # training state, to resume from; the trained model is model.safetensors
CHECKS = 4  # evaluations per epoch; half a run of them without an improvement stops it early


@dataclass(frozen=True)
class Settings:
    """Hyperparameters of a run.

    Attributes:
        epochs: passes over the training texts, at most.
        batch_size: texts per step.
        rate: peak learning rate; Devlin et al. 2019 chose from 2e-5 to 5e-5, and pre-trained with 1e-4.
        seed: random seed of the new head, the order of the texts, and dropout.
        device: "auto", "cuda", "mps" or "cpu", see :func:`companion.nn.device.pick_device`.
    """

    epochs: int = 3
    batch_size: int = 32
    rate: float = 2e-5
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        """Raise ValueError on a run without any step, or one that cannot learn."""
        check_field_types(self)
        check_sizes(self, ("epochs", "batch_size"))
        if not 0 < self.rate < math.inf:
            raise ValueError(f"rate must be finite and above 0; got {self.rate}")
        Runtime(device=self.device, seed=self.seed)  # refuses what is none


def finetune(
    task: Task,
    out: str | Path,
    *,
    model: str | Path | None = None,
    data: str | Path | None = None,
    revision: str | None = None,
    limit: int | None = None,
    settings: Settings | None = None,
) -> HeldOutResult:
    """Fine-tune a pre-trained body with a new head on a dataset, and write the best model to a folder.

    Args:
        task: one of :data:`companion.finetuning.tasks.PUBLIC_TASKS`.
        out: folder for the model; an interrupted run in it is resumed.
        model: a folder with a checkpoint and its ``tokenizer.json``, or an id on the hub; the task's when not given.
        data: a folder in the hub's layout, or an id on the hub; the task's when not given.
        revision: branch of ``data`` on the hub; the task's when ``data`` is not given either.
        limit: number of texts read of each split, for a trial; all when not given.
        settings: hyperparameters; within the range of Devlin et al. 2019 when not given.

    Returns:
        evaluation of the model on the test split.

    Raises:
        ValueError: when ``out`` holds a run with other settings, or the model's own folder; see also
            :func:`companion.finetuning.tasks.read_splits` and :func:`companion.training.fit`.
        companion.checkpoints.CheckpointError: see :func:`companion.checkpoints.load_model`.
        FileNotFoundError: when there is no tokenizer, or no such dataset.
    """
    settings = settings or Settings()
    folder = checkpoints.locate(model or task.model)
    tokenizer, body = load_tokenizer(folder), Bert.from_pretrained(folder)
    splits = read_splits(task, tokenizer, body.config.context_length, data, revision, limit)
    torch.manual_seed(settings.seed)
    if task.head is TokenClassifier:
        body.pooler = None  # no part of this head
    head = task.head(body, splits[0].names)
    inputs = {"model": str(model or task.model), "data": str(data or task.data), "limit": limit}
    train(head, task.loss, splits, Path(out), folder, settings, inputs)
    return evaluate(head, splits[2])


def train(
    model: Head,
    loss: Callable[[Any, Any], Tensor],
    splits: tuple[Split, Split, Split],
    out: Path,
    source: Path,
    settings: Settings,
    inputs: dict[str, Any],
) -> None:
    """Train a model with early stopping, and write it to ``out`` with the tokenizer of ``source``.

    Args:
        model: a model with a task head.
        loss: (model, batch) -> scalar.
        splits: training, validation (for early stopping) and test split, which is not used.
        out: folder for the model and the training state.
        source: folder with the tokenizer.
        settings: hyperparameters.
        inputs: further settings that a resumed run must have in common with the interrupted one.

    Raises:
        ValueError: when ``out`` is ``source``, or holds a run with other settings.
    """
    training, validation, _ = splits
    if out.resolve() == source.resolve():
        raise ValueError(f"out must be another folder than the model's; got {str(out)!r} for both")
    _record_settings(out, inputs | asdict(settings))
    steps = math.ceil(len(training.encodings) / settings.batch_size) * settings.epochs

    def error(model: nn.Module) -> float:
        return 1 - validation.report(predict(model, validation.rows)).micro.f1

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


def _record_settings(out: Path, settings: dict[str, Any]) -> None:
    """Write a run's settings to ``out``; raise ValueError when an interrupted run there has others."""
    path = out / "settings.json"
    if path.is_file() and (out / RUN).is_file():
        there = _read_settings(path)
        other = [name for name in settings if there.get(name) != settings[name]]
        if other:
            differing = ", ".join(f"{name} {there.get(name)!r}, not {settings[name]!r}" for name in other)
            raise ValueError(f"{out} holds a run with {differing}; choose another folder, or delete that one")
    text = json.dumps(settings, indent=2) + "\n"
    write_whole(path, lambda part: part.write_text(text, encoding="utf8"))


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf8")))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}; choose another folder, or delete that one") from error
