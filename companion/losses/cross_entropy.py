"""Cross-entropy over the positions with a target: the loss that most objectives end in.

Chapter: ``book/formulas/losses.ipynb``.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from companion.data.batch import IGNORED, upcast

ROWS = 256  # of logits that are computed at a time, so few that they stay in a core's cache


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of the targets, in nats: mean negative log-likelihood over the positions with a target.

    >>> import torch
    >>> logits = torch.tensor([[0.0, 0.0], [9.0, -9.0]])
    >>> cross_entropy(logits, torch.tensor([1, IGNORED]))  # log 2
    tensor(0.6931)

    Args:
        logits: (…, vocab).
        targets: (…), ``IGNORED`` at positions without a target.

    Raises:
        ValueError: when the shapes do not fit, no position has a target, or a target is no token.
    """
    if logits.shape[:-1] != targets.shape:
        raise ValueError(f"logits must be (*targets, vocab); got {tuple(logits.shape)} for {tuple(targets.shape)}")
    wanted = _checked(targets, logits.size(-1))
    return F.cross_entropy(upcast(logits).flatten(0, -2), wanted, ignore_index=IGNORED)


def _checked(targets: Tensor, vocab: int) -> Tensor:
    """Targets in one row, as torch takes them: integers of 64 bits, each a token or ``IGNORED``."""
    if targets.is_floating_point():
        raise ValueError(f"targets must be integers; got {targets.dtype}")
    wanted = targets.flatten().long()
    scored = wanted != IGNORED
    if not bool(scored.any()):
        raise ValueError(f"each of the {targets.numel()} targets is {IGNORED}, padding; there is nothing to predict")
    wrong = scored & ((wanted < 0) | (wanted >= vocab))
    if bool(wrong.any()):
        raise ValueError(f"a target must be 0 to {vocab - 1}, or {IGNORED} for none; got {wanted[wrong][0].item()}")
    return wanted


def linear_cross_entropy(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of logits that are a linear map of hidden states, in nats, without all of the logits in memory.

    Value and gradient are those of :func:`cross_entropy` of ``hidden @ weight.T``. Both are computed together, some
    rows at a time, and only at positions with a target.

    >>> import torch
    >>> hidden, weight = torch.tensor([[1.0, 0.0], [0.0, 3.0]]), torch.eye(2)
    >>> linear_cross_entropy(hidden, weight, torch.tensor([1, IGNORED]))  # log(e + 1)
    tensor(1.3133)

    Args:
        hidden: (…, d_model).
        weight: (vocab, d_model).
        targets: (…), ``IGNORED`` at positions without a target.

    Raises:
        ValueError: when the shapes do not fit, no position has a target, or a target is no token.
    """
    if hidden.shape != (*targets.shape, weight.size(-1)):
        raise ValueError(
            f"hidden must be (*targets, {weight.size(-1)}); got {tuple(hidden.shape)} for {tuple(targets.shape)}"
        )
    states, wanted = hidden.flatten(0, -2), _checked(targets, len(weight))
    scored = (wanted != IGNORED).nonzero()[:, 0]
    if len(scored) < len(wanted):
        states, wanted = states.index_select(0, scored), wanted[scored]
    loss: Tensor = _LinearCrossEntropy.apply(states, weight, wanted)  # type: ignore[no-untyped-call]
    return loss


class _LinearCrossEntropy(torch.autograd.Function):
    """Mean over the rows; its gradient, too, is computed in the forward pass, while the logits are there."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        kind = hidden.device.type
        half = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype
        states, matrix = hidden.to(half), weight.to(half)
        total = hidden.new_zeros((), dtype=torch.float32)
        of_hidden, of_weight = torch.empty_like(hidden), torch.zeros_like(weight)
        for first in range(0, len(targets), ROWS):
            rows = slice(first, first + ROWS)
            wanted = targets[rows, None]
            log_probs = upcast(states[rows] @ matrix.T).log_softmax(-1)
            total -= log_probs.gather(1, wanted).sum()
            of_logits = log_probs.exp_()  # p, and then p - 1 at the target
            of_logits.scatter_add_(1, wanted, torch.full_like(of_logits[:, :1], -1.0))
            of_logits = of_logits.to(half)
            of_hidden[rows] = of_logits @ matrix
            of_weight += of_logits.T @ states[rows]
        ctx.save_for_backward(of_hidden, of_weight)
        ctx.count = len(targets)
        return total / len(targets)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        of_hidden, of_weight = ctx.saved_tensors
        return of_hidden * (gradient / ctx.count), of_weight * (gradient / ctx.count), None
