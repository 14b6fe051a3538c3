"""What training costs, counted three ways: a rule of thumb, a sum over the layers, and what torch really multiplied.

Chapters: ``book/background/rise.ipynb``, ``book/background/limits.ipynb``. Source: Kaplan et al. 2020, section 2.1 and
table 1 (forward 2 N + 2 n_layers n d_model operations a token, backward twice as many); Hoffmann et al. 2022, section
3.4 and appendix F (the same count with embeddings, and the best split of a budget).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

TOKENS_PER_PARAMETER = 20.0  # Hoffmann et al. 2022, table 3: near this at every budget


def training_flops(parameters: float, tokens: float) -> float:
    """Return the approximate number of operations that training takes: ``C = 6 N D``.

    Each token meets each parameter in one multiplication and one addition forward, and in two of each backward.

    Args:
        parameters: N, those that a token meets; of a mixture of experts the active ones.
        tokens: D, all that are read, repetitions counted.

    Raises:
        ValueError: when one of them is negative.
    """
    if parameters < 0 or tokens < 0:
        raise ValueError(f"parameters and tokens must be at least 0; got {parameters} and {tokens}")
    return 6 * parameters * tokens


def forward_flops(parameters: float, n_layers: int, length: int, d_model: int) -> float:
    """Return the operations a token forward, attention included: ``2 N + 4 n_layers n d_model``.

    Scores and weighted sums cost ``2 n d_model`` each a layer when every token meets all n positions, as a plain
    implementation computes it before it masks. Kaplan et al. count the half that a causal mask leaves.

    Args:
        parameters: N, those in matrix products.
        n_layers: blocks.
        length: n, tokens of the text.
        d_model: width of the residual stream.
    """
    return 2 * parameters + 4 * n_layers * length * d_model


def best_split(flops: float, tokens_per_parameter: float = TOKENS_PER_PARAMETER) -> tuple[float, float]:
    """Return the parameters and the tokens that a budget is best spent on: ``N = sqrt(C / 6 r)``, ``D = r N``.

    Args:
        flops: C, the budget.
        tokens_per_parameter: r.

    Raises:
        ValueError: when one of them is not above 0.
    """
    if not (flops > 0 and tokens_per_parameter > 0):
        raise ValueError(f"flops and tokens_per_parameter must be above 0; got {flops} and {tokens_per_parameter}")
    parameters = math.sqrt(flops / (6 * tokens_per_parameter))
    return parameters, tokens_per_parameter * parameters


@dataclass(frozen=True)
class Measured:
    """Operations that torch counted in matrix products, the attention's own included.

    Attributes:
        forward: of one forward pass.
        backward: of its backward pass.
        tokens: that were read.
    """

    forward: int
    backward: int
    tokens: int

    @property
    def per_token(self) -> float:
        """Operations a token of one training step."""
        return (self.forward + self.backward) / self.tokens


def measured_flops(model: nn.Module, ids: Tensor) -> Measured:
    """Run one training step's forward and backward pass and count the operations; no weight changes.

    Additions of vectors, norms and activations are not counted; in a Transformer they are few beside the products.

    Args:
        model: ids (batch, length) -> logits (batch, length, vocab).
        ids: (batch, length + 1); the model reads all but the last and is asked for all but the first.
    """
    with sdpa_kernel(SDPBackend.MATH):  # the fused kernel of the CPU is opaque to the counter
        with FlopCounterMode(display=False) as forward:
            loss = F.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
        with FlopCounterMode(display=False) as backward:
            torch.autograd.backward(loss)
    model.zero_grad()
    return Measured(forward.get_total_flops(), backward.get_total_flops(), ids[:, 1:].numel())


def parameters_in_products(model: nn.Module) -> int:
    """Return how many parameters stand in matrix products: all weights of linear layers, tied ones included.

    A table that is only looked up multiplies nothing, and a bias or a norm's scale next to nothing.
    """
    return sum(module.weight.numel() for module in model.modules() if isinstance(module, nn.Linear))


def doubling_time(when: Sequence[float], amounts: Sequence[float]) -> float:
    """Return the time in which an amount doubles: that of the least-squares line through its logarithms.

    ``t_2 = ln 2 / b`` with ``ln C = a + b t``.

    Args:
        when: dates, as numbers of years.
        amounts: one a date, above 0.

    Raises:
        ValueError: when there are fewer than two dates, or an amount is not above 0.
    """
    if len(when) != len(amounts) or len(set(when)) < 2 or min(amounts) <= 0:
        raise ValueError(f"two different dates or more are needed, each with an amount above 0; got {len(when)}")
    t = torch.tensor(when, dtype=torch.float64)
    logs = torch.tensor(amounts, dtype=torch.float64).log()
    t, logs = t - t.mean(), logs - logs.mean()
    return math.log(2) / ((t * logs).sum() / t.square().sum()).item()
