"""Settings of a training run that belong together: optimization, evaluation, checkpoints, and where it computes.

Chapter: ``book/concepts/optimization.ipynb``. :func:`companion.training.fit` takes them. Each refuses a value outside
its range as soon as it is made, before anything is computed.
"""

import errno
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from companion.nn.checks import check_integer
from companion.nn.device import check_device
from companion.nn.field_types import check_field_types
from companion.training.optimizers import check_name
from companion.training.schedules import LearningRateMultiplier, multipliers

LARGEST_SEED = 2**63 - 1
PRECISIONS = ("auto", "float32", "bfloat16")


@dataclass(frozen=True)
class Optimization:
    """How a gradient becomes a step; the peak learning rate itself is an argument of ``fit``.

    Attributes:
        optimizer: "sgd", "momentum", "adam", "adamw", or "muon" (Muon for the matrices inside the blocks, AdamW for
            all else); see :func:`companion.training.optimizers.make_optimizers`.
        weight_decay: of matrices, at least 0; embeddings, norms and biases never decay.
        schedule: "cosine" or "linear" (both fall to 0), "constant", "inverse_sqrt", or "warmup_stable_decay" (constant,
            then down to 0 in the last fifth).
        warmup: steps in which the learning rate rises linearly; a twentieth of all steps when not given.
        lr_multiplier: (a parameter's name, step from 1) -> a factor of its learning rate, beside the schedule's; where
            it is 0 the parameter is frozen, bit for bit. See :mod:`companion.finetuning.layer_rates`.
        max_grad_norm: above 0; a longer gradient is clipped to this norm. ``math.inf`` clips none.
        gradient_accumulation_steps: batches per step, which act as one large batch.
        targets: (batch) -> number of targets over which its loss is a mean, by which accumulated losses are weighted.
            When it is not given, that of :func:`companion.losses.causal.causal_loss` is counted, and the batches of any
            other loss have equal weights, which is right where each has as many targets.

    >>> Optimization("muon", weight_decay=0.0).schedule
    'cosine'
    """

    optimizer: str = "adamw"
    weight_decay: float = 0.1
    schedule: str = "cosine"
    warmup: int | None = None
    lr_multiplier: LearningRateMultiplier | None = None
    max_grad_norm: float = 1.0
    gradient_accumulation_steps: int = 1
    targets: Callable[[Any], float] | None = None

    def __post_init__(self) -> None:
        """Raise ValueError on an unknown name or a number outside its range."""
        check_field_types(self)
        check_name(self.optimizer)
        multipliers(self.schedule, steps=1, warmup=self.warmup)  # refuses an unknown schedule and a negative warm-up
        if not 0 <= self.weight_decay < math.inf:  # NaN too
            raise ValueError(f"weight_decay must be finite and at least 0; got {self.weight_decay}")
        if not self.max_grad_norm > 0:
            raise ValueError(f"max_grad_norm must be above 0, math.inf for no clipping; got {self.max_grad_norm}")
        check_integer("gradient_accumulation_steps", self.gradient_accumulation_steps)
        if self.warmup is not None:
            check_integer("warmup", self.warmup, least=0)


@dataclass(frozen=True)
class Evaluation:
    """A measurement of the model during training.

    Attributes:
        function: model -> number, called in evaluation mode without gradients, before the first step, every ``every``
            steps and after the last.
        every: steps from one evaluation to the next, at least 1.
        patience: evaluations without a new lowest value after which the run stops early, at least 1. The model then has
            the weights of its lowest evaluation, whether the run stopped early or not. None: neither.
    """

    function: Callable[[nn.Module], float]
    every: int = 100
    patience: int | None = None

    def __post_init__(self) -> None:
        """Raise ValueError on a count below 1."""
        check_field_types(self)
        check_integer("every", self.every)
        if self.patience is not None:
            check_integer("patience", self.patience)


@dataclass(frozen=True)
class Checkpoint:
    """A file that a run is saved to, and resumed from, to the same weights, when it exists.

    Attributes:
        path: of the file; its folder is made.
        every: steps from one save to the next, at least 1; the last step is always saved.
    """

    path: str | Path
    every: int = 500

    def __post_init__(self) -> None:
        """Raise ValueError on a count below 1, or a path that no file can have."""
        check_field_types(self)
        check_integer("every", self.every)
        try:
            name = os.fspath(self.path)
            if not name:
                raise ValueError("it is empty")
            os.lstat(name)
        except (TypeError, ValueError, OSError) as error:
            if not isinstance(error, OSError) or error.errno == errno.ENAMETOOLONG:  # else it may still be made
                raise ValueError(f"path must be that of a file; got {self.path!r:.80}: {error}") from error


@dataclass(frozen=True)
class Runtime:
    """Where and in what numbers a run computes.

    Attributes:
        device: "auto", "cuda", "mps" or "cpu"; see :func:`companion.nn.device.pick_device`.
        precision: "float32", "bfloat16" (the matrix products of the forward pass; weights stay float32), or "auto":
            whichever a measurement finds faster, and float32 on a CPU; see
            :func:`companion.nn.machine.fastest_precision`.
        seed: of dropout.
    """

    device: str = "auto"
    precision: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise ValueError on an unknown device or precision, or a seed that is no integer of at least 0."""
        check_field_types(self)
        check_device(self.device)
        check_integer("seed", self.seed, least=0, most=LARGEST_SEED)
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}; got {self.precision!r}")
