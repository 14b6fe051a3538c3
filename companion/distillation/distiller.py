"""A teacher with a distillation loss, together a loss for training the student.

Chapter: ``book/algorithms/distillation.ipynb``. The losses are in :mod:`companion.distillation.losses`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from companion.distillation.outputs import run_with_outputs
from companion.distillation.student import check_pair

Loss = TypeVar("Loss", bound=Callable[..., Tensor])
_LOGITS_LOSSES: set[Callable[..., Tensor]] = set()


def logits_only(loss: Loss) -> Loss:
    """Declare, as a decorator, that a distillation loss compares logits alone, so that nothing else is recorded."""
    _LOGITS_LOSSES.add(loss)
    return loss


class Distiller:
    """Loss (student, batch) -> scalar for ``fit``: a distillation loss against a fixed teacher."""

    def __init__(self, teacher: nn.Module, loss: Callable[..., Tensor], **settings: Any) -> None:
        """Keep the teacher, whose weights never change, and the loss with its settings.

        Args:
            teacher: a model with the student's vocabulary and labels.
            loss: (student's outputs, teacher's outputs, settings) -> scalar. Hidden states and attention weights are
                recorded for it, which is slower, unless it is declared :func:`logits_only`.
            settings: further arguments of the loss.
        """
        self.teacher, self.loss = teacher, partial(loss, **settings)

    def __call__(self, model: nn.Module, batch: Any) -> Tensor:
        """Run both models on a batch, the teacher in evaluation mode and without a gradient, and compare them.

        Args:
            model: the student, in a :class:`companion.distillation.student.Student` where its width is not the
                teacher's.
            batch: see :func:`companion.distillation.outputs.run_with_outputs`.

        Raises:
            ValueError: on another vocabulary, other labels, or a shared parameter; and as the loss.
        """
        check_pair(model, self.teacher)
        self.teacher.eval().to(next(model.parameters()).device)
        internals = self.loss.func not in _LOGITS_LOSSES  # a partial of a partial has the inner one's function
        with torch.no_grad():
            target = run_with_outputs(self.teacher, batch, internals)
        return self.loss(run_with_outputs(model, batch, internals), target)
