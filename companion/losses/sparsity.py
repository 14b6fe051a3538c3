"""Sparse reconstruction, the objective of a sparse autoencoder. Chapter: ``book/practice/interpretability.ipynb``.

Source: Bricken et al. 2023, "Towards Monosemanticity", appendix; Cunningham et al. 2024, section 2.
"""

from torch import Tensor


def sparse_reconstruction(x: Tensor, reconstruction: Tensor, features: Tensor, penalty: float) -> Tensor:
    """Squared error of the reconstruction and an L1 penalty, ``mean |x - x̂|² + penalty · sum_i |f_i|`` over vectors.

    >>> import torch
    >>> x = torch.tensor([[1.0, 2.0]])
    >>> sparse_reconstruction(x, torch.tensor([[1.0, 1.0]]), torch.tensor([[0.0, 3.0, 0.0]]), penalty=0.1)
    tensor(1.3000)

    Args:
        x: (vectors, d).
        reconstruction: (vectors, d).
        features: (vectors, n_features).
        penalty: weight of the L1 norm, not negative.

    Raises:
        ValueError: when the penalty is negative.
    """
    if penalty < 0:
        raise ValueError(f"penalty must not be negative; got {penalty}")
    return (x - reconstruction).square().sum(-1).mean() + penalty * features.abs().sum(-1).mean()
