"""FLOPs of training, counted three ways: a rule of thumb, a sum over the layers, and a measurement.

Chapters: ``book/background/rise.ipynb``, ``book/concepts/limits.ipynb``, ``book/algorithms/decoders_2026.ipynb``.
Source: Kaplan et al. 2020, section 2.1 and table 1 (forward 2 N + 2 n_layers n d_model operations per token, backward
twice as many); Hoffmann et al. 2022, section 3.4 and appendix F (the same count with embeddings, and the
compute-optimal split of a budget).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from companion.losses.cross_entropy import cross_entropy

TOKENS_PER_PARAMETER = 20.0  # Hoffmann et al. 2022, table 3: near this at every budget


def training_flops(parameters: float, tokens: float) -> float:
    """Approximate FLOPs (operations) of a training run: ``C = 6 N D``.

    Each token meets each parameter in one multiplication and one addition forward, and in two of each backward.

    Args:
        parameters: N, the parameters that process a token; the active ones of a mixture of experts.
        tokens: D, number of training tokens, repetitions counted.

    Raises:
        ValueError: when one of them is negative.

    >>> training_flops(parameters=175e9, tokens=300e9)  # GPT-3
    3.15e+23
    """
    if parameters < 0 or tokens < 0:
        raise ValueError(f"parameters and tokens must be at least 0; got {parameters} and {tokens}")
    return 6 * parameters * tokens


def forward_flops(parameters: float, n_layers: int, length: int, d_model: int) -> float:
    """FLOPs per token of a forward pass, attention included: ``2 N + 4 n_layers n d_model``.

    Scores and weighted sums cost ``2 n d_model`` each per layer when every token attends to all n positions, as a plain
    implementation computes it before it masks. Kaplan et al. count the half that a causal mask leaves.

    Args:
        parameters: N, the parameters in matrix products.
        n_layers: number of blocks.
        length: n, number of tokens of the text.
        d_model: width of the residual stream.

    >>> forward_flops(parameters=1000, n_layers=2, length=10, d_model=8)
    2640
    """
    return 2 * parameters + 4 * n_layers * length * d_model


def best_split(flops: float, tokens_per_parameter: float = TOKENS_PER_PARAMETER) -> tuple[float, float]:
    """Compute-optimal parameters and tokens for a budget: ``N = sqrt(C / 6 r)``, ``D = r N``.

    Args:
        flops: C, the budget.
        tokens_per_parameter: r, the ratio of the two.

    Raises:
        ValueError: when one of them is not above 0.

    >>> best_split(1.2e10)
    (10000.0, 200000.0)
    """
    if not (flops > 0 and tokens_per_parameter > 0):
        raise ValueError(f"flops and tokens_per_parameter must be above 0; got {flops} and {tokens_per_parameter}")
    parameters = math.sqrt(flops / (6 * tokens_per_parameter))
    return parameters, tokens_per_parameter * parameters


@dataclass(frozen=True)
class Measured:
    """FLOPs that torch counted in matrix products, those of attention included.

    Attributes:
        forward: operations of one forward pass.
        backward: operations of its backward pass.
        tokens: number of tokens that were read.
    """

    forward: int
    backward: int
    tokens: int

    @property
    def per_token(self) -> float:
        """FLOPs per token of one training step."""
        return (self.forward + self.backward) / self.tokens


def _triangular(system: Sequence[int], values: Sequence[int], *_: object, **__: object) -> int:
    """FLOPs of a triangular system, which torch does not count: n (n - 1) for each column of the values."""
    return math.prod(values) * (system[-1] - 1)


UNCOUNTED = {torch.ops.aten.linalg_solve_triangular: _triangular}


def _by_logits(model: nn.Module, ids: Tensor) -> Tensor:
    """Cross-entropy of the next token from all logits, of whose gradient the forward pass computes nothing yet."""
    return cross_entropy(model(ids[:, :-1]), ids[:, 1:])


def measured_flops(model: nn.Module, ids: Tensor, loss: Callable[[nn.Module, Tensor], Tensor] = _by_logits) -> Measured:
    """FLOPs of one training step's forward and backward pass, as torch counts them; no weight changes.

    Additions of vectors, norms and activations are not counted; in a Transformer they are few beside the products. A
    mask saves nothing: all scores are counted.

    Args:
        model: ids (batch, length) -> logits (batch, length, vocab).
        ids: (batch, length + 1); all but the last are inputs, all but the first are targets.
        loss: (model, ids) -> scalar, where training has another than the cross-entropy of the next token.

    >>> model = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 9))
    >>> measured_flops(model, torch.zeros(1, 6, dtype=torch.long)).forward  # 5 tokens, 2 operations per weight
    360
    """
    with sdpa_kernel(SDPBackend.MATH):  # the fused kernel of the CPU is opaque to the counter
        with FlopCounterMode(display=False, custom_mapping=UNCOUNTED) as forward:
            objective = loss(model, ids)
        with FlopCounterMode(display=False, custom_mapping=UNCOUNTED) as backward:
            torch.autograd.backward(objective)
    model.zero_grad()
    return Measured(forward.get_total_flops(), backward.get_total_flops(), ids[:, 1:].numel())


def parameters_in_products(model: nn.Module) -> int:
    """Number of parameters in matrix products: all weights of linear layers, tied ones included.

    An embedding that is only looked up multiplies nothing, and a bias or a norm's scale next to nothing.

    >>> parameters_in_products(nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 9)))
    36
    """
    return sum(module.weight.numel() for module in model.modules() if isinstance(module, nn.Linear))


def doubling_time(when: Sequence[float], amounts: Sequence[float]) -> float:
    """Doubling time of an amount, from the least-squares line through its logarithms.

    ``t_2 = ln 2 / b`` with ``ln C = a + b t``.

    Args:
        when: dates, as numbers of years.
        amounts: amount at each date, above 0.

    Raises:
        ValueError: when there are fewer than two dates, or an amount is not above 0.

    >>> round(doubling_time([2020, 2021, 2022], [1, 4, 16]), 6)
    0.5
    """
    if len(when) != len(amounts) or len(set(when)) < 2 or min(amounts) <= 0:
        raise ValueError(f"two different dates or more are needed, each with an amount above 0; got {len(when)}")
    t = torch.tensor(when, dtype=torch.float64)
    logs = torch.tensor(amounts, dtype=torch.float64).log()
    t, logs = t - t.mean(), logs - logs.mean()
    return math.log(2) / ((t * logs).sum() / t.square().sum()).item()
