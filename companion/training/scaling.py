"""Scaling law of the loss: the parametric form, its compute-optimal split, and its fit to finished runs.

Chapter: ``book/algorithms/scaling.ipynb``. Sources: Hoffmann et al. 2022, section 3.3 and appendix D.3 ("Approach 3");
Besiroglu et al. 2024, "Chinchilla Scaling: A replication attempt", for the constants of :data:`REFITTED_CHINCHILLA`;
Sardana et al. 2024, "Beyond Chinchilla-Optimal", for the cost of a model's life.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from companion.training.flops import training_flops

EXPONENTS = (0.02, 3.0)  # between these the fit looks for both
GRID = 15  # exponents tried on each axis, in each round
ROUNDS = 12  # each looks closer around the best pair of the one before


@dataclass(frozen=True)
class ScalingLaw:
    """Scaling law ``L(N, D) = E + A / N^alpha + B / D^beta``.

    Attributes:
        irreducible: E, the loss that is left however large model and text grow.
        size_scale: A, scale of what the limited model costs, above 0.
        size_exponent: alpha, above 0.
        data_scale: B, scale of what the limited text costs, above 0.
        data_exponent: beta, above 0.

    >>> law = ScalingLaw(1.0, size_scale=10.0, size_exponent=0.5, data_scale=20.0, data_exponent=0.5)
    >>> law.loss(parameters=100, tokens=400)
    3.0
    """

    irreducible: float
    size_scale: float
    size_exponent: float
    data_scale: float
    data_exponent: float

    def __post_init__(self) -> None:
        """Raise ValueError on a scale or an exponent that is not above 0."""
        for name in ("size_scale", "size_exponent", "data_scale", "data_exponent"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0; got {getattr(self, name)}")

    def loss(self, parameters: float, tokens: float) -> float:
        """Loss of a model of N parameters after D tokens.

        Args:
            parameters: N.
            tokens: D, none of them read twice.

        Raises:
            ValueError: when one of them is not above 0.
        """
        _check_positive(parameters=parameters, tokens=tokens)
        of_size: float = self.size_scale / parameters**self.size_exponent
        of_data: float = self.data_scale / tokens**self.data_exponent
        return self.irreducible + of_size + of_data

    def optimum(self, flops: float) -> tuple[float, float]:
        """Compute-optimal parameters and tokens, the pair of least loss with ``6 N D = C``.

        ``N = G (C / 6)^(beta / (alpha + beta))``, with ``G = (alpha A / (beta B))^(1 / (alpha + beta))``, and D is what
        is left.

        >>> law = ScalingLaw(1.0, size_scale=10.0, size_exponent=0.5, data_scale=20.0, data_exponent=0.5)
        >>> law.optimum(6 * 4e4)
        (100.0, 400.0)

        Args:
            flops: C, the budget.

        Raises:
            ValueError: when it is not above 0.
        """
        _check_positive(flops=flops)
        a, b = self.size_exponent, self.data_exponent
        parameters = (a * self.size_scale / (b * self.data_scale)) ** (1 / (a + b)) * (flops / 6) ** (b / (a + b))
        return parameters, flops / 6 / parameters

    def tokens_for(self, loss: float, parameters: float) -> float:
        """Number of tokens after which a model of N parameters has this loss; infinite when it never has.

        >>> law = ScalingLaw(1.0, size_scale=10.0, size_exponent=0.5, data_scale=20.0, data_exponent=0.5)
        >>> law.tokens_for(3.0, parameters=100), law.tokens_for(1.5, parameters=100)
        (400.0, inf)

        Args:
            loss: that is to be reached.
            parameters: N.

        Raises:
            ValueError: when there are no parameters.
        """
        _check_positive(parameters=parameters)
        left = loss - self.irreducible - self.size_scale / parameters**self.size_exponent
        return (self.data_scale / left) ** (1 / self.data_exponent) if left > 0 else math.inf


# Hoffmann et al. 2022, eq. 10, as printed, and what Besiroglu et al. 2024 find in the same runs
CHINCHILLA = ScalingLaw(1.69, 406.4, 0.34, 410.7, 0.28)
REFITTED_CHINCHILLA = ScalingLaw(1.8172, 482.01, 0.3478, 2085.43, 0.3658)


def fit_scaling_law(
    parameters: Sequence[float], tokens: Sequence[float], losses: Sequence[float], irreducible: float | None = None
) -> ScalingLaw:
    """Scaling law that fits these runs best: least squares of the relative error of the loss.

    For given exponents the other numbers solve a linear system, so that only the two exponents have to be searched: on
    a grid, and then on finer ones around the best pair. (Hoffmann et al. minimise a Huber loss of the logarithms, which
    a run that failed pulls less.)

    >>> law = ScalingLaw(1.0, size_scale=10.0, size_exponent=0.5, data_scale=20.0, data_exponent=0.4)
    >>> pairs = [(n, d) for n in (1e3, 4e3, 2e4) for d in (1e5, 1e6, 1e7)]
    >>> fitted = fit_scaling_law(*zip(*pairs), [law.loss(n, d) for n, d in pairs])
    >>> round(fitted.irreducible, 4), round(fitted.data_exponent, 4)
    (1.0, 0.4)

    Args:
        parameters: N of each run.
        tokens: D of each run.
        losses: loss of each run, in nats per token, above 0.
        irreducible: E where it is known; it is fitted when not given.

    Raises:
        ValueError: when the lists differ in length, there are fewer runs than numbers to fit, one is not above 0, or no
            law of this form falls with both N and D and has an E of at least 0.
    """
    runs = _runs(parameters, tokens, losses, 5 if irreducible is None else 4)
    low = torch.full((2,), math.log(EXPONENTS[0]), dtype=torch.float64)
    high = torch.full((2,), math.log(EXPONENTS[1]), dtype=torch.float64)
    best = torch.zeros(5)
    for _ in range(ROUNDS):
        axes = [torch.linspace(float(a), float(b), GRID, dtype=torch.float64) for a, b in zip(low, high, strict=True)]
        exponents = torch.cartesian_prod(*axes).exp()
        found, errors = _solved(runs, exponents, irreducible)
        if not errors.isfinite().any():
            raise ValueError("no law of this form falls with both N and D on these runs")
        best = found[errors.argmin()]
        reach, centre = 2 * (high - low) / (GRID - 1), best[[2, 4]].log()
        low = (centre - reach).clamp_min(math.log(EXPONENTS[0]))
        high = (centre + reach).clamp_max(math.log(EXPONENTS[1]))
    return ScalingLaw(*best.tolist())


def lifetime_flops(parameters: float, tokens: float, served: float) -> float:
    """FLOPs of a model's whole life: ``6 N D`` to train it, and ``2 N`` for each token that it reads or writes in use.

    >>> lifetime_flops(parameters=7e9, tokens=2e12, served=1e12)
    9.8e+22

    Args:
        parameters: N.
        tokens: D, trained on.
        served: number of tokens in use, prompts and answers together.

    Raises:
        ValueError: when one of them is negative.
    """
    if served < 0:
        raise ValueError(f"served must be at least 0; got {served}")
    return training_flops(parameters, tokens) + 2 * parameters * served


def _solved(runs: Tensor, exponents: Tensor, irreducible: float | None) -> tuple[Tensor, Tensor]:
    """The law (pairs, 5) of least error for each pair of exponents, and its error: infinite where a sign is wrong."""
    sizes, tokens, losses = runs
    # each divided by a mean, so that the columns of the linear system are of like size
    scales = runs[:2].log().mean(1).exp()  # (2,)
    of_size = (sizes / scales[0]) ** -exponents[:, :1] / losses  # (pairs, runs)
    of_data = (tokens / scales[1]) ** -exponents[:, 1:] / losses
    columns, target = [of_size, of_data], torch.ones_like(of_size)
    if irreducible is None:
        columns.append((1 / losses).expand_as(of_size))
    else:
        target = target - irreducible / losses
    system = torch.stack(columns, -1)  # (pairs, runs, unknowns)
    solution = torch.linalg.lstsq(system, target[..., None]).solution
    errors = (system @ solution - target[..., None]).square().sum((1, 2))
    least = solution[:, :, 0].amin(1)
    a, b = (solution[:, i, 0] * scales[i] ** exponents[:, i] for i in (0, 1))
    e = solution[:, 2, 0] if irreducible is None else torch.full_like(a, irreducible)
    return torch.stack([e, a, exponents[:, 0], b, exponents[:, 1]], -1), errors.where(least > 0, math.inf)


def _runs(parameters: Sequence[float], tokens: Sequence[float], losses: Sequence[float], least: int) -> Tensor:
    """The runs as (3, runs), after checking them."""
    if not len(parameters) == len(tokens) == len(losses) >= least:
        raise ValueError(
            f"at least {least} runs are needed, each with parameters, tokens and loss; got {len(parameters)}, "
            f"{len(tokens)} and {len(losses)}"
        )
    runs = torch.tensor([[*parameters], [*tokens], [*losses]], dtype=torch.float64)
    if not (runs > 0).all() or not runs.isfinite().all():
        raise ValueError(
            f"parameters, tokens and losses must be finite and above 0; got {runs.min().item()} among them"
        )
    return runs


def _check_positive(**values: float) -> None:
    for name, value in values.items():
        if not value > 0:
            raise ValueError(f"{name} must be above 0; got {value}")
