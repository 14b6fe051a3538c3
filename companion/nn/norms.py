"""Root-mean-square normalisation: LayerNorm without the mean and without the shift.

Chapters: ``book/algorithms/t5.ipynb``, ``book/algorithms/modern_decoder.ipynb``. Source: Zhang & Sennrich 2019, "Root
Mean Square Layer Normalization", section 4.
"""

import torch
from torch import Tensor, nn


class RMSNorm(nn.Module):
    """Scale each vector to a root mean square of 1, then each of its dimensions by a learned weight.

    ``RMSNorm(x) = x / sqrt(mean_i(x_i^2) + eps) * weight`` (Zhang & Sennrich 2019, eq. 4; eps as T5 and Llama add it).
    Nothing is subtracted, so a vector keeps its direction until the weights bend it.
    """

    def __init__(self, d: int, eps: float = 1e-6) -> None:
        """Make weights of 1.

        Args:
            d: size of the last axis.
            eps: added to the mean square; a vector of zeros stays one.

        Raises:
            ValueError: when a size is below 1, or eps negative.
        """
        super().__init__()
        if d < 1 or not eps >= 0:  # NaN too
            raise ValueError(f"d must be at least 1 and eps not negative; got {d} and {eps}")
        self.weight = nn.Parameter(torch.ones(d))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """(…, d) -> the same, in the same precision; half precision is squared and summed in float32."""
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        scaled = wide * (wide.square().mean(-1, keepdim=True) + self.eps).rsqrt()
        return self.weight * scaled.to(x.dtype)

    def extra_repr(self) -> str:
        """Return the size and eps, for ``repr``."""
        return f"{self.weight.numel()}, eps={self.eps}"
