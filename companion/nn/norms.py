"""RMSNorm, root-mean-square normalisation: LayerNorm without the mean and without the shift.

Chapters: ``book/algorithms/t5.ipynb``, ``book/algorithms/modern_decoder.ipynb``. Sources: Zhang & Sennrich 2019, "Root
Mean Square Layer Normalization", section 4; Gemma Team 2024, "Gemma", section 2.
"""

import torch
from torch import Tensor, nn


class RMSNorm(nn.Module):
    """Normalisation of each vector to a root mean square of 1, then a learned weight for each dimension.

    ``RMSNorm(x) = x / sqrt(mean_i(x_i^2) + eps) * weight`` (Zhang & Sennrich 2019, eq. 4; eps as T5 and Llama add it).
    No mean is subtracted, so with equal weights a vector keeps its direction.

    Example:
        >>> RMSNorm(2, eps=0.0)(torch.tensor([3.0, 3.0])).tolist()
        [1.0, 1.0]
    """

    def __init__(self, d: int, eps: float = 1e-6) -> None:
        """Make weights of 1.

        Args:
            d: size of the last axis.
            eps: number added to the mean square, so that a vector of zeros stays zero.

        Raises:
            ValueError: when ``d`` is below 1, or ``eps`` negative.
        """
        super().__init__()
        if d < 1 or not eps >= 0:  # NaN too
            raise ValueError(f"d must be at least 1 and eps not negative; got {d} and {eps}")
        self.weight = nn.Parameter(torch.ones(d))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """(…, d) -> (…, d) of the same dtype; half precision is squared and averaged in float32."""
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        scaled = wide * (wide.square().mean(-1, keepdim=True) + self.eps).rsqrt()
        return self.weight * scaled.to(x.dtype)

    def extra_repr(self) -> str:
        """Return the size and eps, for ``repr``."""
        return f"{self.weight.numel()}, eps={self.eps}"


class UnitRMSNorm(RMSNorm):
    """RMSNorm whose weight is kept as its difference from 1, ``(1 + weight)``, as in Gemma; weight decay pulls to 1.

    Example:
        >>> UnitRMSNorm(2, eps=0.0)(torch.tensor([3.0, 3.0])).tolist()
        [1.0, 1.0]
    """

    def __init__(self, d: int, eps: float = 1e-6) -> None:
        """Make weights of 0; arguments and errors are those of :class:`RMSNorm`."""
        super().__init__(d, eps)
        nn.init.zeros_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(…, d) -> (…, d) of the same dtype; half precision is computed in float32."""
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        scaled = wide * (wide.square().mean(-1, keepdim=True) + self.eps).rsqrt()
        return (scaled * (1 + self.weight.to(wide.dtype))).to(x.dtype)
