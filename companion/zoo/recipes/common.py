"""Steps that all recipes of the zoo share: begin, train on stories, write the folder, and state the sizes.

Chapter: ``book/concepts/storyworld.ipynb``.
"""

import platform
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from companion.checkpoints.pretrained import Pretrained
from companion.losses import causal_loss
from companion.training import Checkpoint, Evaluation, Optimization, Runtime, fit
from companion.training.run_state import History

R = TypeVar("R")


class StorySettings(Protocol):
    """Settings of a recipe that hold for each round on stories."""

    @property
    def learning_rate(self) -> float:
        """Learning rate at its peak, of Muon and AdamW."""

    @property
    def seed(self) -> int:
        """Seed of the training run."""


def begin(name: str, recipes: Mapping[str, R], target: Path, threads: int) -> R:
    """Recipe of that name; the folder is made and torch set to so many threads.

    Raises:
        ValueError: on an unknown name; nothing is made then.
    """
    if name not in recipes:
        raise ValueError(f"there is no recipe {name!r}; choose from {', '.join(recipes)}")
    torch.set_num_threads(threads)
    target.mkdir(parents=True, exist_ok=True)
    return recipes[name]


def train_on_stories(
    model: nn.Module,
    batches: Iterable[Any],
    steps: int,
    settings: StorySettings,
    run: Path,
    evaluate: Callable[[nn.Module], float],
    loss: Callable[[nn.Module, Any], Tensor] = causal_loss,
) -> History:
    """Train on stories, each read once: no weight decay, a linear schedule, a checkpoint each thousand steps.

    Args:
        model: trained in place, on the CPU.
        batches: batches of stories, the same each time.
        steps: of this round.
        settings: learning rate and seed.
        run: file of the checkpoint, from which an interrupted round resumes.
        evaluate: model -> number, measured on held-out stories.
        loss: (model, batch) -> scalar.
    """
    return fit(
        model,
        batches,
        steps=steps,
        loss=loss,
        learning_rate=settings.learning_rate,
        optimization=Optimization("muon", weight_decay=0.0, schedule="linear", warmup=100),
        evaluation=Evaluation(evaluate, every=1000),
        checkpoint=Checkpoint(run, every=1000),
        runtime=Runtime(device="cpu", seed=settings.seed),
    )


def finish(model: Pretrained, target: Path, card: Callable[[], str]) -> None:
    """Write the weights in half precision, and then the model card, which measures what was written."""
    model.save_pretrained(target, dtype=torch.float16)
    (target / "README.md").write_text(card(), encoding="utf8")


def facts(model: nn.Module, folder: Path, history: History) -> dict[str, str]:
    """Facts that each model card states: parameters, megabytes of the file, minutes of training, versions."""
    return {
        "parameters": f"{sum(p.numel() for p in model.parameters()):,}",
        "megabytes": f"{(folder / 'model.safetensors').stat().st_size / 1e6:.2f}",
        "minutes": f"{history.cpu_seconds / 60:.0f}",
        "python": platform.python_version(),
        "torch": torch.__version__.split("+")[0],
    }
