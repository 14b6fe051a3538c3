"""Optimizers: SGD, momentum, Adam, AdamW and Muon, and which of them changes which parameter.

Chapter: ``book/concepts/optimization.ipynb``. The classes here are written to be read, one tensor at a time, and make
the same steps as those of ``torch.optim``. Training uses torch's own, which step through all tensors at once; Muon,
which torch steps matrix by matrix, does so here for all matrices of one shape.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn, optim
from torch.optim import Optimizer

NAMES = ("sgd", "momentum", "adam", "adamw", "muon")


class _ByTensor(Optimizer, ABC):
    """Optimizer that updates one tensor at a time; a subclass says how in ``_update``."""

    def __init__(self, params: Iterable[Any], **defaults: Any) -> None:
        for name in ("lr", "weight_decay", "eps"):
            if defaults.get(name, 0.0) < 0:
                raise ValueError(f"{name} must be at least 0; got {defaults[name]}")
        for decay in (*defaults.get("betas", ()), defaults.get("momentum", 0.0)):
            if not 0 <= decay < 1:
                raise ValueError(f"momentum and betas must be in [0, 1); got {decay}")
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]  # no closure: the gradient is there already
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._update(weight, weight.grad, self.state[weight], group)

    @abstractmethod
    def _update(self, weight: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        """Update one tensor in place; ``state`` is what the optimizer keeps for it from step to step."""


class SGD(_ByTensor):
    """Stochastic gradient descent, with ``momentum`` along a decaying sum of the gradients so far.

    ``v <- momentum v + g,  w <- w - lr v``. Sources: Robbins & Monro 1951 (a noisy gradient is enough);
    Polyak 1964 (momentum, the "heavy ball").

    >>> weight = torch.tensor([1.0], requires_grad=True)
    >>> weight.grad = torch.tensor([2.0])
    >>> SGD([weight], lr=0.25).step()
    >>> weight.tolist()
    [0.5]
    """

    def __init__(self, params: Iterable[Any], lr: float, momentum: float = 0.0, weight_decay: float = 0.0) -> None:
        """Take tensors or torch's parameter groups; weight decay is an L2 penalty, ``g + weight_decay w``.

        Raises:
            ValueError: when the rate or the decay is negative, or the momentum outside [0, 1).
        """
        super().__init__(params, lr=lr, momentum=momentum, weight_decay=weight_decay)

    def _update(self, weight: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        gradient = gradient + group["weight_decay"] * weight
        state["v"] = group["momentum"] * state.get("v", 0.0) + gradient
        weight.sub_(group["lr"] * state["v"])


class Adam(_ByTensor):
    """Adam: a step along the mean gradient, each coordinate divided by the size that its gradients usually have.

    ``m <- b1 m + (1 - b1) g,  v <- b2 v + (1 - b2) g^2,  w <- w - lr m' / (sqrt(v') + eps)`` with
    ``m' = m / (1 - b1^t)`` and ``v' = v / (1 - b2^t)``, which correct the bias of means that begin at 0.
    Source: Kingma & Ba 2015, algorithm 1.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        """Take tensors or torch's parameter groups; weight decay is an L2 penalty, ``g + weight_decay w``.

        Raises:
            ValueError: when the rate, eps or the decay is negative, or a beta outside [0, 1).
        """
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def _update(self, weight: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        gradient = gradient + group["weight_decay"] * weight  # and so divided below like any gradient
        weight.sub_(group["lr"] * self._direction(gradient, state, group))

    def _direction(self, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> Tensor:
        one, two = group["betas"]
        t = state["t"] = state.get("t", 0) + 1
        state["m"] = one * state.get("m", 0.0) + (1 - one) * gradient
        state["v"] = two * state.get("v", 0.0) + (1 - two) * gradient.square()
        mean, square = state["m"] / (1 - one**t), state["v"] / (1 - two**t)
        direction: Tensor = mean / (square.sqrt() + group["eps"])
        return direction


class AdamW(Adam):
    """Adam, with a weight decay that the division does not touch: ``w <- (1 - lr weight_decay) w`` before the step.

    Source: Loshchilov & Hutter 2019, algorithm 2, with torch's convention: the decay is multiplied by the whole
    learning rate, where the paper multiplies it by the schedule's multiplier alone.
    """

    def _update(self, weight: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        weight.mul_(1 - group["lr"] * group["weight_decay"])
        weight.sub_(group["lr"] * self._direction(gradient, state, group))


class Muon(_ByTensor):
    """Muon: a step along the mean gradient of a matrix, made approximately orthogonal.

    ``m <- momentum m + (1 - momentum) g,  u = momentum m + (1 - momentum) g,`` then decay as in AdamW and
    ``w <- w - lr 0.2 sqrt(max(rows, columns)) orthogonalised(u)``. The factor gives a step the size that AdamW's
    usually has. Sources: Jordan et al. 2024; for the factor Liu et al. 2025, section 2.2.
    """

    def __init__(self, params: Iterable[Any], lr: float, momentum: float = 0.95, weight_decay: float = 0.0) -> None:
        """Take matrices, or torch's parameter groups of them.

        Raises:
            ValueError: on a tensor that is no matrix, a negative rate or decay, or a momentum outside [0, 1).
        """
        super().__init__(params, lr=lr, momentum=momentum, weight_decay=weight_decay)
        for weight in (weight for group in self.param_groups for weight in group["params"]):
            if weight.dim() != 2:
                raise ValueError(f"Muon changes matrices (rows, columns); got a tensor of shape {tuple(weight.shape)}")

    def _update(self, weight: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        new = 1 - group["momentum"]
        state["m"] = torch.lerp(state.get("m", torch.zeros_like(gradient)), gradient, new)
        ahead = torch.lerp(state["m"], gradient, new)  # Nesterov: where the mean is going
        weight.mul_(1 - group["lr"] * group["weight_decay"])
        weight.sub_(group["lr"] * 0.2 * math.sqrt(max(weight.shape)) * orthogonalised(ahead))


def orthogonalised(matrix: Tensor, steps: int = 5, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """Approximately orthogonal matrix: the given one's singular vectors, every singular value brought near 1.

    ``x <- a x + b (x x^T) x + c (x x^T)^2 x`` acts on each singular value s as ``a s + b s^3 + c s^5``. These a, b, c
    lift small values fast and then leave them between about 0.7 and 1.2, which is near enough.
    Source: Jordan et al. 2024 (a Newton-Schulz iteration).

    Args:
        matrix: (rows, columns), or several of one shape, (matrices, rows, columns).
        steps: number of iterations.
        dtype: type to compute in; half precision is enough for a result that is rough by design.

    Returns:
        of the same shape and type, each matrix for itself.

    Raises:
        ValueError: when it is no matrix.

    >>> torch.linalg.svdvals(orthogonalised(torch.diag(torch.tensor([4.0, 1.0])))).gt(0.6).tolist()
    [True, True]
    """
    if matrix.dim() not in (2, 3):
        raise ValueError(f"matrix must be (rows, columns) or (matrices, rows, columns); got {tuple(matrix.shape)}")
    a, b, c = 3.4445, -4.7750, 2.0315
    rows, columns = matrix.shape[-2:]
    lying = rows <= columns  # the smaller product of the two
    x = matrix.to(dtype).reshape(-1, rows, columns)
    x = x if lying else x.mT
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)  # no singular value above 1
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x if lying else x.mT).reshape(matrix.shape).to(matrix.dtype)


class MuonByShape(optim.Muon):
    """Torch's Muon, with one product for all matrices of a shape: the same steps, and fewer, larger operations."""

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]  # no closure: the gradient is there already
        """Update every matrix that has a gradient."""
        for group in self.param_groups:
            moved = [weight for weight in group["params"] if weight.grad is not None]
            for shape in {weight.shape: None for weight in moved}:  # in their order
                self._step_alike([weight for weight in moved if weight.shape == shape], group)

    def _step_alike(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        gradients = [weight.grad for weight in weights if weight.grad is not None]  # all have one
        for weight, gradient in zip(weights, gradients, strict=True):
            if "momentum_buffer" not in self.state[weight]:
                self.state[weight]["momentum_buffer"] = torch.zeros_like(gradient)
        means = [self.state[weight]["momentum_buffer"] for weight in weights]
        torch._foreach_lerp_(means, gradients, 1 - group["momentum"])
        ahead = torch._foreach_lerp(gradients, means, group["momentum"])
        steps = orthogonalised(torch.stack(ahead)).unbind()
        torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(weights, steps, alpha=-group["lr"] * 0.2 * math.sqrt(max(weights[0].shape)))


def check_name(name: str) -> None:
    """Check that an optimizer has this name.

    Raises:
        ValueError: naming those there are.
    """
    if name not in NAMES:
        raise ValueError(f"optimizer must be one of {', '.join(NAMES)}; got {name!r}")


def make_optimizers(
    model: nn.Module,
    name: str,
    learning_rate: float,
    weight_decay: float,
    multipliers: Mapping[str, tuple[float, ...]] | None = None,
) -> list[Optimizer]:
    """Torch's optimizers for a model's parameters: matrices decay; embeddings, norms and biases do not.

    Args:
        model: its parameters that require a gradient are optimized.
        name: "sgd", "momentum" (SGD with 0.9), "adam" (its decay an L2 penalty), "adamw", or "muon" for Muon on the
            matrices of every ``blocks`` and AdamW on the rest. Muon's updates are scaled to AdamW's size, so that one
            learning rate serves both.
        learning_rate: at its peak.
        weight_decay: of the matrices.
        multipliers: for each parameter's name, factors of its learning rate, one per step. Parameters with the same
            ones make a parameter group, which keeps them as "multipliers"; these are empty when not given.

    Raises:
        ValueError: on an unknown name, or a model without a parameter that requires a gradient.
    """
    check_name(name)
    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    parameters = [(key, p) for key, p in model.named_parameters() if p.requires_grad]
    if not parameters:
        raise ValueError(f"no parameter of the {type(model).__name__} requires a gradient; there is nothing to train")
    matrices = [(key, p) for key, p in parameters if p.dim() == 2 and id(p) not in embeddings]
    hidden = [(key, p) for key, p in matrices if name == "muon" and ".blocks." in f".{key}"]
    chosen = {key for key, _ in hidden}
    decaying = {key for key, _ in matrices} - chosen
    groups = [
        *_groups([(key, p) for key, p in parameters if key in decaying], weight_decay, multipliers),
        *_groups([(key, p) for key, p in parameters if key not in decaying | chosen], 0.0, multipliers),
    ]
    optimizers = [_of_torch(name, groups, learning_rate)] if groups else []
    if hidden:
        optimizers.append(
            MuonByShape(_groups(hidden, weight_decay, multipliers), lr=learning_rate, adjust_lr_fn="match_rms_adamw")
        )
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak"] = learning_rate
    return optimizers


def _groups(
    parameters: Iterable[tuple[str, Tensor]], weight_decay: float, multipliers: Mapping[str, tuple[float, ...]] | None
) -> list[dict[str, Any]]:
    """Parameter groups, one for all parameters with the same multipliers of the learning rate."""
    groups: dict[tuple[float, ...], list[Tensor]] = {}
    for key, parameter in parameters:
        groups.setdefault(multipliers[key] if multipliers else (), []).append(parameter)
    return [{"params": group, "weight_decay": weight_decay, "multipliers": own} for own, group in groups.items()]


def _of_torch(name: str, groups: list[dict[str, Any]], learning_rate: float) -> Optimizer:
    if name in ("sgd", "momentum"):
        return optim.SGD(groups, lr=learning_rate, momentum=0.9 if name == "momentum" else 0.0)
    kind = optim.Adam if name == "adam" else optim.AdamW
    return kind(groups, lr=learning_rate, betas=(0.9, 0.95), fused=True)  # one pass over each tensor
