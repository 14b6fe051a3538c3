"""Feed-forward networks: two projections with an activation between them, or three with a gate (SwiGLU, GeGLU).

Chapters: ``book/concepts/transformer.ipynb``, ``book/algorithms/modern_decoder.ipynb``,
``book/algorithms/encoders.ipynb``. Sources: Vaswani et al. 2017, section 3.3; Hendrycks & Gimpel 2016 (GELU); Shazeer
2020, "GLU Variants Improve Transformer", eq. 6.
"""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu_new": lambda x: F.gelu(x, approximate="tanh"),
    "gelu_pytorch_tanh": lambda x: F.gelu(x, approximate="tanh"),  # the same function by its later name
    "gelu": F.gelu,
    "relu": F.relu,
}


class FeedForward(nn.Module):
    """The position-wise feed-forward network, ``activation(x W_1 + b_1) W_2 + b_2`` (eq. 2)."""

    def __init__(self, d_model: int, d_ff: int, activation: str) -> None:
        """Make the two projections, d_model -> d_ff -> d_model."""
        super().__init__()
        self.expand = nn.Linear(d_model, d_ff)
        self.contract = nn.Linear(d_ff, d_model)
        self.activation = ACTIVATIONS[activation]

    def forward(self, x: Tensor) -> Tensor:
        """(…, d_model) -> (…, d_model), each position for itself."""
        output: Tensor = self.contract(self.activation(self.expand(x)))
        return output


class SwiGLU(nn.Module):
    """The gated feed-forward network ``(SiLU(x W_gate) * x W_expand) W_contract`` (Shazeer 2020, eq. 6)."""

    gated_by: Callable[[Tensor], Tensor] = staticmethod(F.silu)

    def __init__(self, d_model: int, d_ff: int) -> None:
        """Make the three projections, without biases."""
        super().__init__()
        self.gate = nn.Linear(d_model, d_ff, bias=False)
        self.expand = nn.Linear(d_model, d_ff, bias=False)
        self.contract = nn.Linear(d_ff, d_model, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(…, d_model) -> (…, d_model), each position for itself."""
        output: Tensor = self.contract(self.gated_by(self.gate(x)) * self.expand(x))
        return output


class GeGLU(SwiGLU):
    """SwiGLU with GELU in the place of SiLU (Shazeer 2020, eq. 6), as in ModernBERT.

    Example:
        >>> import torch
        >>> GeGLU(d_model=6, d_ff=8)(torch.zeros(2, 5, 6)).shape
        torch.Size([2, 5, 6])
    """

    gated_by = staticmethod(F.gelu)


class GeGLUTanh(SwiGLU):
    """GeGLU with the approximation of GELU by a tanh, as in Gemma.

    Example:
        >>> import torch
        >>> GeGLUTanh(d_model=6, d_ff=8)(torch.zeros(2, 5, 6)).shape
        torch.Size([2, 5, 6])
    """

    gated_by = staticmethod(ACTIVATIONS["gelu_pytorch_tanh"])
